import CycladesPaxos
import CycladesReplication
import CycladesTransport
import Dispatch
import Glibc
import Synchronization
import Testing

@testable import CycladesMapReduce

/// A ledger in memory that stops answering one coordinator after so many commands, as the group does
/// when that coordinator is dead and another has announced itself.
private final class Ledger: DecisionLog {
  private let state = Mutex(State())
  private struct State {
    var machine = JobLedger()
    var left = Int.max
    var commands = 0
  }

  /// Lets so many more commands through.
  func allow(_ commands: Int) {
    state.withLock {
      $0.left = commands
      $0.commands = 0
    }
  }

  var commandCount: Int { state.withLock { $0.commands } }

  func propose(_ command: [UInt8]) async throws -> [UInt8] {
    try state.withLock { state in
      guard state.left > 0 else { throw TestFailure("the ledger is gone") }
      state.left -= 1
      state.commands += 1
      var reply = Reply()
      unsafe state.machine.apply(
        command.span.bytes, ApplyContext(group: 0, slot: 1, time: 0), reply: &reply)
      return reply.bytes
    }
  }

  func read(_ query: [UInt8]) async throws -> [UInt8] {
    state.withLock { state in
      var reply = Reply()
      unsafe state.machine.read(
        query.span.bytes, ApplyContext(group: 0, slot: 1, time: 0), reply: &reply)
      return reply.bytes
    }
  }
}

@Suite("Ledger", .timeLimit(.minutes(5)), .serialized)
struct LedgerTests {
  private let launch = WorkerLaunch(
    program: "/proc/self/exe",
    arguments: [
      "--testing-library", "swift-testing", "--filter", "CycladesMapReduceTests.WorkerRole",
    ])

  /// On a thread that may be blocked: the ledger's tasks need those of the tests.
  private func run(
    _ configuration: JobConfiguration, _ ledger: any DecisionLog,
    _ progress: @escaping @Sendable (JobProgress) -> Void = { _ in }
  ) async throws -> JobSummary {
    let launch = launch
    return try await withCheckedThrowingContinuation { continuation in
      DispatchQueue.global().async {
        continuation.resume(
          with: Result {
            try MapReduce.run(
              configuration, jobs: customJobs, launch: launch, ledger: ledger, logger: quiet,
              progress: progress)
          })
      }
    }
  }

  private func configuration(_ folder: TemporaryFolder) throws -> JobConfiguration {
    let text = (0..<20_000).map { "\($0) w\($0 % 97) w\($0 % 89)\n" }.joined()
    var configuration = JobConfiguration(
      job: "lines", inputs: [try folder.write("text", text)], output: folder.file("out"))
    configuration.splitBytes = 1 << 17
    configuration.partitions = 3
    configuration.workers = 2
    return configuration
  }

  @Test("a coordinator that ends at any decision is followed by one that repeats no part")
  func takeover() async throws {
    let folder = try TemporaryFolder()
    let configuration = try configuration(folder)
    let expectedLedger = Ledger()
    _ = try await run(configuration, expectedLedger)
    let expected = try shell("cd '\(folder.file("out"))' && cat MANIFEST part-*")
    let commands = expectedLedger.commandCount
    #expect(commands > 6)
    for limit in 1..<commands {
      _ = try shell("rm -r '\(folder.file("out"))'")
      let ledger = Ledger()
      ledger.allow(limit)
      await #expect(throws: MapReduceError.self) { try await run(configuration, ledger) }
      #expect(try shell("ls '\(folder.file("out"))' | grep -c _SUCCESS") == Array("0\n".utf8))
      let before = try await MapReduce.jobs(in: ledger)
      ledger.allow(.max)
      let summary = try await run(configuration, ledger)
      #expect(try shell("cd '\(folder.file("out"))' && cat MANIFEST part-*") == expected)
      #expect(summary.reduceAttempts == 3 - (before.first?.partsDone ?? 0), "limit \(limit)")
      let after = try await MapReduce.jobs(in: ledger)
      #expect(after.count == 1 && after[0].state == "complete" && after[0].coordinators == 2)
      #expect(
        try shell("ls -A '\(folder.file("out"))' | grep -c '^[.]'") == Array("0\n".utf8))
    }
  }

  @Test("a coordinator that was replaced can decide nothing more")
  func fencing() async throws {
    let ledger = Ledger()
    func command(_ put: (inout PayloadWriter) -> Void) async throws -> Int {
      var writer = PayloadWriter()
      put(&writer)
      var reader = PayloadReader(try await ledger.propose(writer.bytes))
      return try reader.number()
    }
    func announce(_ writer: inout PayloadWriter) {
      writer.put(JobLedger.Verb.announce.rawValue)
      writer.put(UInt64(7))
      writer.put("job")
      writer.put(2)
      writer.put(1)
      writer.put(UInt64(0))
    }
    func decide(_ incarnation: Int) -> (inout PayloadWriter) -> Void {
      {
        $0.put(JobLedger.Verb.decide.rawValue)
        $0.put(UInt64(7))
        $0.put(incarnation)
        Decision.mapped(map: 1, digest: 5).write(&$0)
      }
    }
    #expect(try await command(announce) == JobLedger.Verb.done.rawValue)
    #expect(try await command(decide(1)) == JobLedger.Verb.done.rawValue)
    #expect(try await command(announce) == JobLedger.Verb.done.rawValue)
    #expect(try await command(decide(1)) == JobLedger.Verb.superseded.rawValue)
    #expect(try await command(decide(2)) == JobLedger.Verb.done.rawValue)
    #expect(try await MapReduce.cancel(7, in: ledger))
    #expect(try await !MapReduce.cancel(8, in: ledger))
    #expect(try await command(decide(2)) == JobLedger.Verb.cancelled.rawValue)
    #expect(try await command { $0.put(UInt64.max) } == JobLedger.Verb.malformed.rawValue)
    let job = try await MapReduce.jobs(in: ledger)[0]
    #expect(job.state == "cancelled" && job.mapsDone == 1 && job.coordinators == 2)
  }

  @Test("a job that is complete is not begun anew by the home that has not heard of it")
  func unheard() async throws {
    let ledger = Ledger()
    func command(_ put: (inout PayloadWriter) -> Void) async throws -> PayloadReader {
      var writer = PayloadWriter()
      put(&writer)
      return PayloadReader(try await ledger.propose(writer.bytes))
    }
    func announce(_ session: UInt64) async throws -> JobRecord {
      var reader = try await command {
        $0.put(JobLedger.Verb.announce.rawValue)
        $0.put(UInt64(7))
        $0.put("job")
        $0.put(0)
        $0.put(1)
        $0.put(session)
      }
      _ = try reader.number()
      return try JobRecord(&reader)
    }
    func decide(_ incarnation: Int, _ decision: Decision) async throws -> JobLedger.Verb? {
      var reader = try await command {
        $0.put(JobLedger.Verb.decide.rawValue)
        $0.put(UInt64(7))
        $0.put(incarnation)
        decision.write(&$0)
      }
      return JobLedger.Verb(rawValue: try reader.number())
    }
    let part = PartInfo(byteCount: 1, recordCount: 1, digest: 9)
    #expect(try await announce(5).incarnation == 1)
    #expect(try await decide(1, .elected(partition: 0, attempt: 0, part)) == .done)
    #expect(try await decide(1, .ended(isComplete: true)) == .done)
    let again = try await announce(5)
    #expect(again.incarnation == 2 && again.outcome == true && again.parts.count == 1)
    // The end may be decided once more, and nothing else.
    #expect(try await decide(2, .elected(partition: 0, attempt: 1, part)) == .superseded)
    #expect(try await decide(2, .ended(isComplete: false)) == .superseded)
    #expect(try await decide(2, .ended(isComplete: true)) == .done)
    let other = try await announce(6)
    #expect(other.incarnation == 3 && other.outcome == nil && other.parts.isEmpty)
  }

  @Test("a snapshot of a ledger restores it")
  func snapshot() throws {
    var machine = JobLedger()
    var random = SplitMix(state: 4)
    let context = ApplyContext(group: 0, slot: 1, time: 0)
    for _ in 0..<50 {
      var writer = PayloadWriter()
      writer.put(JobLedger.Verb.announce.rawValue)
      writer.put(UInt64.random(in: 0..<9, using: &random))
      writer.put("job")
      writer.put(3)
      writer.put(2)
      writer.put(UInt64(0))
      var reply = Reply()
      let bytes = writer.bytes
      unsafe machine.apply(bytes.span.bytes, context, reply: &reply)
    }
    var source = machine.snapshot()
    var part = Reply()
    #expect(source.next(into: &part, byteCountTarget: 1 << 16))
    var copy = JobLedger()
    let bytes = part.bytes
    unsafe try copy.restore(bytes.span.bytes)
    var (first, second) = (Reply(), Reply())
    machine.read(RawSpan(), context, reply: &first)
    copy.read(RawSpan(), context, reply: &second)
    #expect(first.bytes == second.bytes && first.byteCount > 500)
    #expect(throws: MapReduceError.self) {
      let cut = Array(bytes.dropLast(3))
      unsafe try copy.restore(cut.span.bytes)
    }
  }

  @Test("decisions survive in the log of a replica")
  func replica() async throws {
    let folder = try TemporaryFolder()
    let configuration = try configuration(folder)
    var replica = ReplicaConfiguration(
      cluster: "ledger", node: NodeID(1),
      peers: [NodeID(1): try SocketAddress(parsing: "127.0.0.1:0")],
      directory: folder.file("ledger"))
    replica.limits.patienceNanoseconds = 10_000_000_000
    var ledger = try await Replica.start(replica, logger: quiet) { JobLedger() }
    _ = try await run(configuration, ledger)
    await ledger.stop()
    ledger = try await Replica.start(replica, logger: quiet) { JobLedger() }
    let job = try await MapReduce.jobs(in: ledger)
    #expect(job.map(\.state) == ["complete"] && job.map(\.partsDone) == [3])
    await ledger.stop()
  }
}
