import Glibc
import Testing

@testable import CycladesMapReduce

@Suite("Output folder", .timeLimit(.minutes(5)))
struct OutputTests {
  private func run(
    _ folder: TemporaryFolder, _ text: String, overwrites: Bool = false
  ) throws -> JobSummary {
    let input = try folder.write("text", text)
    var configuration = JobConfiguration(
      job: "wordcount", inputs: [input], output: folder.file("out"))
    configuration.overwrites = overwrites
    return try MapReduce.run(configuration, jobs: .builtin, logger: quiet)
  }

  @Test("it holds parts, a manifest with their digests and the success marker")
  func manifest() throws {
    let folder = try TemporaryFolder()
    let summary = try run(folder, "b a b")
    #expect(
      Files.names(in: folder.file("out"))
        == ["MANIFEST", "_SUCCESS", "part-00000", "part-00001", "part-00002", "part-00003"])
    #expect(try outputLines(folder.file("out")) == Array("a\t1\nb\t2\n".utf8))
    #expect(summary.outputRecords == 2 && summary.outputBytes == 8)
    let manifest = String(
      decoding: try shell("cat '\(folder.file("out"))/MANIFEST'"), as: UTF8.self)
    let lines = manifest.split(separator: "\n")
    #expect(lines[0] == "cyclades-mapreduce 1" && lines[1] == "job\twordcount")
    #expect(lines.count == 6)
    // The XXH3-64 of no bytes at all.
    #expect(lines.contains { $0.hasSuffix("\t0\t0\txxh3:2d06800538d394c2") })
  }

  @Test("the output of an earlier job is replaced only when that is asked for")
  func reuse() throws {
    let folder = try TemporaryFolder()
    _ = try run(folder, "one two three")
    #expect {
      try run(folder, "four")
    } throws: { "\($0)".contains("holds the output of a job") }
    #expect(
      try outputLines(folder.file("out")) == Array("one\t1\nthree\t1\ntwo\t1\n".utf8))
    _ = try run(folder, "four", overwrites: true)
    #expect(try outputLines(folder.file("out")) == Array("four\t1\n".utf8))
  }

  @Test("a folder with anything else in it is refused and left alone")
  func foreign() throws {
    let folder = try TemporaryFolder()
    _ = try run(folder, "one")
    try folder.write("out/notes", "mine")
    #expect {
      try run(folder, "two")
    } throws: { ($0 as? MapReduceError)?.code == .output && "\($0)".contains("not empty") }
    #expect(try outputLines(folder.file("out")) == Array("one\t1\n".utf8))
    _ = try shell("rm -r '\(folder.file("out"))'; mkdir '\(folder.file("out"))'")
    try folder.write("out/part-00000", "not ours")
    #expect(throws: MapReduceError.self) { try run(folder, "two") }
  }

  @Test("two jobs cannot write into one folder")
  func concurrent() throws {
    let folder = try TemporaryFolder()
    let first = try OutputFolder(claiming: folder.file("out"), job: "first", overwrites: false)
    #expect {
      try OutputFolder(claiming: folder.file("out"), job: "second", overwrites: false)
    } throws: { "\($0)".contains("another job is writing") }
    first.discard()
    _ = try OutputFolder(claiming: folder.file("out"), job: "second", overwrites: false)
  }

  @Test("a job that fails leaves nothing behind")
  func failure() throws {
    let folder = try TemporaryFolder()
    let configuration = JobConfiguration(
      job: "fails", inputs: [try folder.write("text", "a\n")], output: folder.file("out"))
    var jobs = JobRegistry()
    jobs.register(FailingJob.self)
    #expect(throws: MapReduceError.self) {
      try MapReduce.run(configuration, jobs: jobs, logger: quiet)
    }
    #expect(Files.names(in: folder.path) == ["text"])
  }

  @Test("a cancelled job throws and leaves nothing behind")
  func cancelled() throws {
    let folder = try TemporaryFolder()
    let configuration = JobConfiguration(
      job: "wordcount", inputs: [try folder.write("text", "a\n")], output: folder.file("out"))
    let cancellation = JobCancellation()
    cancellation.cancel()
    #expect {
      try MapReduce.run(
        configuration, jobs: .builtin, logger: quiet, cancellation: cancellation)
    } throws: { ($0 as? MapReduceError)?.code == .cancelled }
    #expect(Files.names(in: folder.path) == ["text"])
  }
}

/// Throws on every record.
struct FailingJob: CombiningJob {
  typealias Combine = Sum<Int>
  static let name = "fails"
  init(arguments: [String]) {}
  func map(_ record: RawSpan, into output: inout Emitter<ByteString, Int>) throws {
    throw TestFailure("no record is good enough")
  }
}
