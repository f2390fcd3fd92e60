import Testing

@testable import CycladesMapReduce

/// Least, greatest and total of the numbers of a key, folded in one go.
struct Extremes: CombinableValue, Equatable {
  var least: Int
  var greatest: Int
  var total: Int

  static var wordCount: Int { 3 }
  init(_ value: Int) { (least, greatest, total) = (value, value, value) }
  init(words: Span<UInt64>) {
    least = Int(truncatingIfNeeded: words[0])
    greatest = Int(truncatingIfNeeded: words[1])
    total = Int(truncatingIfNeeded: words[2])
  }
  func store(in words: inout MutableSpan<UInt64>) {
    words[0] = UInt64(truncatingIfNeeded: least)
    words[1] = UInt64(truncatingIfNeeded: greatest)
    words[2] = UInt64(truncatingIfNeeded: total)
  }
  func writeText(into output: inout ByteWriter) { output.append("\(least)/\(greatest)/\(total)") }
}

enum FoldExtremes: Combiner {
  static func combine(_ total: inout Extremes, _ next: Extremes) {
    total.least = min(total.least, next.least)
    total.greatest = max(total.greatest, next.greatest)
    total.total += next.total
  }
}

/// Lines of "station number": extremes per station; anything else is a bad record.
struct Stations: CombiningJob {
  typealias Combine = FoldExtremes
  static let name = "stations"
  init(arguments: [String]) {}
  func map(_ line: RawSpan, into output: inout Emitter<String, Extremes>) throws {
    let fields = String(decoding: line.copied(), as: UTF8.self).split(separator: " ")
    guard fields.count == 2, let number = Int(fields[1]) else { throw TestFailure("bad line") }
    output.emit(String(fields[0]), Extremes(number))
  }
}

/// Adds up floating-point numbers, which depends on the order.
struct Floats: CombiningJob {
  typealias Combine = Sum<Double>
  static let name = "floats"
  init(arguments: [String]) {}
  func map(_ line: RawSpan, into output: inout Emitter<Int, Double>) {
    let number = Double(String(decoding: line.copied(), as: UTF8.self)) ?? 0
    output.emit(Int(number) % 7 - 3, number)
  }
}

/// Every value once per key: nothing to combine.
struct Distinct: CombiningJob {
  typealias Combine = Count
  static let name = "distinct"
  init(arguments: [String]) {}
  func map(_ line: RawSpan, into output: inout Emitter<ByteString, Int>) {
    output.emit(line, 77)
  }
}

/// For each word the lines it is in, in order of input.
struct LineIndex: ReducingJob {
  static let name = "lines"
  init(arguments: [String]) {}
  func map(_ line: RawSpan, into output: inout Emitter<ByteString, String>) {
    var words: [[UInt8]] = []
    line.forEachWord { words.append($0.copied()) }
    guard let first = words.first else { return }
    let number = String(decoding: first, as: UTF8.self)
    for word in words.dropFirst() { output.emit(ByteString(word), number) }
  }
  func reduce(
    _ key: ByteString, _ values: inout Values<String>, into output: inout ReduceOutput
  ) throws {
    var lines: [String] = []
    while let line = try values.next() {
      lines.append(line)
      // What is not taken must be skipped.
      if lines.count == 50 { break }
    }
    output.emit(lines.joined(separator: ","))
  }
}

@Suite("Jobs", .timeLimit(.minutes(5)))
struct JobTests {
  private func run<Job: CombiningJob>(
    _ job: Job.Type, _ lines: [String], badRecords: Int = 0
  ) throws -> (lines: [String], summary: JobSummary) {
    var jobs = JobRegistry()
    jobs.register(job)
    return try run(jobs, Job.name, lines, badRecords)
  }

  private func run(
    _ jobs: JobRegistry, _ name: String, _ lines: [String], _ badRecords: Int = 0
  ) throws -> (lines: [String], summary: JobSummary) {
    let folder = try TemporaryFolder()
    let input = try folder.write("text", lines.map { $0 + "\n" }.joined())
    var configuration = JobConfiguration(job: name, inputs: [input], output: folder.file("out"))
    configuration.splitBytes = 1 << 16
    configuration.badRecordLimit = badRecords
    let summary = try MapReduce.run(configuration, jobs: jobs, logger: quiet)
    let text = String(decoding: try outputLines(folder.file("out")), as: UTF8.self)
    return (text.split(separator: "\n").map(String.init), summary)
  }

  @Test("a value of several words is folded by the job's own combiner")
  func extremes() throws {
    var random = SplitMix(state: 5)
    var expected: [String: Extremes] = [:]
    let lines = (0..<30_000).map { _ in
      let station = "s\(Int.random(in: 0..<300, using: &random))"
      let number = Int.random(in: -1000...1000, using: &random)
      if expected[station] == nil {
        expected[station] = Extremes(number)
      } else {
        FoldExtremes.combine(&expected[station]!, Extremes(number))
      }
      return "\(station) \(number)"
    }
    let result = try run(Stations.self, lines)
    #expect(
      result.lines
        == expected.map { "\($0)\t\($1.least)/\($1.greatest)/\($1.total)" }.sorted {
          $0.utf8.lexicographicallyPrecedes($1.utf8)
        })
    #expect(result.summary.mapTasks > 3)
  }

  @Test("bad records are counted and skipped up to the limit")
  func badRecords() throws {
    let lines = ["a 1", "bad", "a 2", "also bad one", "b 5"]
    let result = try run(Stations.self, lines, badRecords: 2)
    #expect(result.lines == ["a\t1/2/3", "b\t5/5/5"])
    #expect(result.summary.badRecords == 2 && result.summary.records == 5)
    #expect {
      try run(Stations.self, lines, badRecords: 1)
    } throws: { "\($0)".contains("2 bad records") && "\($0)".contains("bad line") }
  }

  @Test("integer keys come in numeric order within a part, floats sum in order of input")
  func floats() throws {
    let lines = (0..<20_000).map { "\(Double($0) * 1.1)" }
    let first = try run(Floats.self, lines)
    let second = try run(Floats.self, lines)
    #expect(first.lines == second.lines)
    #expect(first.lines.count == 7)
    var writer = try ByteWriter(Region(reserving: 1 << 16))
    for number in [Int.min, -5, -1, 0, 1, 300, Int.max] { number.encodeKey(into: &writer) }
    let bytes = writer.span.copied()
    let keys = stride(from: 0, to: bytes.count, by: 8).map { Array(bytes[$0..<$0 + 8]) }
    #expect(zip(keys, keys.dropFirst()).allSatisfy { $0.lexicographicallyPrecedes($1) })
  }

  @Test("when combining does not pay the table is bypassed, with the same answer")
  func bypass() throws {
    let lines = (0..<300_000).map { "key \($0 % 299_000)" }
    let folder = try TemporaryFolder()
    let input = try folder.write("text", lines.map { $0 + "\n" }.joined())
    var jobs = JobRegistry()
    jobs.register(Distinct.self)
    let configuration = JobConfiguration(
      job: "distinct", inputs: [input], output: folder.file("out"))
    let summary = try MapReduce.run(configuration, jobs: jobs, logger: quiet)
    // Without the bypass one map task would send 299,000 records.
    #expect(summary.shuffledRecords > 299_000 && summary.pairs == 300_000)
    #expect(summary.outputRecords == 299_000)
    #expect(
      try shell("cut -f2 '\(folder.file("out"))'/part-* | sort | uniq -c | tr -s ' '")
        == Array(" 298000 1\n 1000 2\n".utf8))
  }

  @Test("a reducer sees all values of a key, in order of input")
  func index() throws {
    var random = SplitMix(state: 9)
    var expected: [String: [String]] = [:]
    let lines = (0..<8000).map { number in
      let words = (0..<Int.random(in: 0...12, using: &random)).map { _ in
        "word-that-is-long-\(Int.random(in: 0..<900, using: &random))"
      }
      for word in words { expected[word, default: []].append("\(number)") }
      return "\(number) " + words.joined(separator: " ")
    }
    var jobs = JobRegistry()
    jobs.register(LineIndex.self)
    let result = try run(jobs, "lines", lines)
    #expect(
      result.lines
        == expected.map { "\($0)\t\($1.prefix(50).joined(separator: ","))" }.sorted {
          $0.utf8.lexicographicallyPrecedes($1.utf8)
        })
    #expect(result.summary.mapTasks > 5)
  }
}
