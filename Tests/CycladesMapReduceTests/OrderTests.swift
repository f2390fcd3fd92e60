import Glibc
import Testing

@testable import CycladesMapReduce

/// Counts lines; odd numbers of bytes go to part 0.
private struct Chosen: CombiningJob {
  typealias Combine = Count
  static let name = "chosen"
  static let short = JobCounter(2, "short lines")
  static let groups = JobCounter(0, "unused")
  static var counters: [JobCounter] { [short, groups] }
  init(arguments: [String]) {}
  var partitioner: (@Sendable (RawSpan, Int) -> Int)? {
    { key, count in key.byteCount % 2 == 1 ? 0 : count - 1 }
  }
  func map(_ line: RawSpan, into output: inout Emitter<ByteString, Int>) {
    if line.byteCount < 3 { output.count(Self.short) }
    output.emit(line, 1)
  }
}

/// Adds up, in whatever order, the numbers of "key number".
private struct Totals: ReducingJob {
  static let name = "totals"
  static let keys = JobCounter(5, "keys")
  static var counters: [JobCounter] { [keys] }
  init(arguments: [String]) {}
  func map(_ line: RawSpan, into output: inout Emitter<ByteString, Int>) {
    line.withFields(separatedBy: UInt8(ascii: " ")) { fields in
      output.emit(fields[0], fields[1].fixedPoint() ?? 0)
    }
  }
  func reduce(
    _ key: ByteString, _ values: inout Values<Int>, into output: inout ReduceOutput
  ) throws {
    var total = 0
    while let value = try values.next() { total += value }
    output.count(Self.keys)
    output.emit(total)
  }
}

@Suite("Order, partitions and memory", .timeLimit(.minutes(5)))
struct OrderTests {
  private let jobs = {
    var jobs = JobRegistry.builtin
    jobs.register(Chosen.self)
    jobs.register(Totals.self)
    return jobs
  }()

  private func configuration(
    _ job: String, _ folder: TemporaryFolder, _ lines: some Sequence<String>
  ) throws -> JobConfiguration {
    let input = try folder.write("text", lines.map { $0 + "\n" }.joined())
    var configuration = JobConfiguration(job: job, inputs: [input], output: folder.file("out"))
    configuration.splitBytes = 1 << 16
    configuration.overwrites = true
    return configuration
  }

  private func parts(_ configuration: JobConfiguration) throws -> [UInt8] {
    _ = try MapReduce.run(configuration, jobs: jobs, logger: quiet)
    return try shell("cat '\(configuration.output)'/part-*")
  }

  @Test("sort gives what sort gives, over all parts in order", arguments: [1, 2, 7])
  func sort(partitions: Int) throws {
    let folder = try TemporaryFolder()
    var random = SplitMix(state: 3)
    let lines = (0..<40_000).map { _ in
      String(Int.random(in: 0..<30_000, using: &random), radix: 7)
    }
    var configuration = try configuration("sort", folder, lines)
    configuration.partitions = partitions
    #expect(try parts(configuration) == shell("sort '\(folder.file("text"))'"))
    if partitions > 1 {
      // The sample cuts into shares that are somewhat alike.
      let sizes = try shell("wc -c < '\(folder.file("out"))/part-00000'")
      let first = Int(String(decoding: sizes.filter { $0 != 0x0a }, as: UTF8.self)) ?? 0
      let total = lines.reduce(0) { $0 + $1.utf8.count + 1 }
      #expect(first > total / partitions / 2 && first < total / partitions * 2)
    }
  }

  @Test("more parts than different keys leave some empty")
  func fewKeys() throws {
    let folder = try TemporaryFolder()
    var configuration = try configuration("sort", folder, ["b", "a", "b", "b"])
    configuration.partitions = 9
    #expect(try parts(configuration) == Array("a\nb\nb\nb\n".utf8))
  }

  @Test("a job chooses partitions and counts")
  func partitioner() throws {
    let folder = try TemporaryFolder()
    var configuration = try configuration("chosen", folder, ["a", "bb", "ccc", "dddd", "a"])
    configuration.partitions = 3
    let summary = try MapReduce.run(configuration, jobs: jobs, logger: quiet)
    #expect(summary.counters == ["short lines": 3, "unused": 0])
    #expect(
      try Files.contents(folder.file("out/part-00000")) == Array("a\t2\nccc\t1\n".utf8))
    #expect(try Files.contents(folder.file("out/part-00001")) == [])
    #expect(
      try Files.contents(folder.file("out/part-00002")) == Array("bb\t1\ndddd\t1\n".utf8))
  }

  @Test("the greatest of each group come first, in order")
  func topK() throws {
    let folder = try TemporaryFolder()
    var random = SplitMix(state: 8)
    var expected: [String: [Int]] = [:]
    let lines = (0..<9000).map { _ in
      let (host, size) = (
        "h\(Int.random(in: 0..<40, using: &random))",
        Int.random(in: -99...99_999, using: &random)
      )
      expected[host, default: []].append(size)
      return "\(host) \(size)"
    }
    var configuration = try configuration("topk", folder, lines)
    try configuration.set(TopK.Parameters(count: 3, group: 0, number: 1), of: TopK.self)
    _ = try parts(configuration)
    for host in expected.keys {
      let found = try shell(
        "cat '\(folder.file("out"))'/part-* | grep '^\(host)\t' | cut -d' ' -f2")
      let best = expected[host, default: []].sorted(by: >).prefix(3)
      #expect(String(decoding: found, as: UTF8.self) == best.map { "\($0)\n" }.joined())
    }
    configuration.arguments = ["{\"count\":0}"]
    #expect(throws: MapReduceError.self) { try parts(configuration) }
  }

  @Test("keys with an order keep groups apart that are prefixes of each other")
  func orderedKeys() throws {
    var writer = try ByteWriter(Region(reserving: 1 << 16))
    let groups: [[UInt8]] = [[], [0], [0, 0], [0, 1], [1], [1, 0], [1, 0, 0], [1, 1]]
    var encoded: [[UInt8]] = []
    for group in groups {
      for order in [-1.5, 0, 2] {
        writer.removeAll()
        OrderedKey(ByteString(group), order).encodeKey(into: &writer)
        let read = try OrderedKey<ByteString, Double>(decodingKey: writer.span)
        #expect(read.group.bytes == group && read.order == order)
        encoded.append(writer.span.copied())
      }
    }
    #expect(zip(encoded, encoded.dropFirst()).allSatisfy { $0.lexicographicallyPrecedes($1) })
  }

  @Test("what does not fit into memory is spilled, with the same answer", arguments: [1, 2])
  func spilling(threads: Int) throws {
    let folder = try TemporaryFolder()
    let lines = (0..<150_000).map {
      "k\($0 * 7919 % 140_000)-\(String(repeating: "x", count: 40)) 1"
    }
    for job in ["totals", "sort", "chosen"] {
      var configuration = try configuration(job, folder, lines)
      configuration.threads = threads
      configuration.splitBytes = 1 << 20
      configuration.partitions = 2
      let expected = try parts(configuration)
      // Below what a user may ask for, so that little data will do.
      let planned = try PlannedJob(configuration, jobs: jobs, memoryBytes: 8 << 20)
      let output = try OutputFolder(
        claiming: folder.file("small"), job: job, overwrites: true)
      let summary = try LocalRunner(planned, into: output, cancellation: JobCancellation())
        .run { _ in }
      #expect(summary.spilledBytes > 2 << 20, "\(job)")
      #expect(try shell("cat '\(folder.file("small"))'/part-*") == expected, "\(job)")
    }
  }

  @Test("stages follow each other and leave only the last output")
  func chain() throws {
    let folder = try TemporaryFolder()
    let first = try configuration("wordcount", folder, ["b a b", "c b a"])
    var second = JobConfiguration(job: "sort", inputs: ["-"], output: folder.file("last"))
    second.partitions = 1
    let summaries = try MapReduce.run(chain: [first, second], jobs: jobs, logger: quiet)
    #expect(summaries.map(\.outputRecords) == [3, 3])
    #expect(try MapReduce.lines(of: folder.file("last")) == ["a\t2", "b\t3", "c\t1"])
    #expect(Files.names(in: folder.path) == ["last", "text"])
  }

  @Test("a trace of all tasks is JSON")
  func trace() throws {
    let folder = try TemporaryFolder()
    var configuration = try configuration("wordcount", folder, (0..<30_000).map { "\($0)" })
    configuration.trace = folder.file("trace.json")
    _ = try parts(configuration)
    let names = try shell(
      "python3 -c \"import json; print(len(json.load(open('\(folder.file("trace.json"))'))))\"")
    #expect(String(decoding: names, as: UTF8.self) == "7\n")
  }
}
