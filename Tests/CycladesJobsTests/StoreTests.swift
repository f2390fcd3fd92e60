import CycladesClient
import CycladesMapReduce
import CycladesPaxos
import CycladesServer
import CycladesTransport
import Foundation
import Logging
import Testing

@testable import CycladesJobs

private let quiet = Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }

/// A cluster of one node, and a folder, both gone after `body`.
private func withStore(
  _ body: (_ client: StoreClient, _ server: String, _ folder: URL) async throws -> Void
) async throws {
  let folder = FileManager.default.temporaryDirectory
    .appending(path: "cyclades-test-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  let configuration = StoreServerConfiguration(
    node: NodeID(1), peers: [NodeID(1): .loopback()], directory: folder.path + "/data")
  let server = StoreServer(configuration, logger: quiet)
  try server.start()
  let address = try #require(server.addresses?.cluster)
  let client = try await StoreClient.connect(to: ["\(address)"], logger: quiet)
  do {
    try await body(client, "\(address)", folder)
  } catch {
    await client.close()
    await server.stop()
    throw error
  }
  await client.close()
  await server.stop()
}

private func run(_ job: JobConfiguration, _ jobs: JobRegistry = .builtin) async throws -> JobSummary
{
  try await MapReduce.withStore(job, jobs: jobs, logger: quiet) {
    try MapReduce.run($0, jobs: jobs, logger: quiet)
  }
}

@Suite("Keys of a store as input and output", .timeLimit(.minutes(2)), .serialized)
struct StoreTests {
  @Test("places are read as they are written")
  func places() throws {
    let place = try #require(StorePlace("redis://a:1,b:2/user:x/y"))
    #expect(place.servers == ["a:1", "b:2"] && place.prefix == "user:x/y")
    #expect(place.description == "redis://a:1,b:2/user:x/y")
    #expect(StorePlace("redis://a:1")?.prefix == "")
    #expect(StorePlace("folder/file") == nil)
  }

  @Test("words of values are counted into other keys, and again with the same outcome")
  func wordCount() async throws {
    try await withStore { client, server, folder in
      for number in 0..<500 { try await client.set("text:\(number)", "all w\(number % 7)") }
      try await client.set("else", "not this")
      _ = try await client.send("HSET", "text:hash", "field", "nor this")
      var job = JobConfiguration(
        job: "wordcount", inputs: ["redis://\(server)/text:"], output: "redis://\(server)/count:")
      let summary = try await run(job)
      #expect(summary.inputFiles == 16 && summary.outputRecords == 508)
      #expect(try await client.getString("count:all") == "500")
      #expect(try await client.getString("count:w0") == "72")
      // The record is the key without its prefix, and the value.
      #expect(try await client.getString("count:17") == "1")
      #expect(try await client.getString("count:not") == nil)
      #expect(try await client.getString("count:_SUCCESS") == "wordcount")
      await #expect {
        try await run(job)
      } throws: { "\($0)".contains("holds the output of a job") }
      job.overwrites = true
      #expect(try await run(job).outputRecords == 508)
      #expect(try await client.getString("count:all") == "500")
      // Output is input: neither the marker nor other keys are in it.
      let again = JobConfiguration(
        job: "wordcount", inputs: ["redis://\(server)/count:"], output: folder.path + "/out")
      #expect(try await run(again).pairs == 2 * 508)
      #expect(try MapReduce.lines(of: folder.path + "/out").contains("all\t1"))
    }
  }

  @Test("lines are joined with values, and every key is written")
  func join() async throws {
    try await withStore { client, server, folder in
      for number in 0..<50 { try await client.set("customer:\(number)", "name \(number)") }
      let orders = (0..<300).map { "order\($0),\($0 % 60)" }.joined(separator: "\n")
      try orders.write(to: folder.appending(path: "orders.csv"), atomically: true, encoding: .utf8)
      let job = try JobConfiguration(
        StoreJoin.self, .init(field: 1, separator: ","),
        inputs: [folder.path + "/orders.csv", "redis://\(server)/customer:"],
        output: folder.path + "/joined")
      let summary = try await run(job)
      let lines = try MapReduce.lines(of: folder.path + "/joined")
      #expect(lines.count == 300 && summary.counters["lines without a value"] == 50)
      #expect(lines.contains("17\torder77,17\tname 17"))
      #expect(lines.contains("55\torder55,55\t"))
    }
  }

  @Test("a job that fails, or gives a key two values, writes nothing")
  func nothingPartial() async throws {
    try await withStore { client, server, folder in
      try "a 1\na 2\nb 3\n".write(
        to: folder.appending(path: "lines"), atomically: true, encoding: .utf8)
      var jobs = JobRegistry.builtin
      jobs.register(Twice.self)
      for name in ["twice", "failing"] {
        jobs.register(Failing.self)
        let job = JobConfiguration(
          job: name, inputs: [folder.path + "/lines"], output: "redis://\(server)/out:")
        await #expect(throws: MapReduceError.self) { try await run(job, jobs) }
      }
      #expect(try await client.send("DBSIZE").integer == 0)
    }
  }

  @Test("bytes of any kind go in and out where records are length-prefixed")
  func anyBytes() async throws {
    try await withStore { client, server, _ in
      let key = Array("in:".utf8) + [0, 9, 10, 255]
      try await client.set(key, [10, 0, 9] as [UInt8])
      var jobs = JobRegistry()
      jobs.register(Copy.self)
      jobs.register(Twice.self)
      let job = JobConfiguration(
        job: "copy", inputs: ["redis://\(server)/in:"], output: "redis://\(server)/out:")
      _ = try await run(job, jobs)
      #expect(try await client.get(Array("out:".utf8) + [0, 9, 10, 255]) == [10, 0, 9])
      await #expect {
        try await run(job.with(job: "twice"), jobs)
      } throws: { "\($0)".contains("has a tab or a newline") }
    }
  }

  @Test("a store that does not answer is named")
  func unreachable() async throws {
    let job = JobConfiguration(
      job: "wordcount", inputs: ["redis://127.0.0.1:1/x"], output: "/nowhere/out")
    await #expect {
      try await run(job)
    } throws: { "\($0)".contains("redis://127.0.0.1:1/x") }
  }
}

extension JobConfiguration {
  fileprivate func with(job: String) -> JobConfiguration {
    var copy = self
    copy.job = job
    copy.overwrites = true
    return copy
  }
}

/// Writes each pair it reads.
private struct Copy: ReducingJob {
  static let name = "copy"
  static let records = RecordFormat.lengthPrefixed
  init(arguments: [String]) {}
  func map(_ record: RawSpan, into output: inout Emitter<ByteString, ByteString>) {
    record.withPair { output.emit($0, ByteString($1.copied())) }
  }
  func reduce(
    _ key: ByteString, _ values: inout Values<ByteString>, into output: inout ReduceOutput
  ) throws {
    while let value = try values.next() { output.emit(value) }
  }
}

/// Gives every key as many values as it has.
private struct Twice: ReducingJob {
  static let name = "twice"
  init(arguments: [String]) {}
  func map(_ line: RawSpan, into output: inout Emitter<ByteString, ByteString>) {
    output.emit(line.extracting(first: 1), ByteString(line.copied()))
  }
  func reduce(
    _ key: ByteString, _ values: inout Values<ByteString>, into output: inout ReduceOutput
  ) throws {
    while let value = try values.next() { output.emit(value) }
  }
}

/// Throws on its last line.
private struct Failing: CombiningJob {
  typealias Combine = Sum<Int>
  static let name = "failing"
  init(arguments: [String]) {}
  func map(_ line: RawSpan, into output: inout Emitter<ByteString, Int>) throws {
    guard line.copied().first != UInt8(ascii: "b") else { throw MapReduceError(.job, "no b") }
    output.emit(line, 1)
  }
}
