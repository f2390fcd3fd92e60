import Glibc
import Testing

@testable import CycladesMapReduce

/// What goes wrong outside the job's own code: it is named, and nothing partial is ever visible.
@Suite("Bad input and full disks", .timeLimit(.minutes(5)), .serialized)
struct BadInputTests {
  /// Runs the command with files limited to so many KiB; a write beyond that fails like one on a disk
  /// that is full. What it printed, with its exit code behind.
  private func run(_ arguments: String, limit: Int) throws -> String {
    let output = try shell(
      "trap '' XFSZ; ulimit -f \(limit * 2); timeout 60 '\(program)' mapreduce \(arguments) 2>&1;"
        + " echo $?")
    return String(decoding: output, as: UTF8.self)
  }

  @Test("a spill that the disk does not take fails the job by name", arguments: [0, 2])
  func fullWhileSpilling(workers: Int) throws {
    let folder = try TemporaryFolder()
    let (lines, out, spill) = (folder.file("lines"), folder.file("out"), folder.file("spill"))
    try RandomLines(seed: 1).write(800_000, to: lines)
    _ = try shell("mkdir '\(spill)'")
    let output = try run(
      "sort --input '\(lines)' --output '\(out)' --workers \(workers) --threads 1 --memory 64",
      limit: 4096)
    #expect(output.contains("cannot spill to '\(out)/.spill-"), "\(output)")
    #expect(output.hasSuffix("1\n"))
    #expect(Files.names(in: out) == nil)
    // Nothing but room was missing.
    let again = try shell(
      "'\(program)' mapreduce sort --input '\(lines)' --output '\(out)' --workers \(workers)"
        + " --threads 1 --memory 64 --json 2>/dev/null; echo $?")
    #expect(String(decoding: again, as: UTF8.self).hasSuffix("}\n0\n"))
  }

  @Test("a part that the disk does not take fails the job by name", arguments: [0, 2])
  func fullWhileWriting(workers: Int) throws {
    let folder = try TemporaryFolder()
    let (lines, out) = (folder.file("lines"), folder.file("out"))
    try RandomLines(seed: 2).write(50_000, to: lines)
    let output = try run(
      "sort --input '\(lines)' --output '\(out)' --workers \(workers) --partitions 2", limit: 1024)
    #expect(output.contains("cannot write '\(out)/.part-0000"), "\(output)")
    #expect(output.hasSuffix("1\n"))
    #expect(Files.names(in: out) == nil)
  }

  @Test("a link to nowhere in an input folder is named")
  func danglingLink() throws {
    let folder = try TemporaryFolder()
    _ = try shell("mkdir '\(folder.file("in"))' && ln -s nowhere '\(folder.file("in"))/link'")
    #expect {
      try InputFiles.find([folder.file("in")])
    } throws: { "\($0)".contains("in/link': No such file") }
  }

  @Test("what is neither a file nor a folder is no input")
  func pipe() throws {
    let folder = try TemporaryFolder()
    _ = try shell("mkfifo '\(folder.file("pipe"))'")
    #expect {
      try InputFiles.find([folder.file("pipe")])
    } throws: { "\($0)".contains("pipe': neither a file nor a folder") }
  }

  @Test("a record above the limit is named with its place", arguments: [RecordFormat.line, .csv])
  func largeRecord(format: RecordFormat) throws {
    let folder = try TemporaryFolder()
    let text = Array("short\n".utf8) + [UInt8](repeating: 0x78, count: 900_000)
    let path = try folder.write("text", text)
    let segment = InputSegment(
      path: path, offset: 0, byteCount: text.count, fileByteCount: text.count)
    let reader = SplitReader(
      InputSplit(segments: [segment]), format: format,
      region: try Region(reserving: TaskMemory.recordLimit + (8 << 20)), windowBytes: 64 << 10,
      recordLimit: 256 << 10)
    #expect {
      while try unsafe reader.withNextWindow({ _ in }) {}
    } throws: {
      "\($0)".contains("text at byte 6: a record is larger than 262144 bytes")
    }
  }

  @Test("an empty key, keys that are prefixes, and one key with all values are like any other")
  func oddKeys() throws {
    let folder = try TemporaryFolder()
    var jobs = JobRegistry()
    jobs.register(OddKeys.self)
    let lines = (0..<200_000).map {
      $0 % 1000 == 0 ? String(repeating: "a", count: $0 / 1000) : "k"
    }
    let input = try folder.write("text", lines.joined(separator: "\n") + "\n")
    for threads in [1, 3] {
      var configuration = JobConfiguration(
        job: "odd keys", inputs: [input], output: folder.file("out\(threads)"))
      configuration.threads = threads
      configuration.splitBytes = 1 << 16
      configuration.partitions = 7
      let summary = try MapReduce.run(configuration, jobs: jobs, logger: quiet)
      #expect(summary.outputRecords == 201)
      let output = String(
        decoding: try outputLines(folder.file("out\(threads)")), as: UTF8.self)
      #expect(output.hasPrefix("\t1\na\t1\naa\t1\n") && output.contains("\nk\t199800\n"))
    }
  }
}

private struct OddKeys: ReducingJob {
  static let name = "odd keys"
  init(arguments: [String]) {}

  func map(_ line: RawSpan, into output: inout Emitter<ByteString, Int>) { output.emit(line, 1) }

  func reduce(_ key: ByteString, _ values: inout Values<Int>, into output: inout ReduceOutput)
    throws
  {
    var count = 0
    while let value = try values.next() { count += value }
    output.emit(count)
  }
}
