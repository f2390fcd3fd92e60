public import CycladesReplication
internal import CycladesTransport

/// A replicated log of decisions: a `Replica` of `JobLedger` is one.
public protocol DecisionLog: Sendable {
  /// Has a command decided and applied, and returns the machine's reply.
  func propose(_ command: [UInt8]) async throws -> [UInt8]
  /// Has a query answered.
  func read(_ query: [UInt8]) async throws -> [UInt8]
}

extension Replica: DecisionLog {}

/// A coordinator's way to its ledger: commands go out one after the other, answers come back on its
/// reactor in the same order.
@safe final class LedgerLink {
  /// What comes back.
  enum Answer: Sendable {
    case record(JobRecord)
    case logged(Decision)
    case refused(MapReduceError)
  }

  private enum Question: Sendable {
    case announce(name: String, maps: Int, partitions: Int)
    case decide(Decision)
  }

  private let questions: AsyncStream<Question>.Continuation

  /// The host lives longer than its reactor runs, and answers are delivered by that alone.
  private struct Host: @unchecked Sendable {
    unowned let host: CoordinatorHost
  }

  init(_ ledger: any DecisionLog, job: UInt64, host: CoordinatorHost, on reactor: Reactor) {
    let (stream, questions) = AsyncStream.makeStream(of: Question.self)
    self.questions = questions
    let reference = Host(host: host)
    let mailbox = reactor.mailbox
    Task {
      var incarnation = 0
      for await question in stream {
        let answer = await LedgerLink.ask(ledger, job, question, &incarnation)
        guard mailbox.post({ reference.host.answered(answer) }) else { return }
      }
    }
  }

  func announce(_ job: PlannedJob) {
    questions.yield(
      .announce(
        name: job.setup.name, maps: job.plan.splits.count, partitions: job.setup.partitions))
  }

  func propose(_ decision: Decision) { questions.yield(.decide(decision)) }

  /// Says that nothing more is asked.
  func close() { questions.finish() }

  private static func ask(
    _ ledger: any DecisionLog, _ job: UInt64, _ question: Question, _ incarnation: inout Int
  ) async -> Answer {
    var writer = PayloadWriter()
    switch question {
    case .announce(let name, let maps, let partitions):
      writer.put(JobLedger.Verb.announce.rawValue)
      writer.put(job)
      writer.put(name)
      writer.put(maps)
      writer.put(partitions)
    case .decide(let decision):
      writer.put(JobLedger.Verb.decide.rawValue)
      writer.put(job)
      writer.put(incarnation)
      decision.write(&writer)
    }
    do {
      var reader = PayloadReader(try await ledger.propose(writer.bytes))
      switch (JobLedger.Verb(rawValue: try reader.number()), question) {
      case (.done, .announce):
        let record = try JobRecord(&reader)
        incarnation = record.incarnation
        return .record(record)
      case (.done, .decide(let decision)): return .logged(decision)
      case (.cancelled, _): return .refused(JobCancellation.error)
      default:
        return .refused(
          MapReduceError(.ledger, "another coordinator has taken the job over"))
      }
    } catch {
      return .refused(MapReduceError(.ledger, "the job's ledger does not answer", cause: error))
    }
  }
}

/// A job as its ledger knows it.
public struct JobStatus: Sendable, Hashable {
  /// Names the job for `cancel`.
  public var id: UInt64
  /// Of the job's type.
  public var name: String
  /// How many coordinators it has had.
  public var coordinators: Int
  /// Map tasks in all, and those that were done once.
  public var maps: Int
  /// Map tasks that were done once.
  public var mapsDone: Int
  /// Parts in all.
  public var parts: Int
  /// Parts that are done for good.
  public var partsDone: Int
  /// `running`, `complete`, `failed` or `cancelled`.
  public var state: String
}

extension MapReduce {
  /// The jobs of a ledger, in order of their first start: those that run, and the last that ended.
  public static func jobs(in ledger: any DecisionLog) async throws -> [JobStatus] {
    try JobLedger.records(try await ledger.read([])).map { id, record in
      JobStatus(
        id: id, name: record.name, coordinators: record.incarnation, maps: record.maps,
        mapsDone: record.digests.count, parts: record.partitions, partsDone: record.parts.count,
        state: record.isCancelled
          ? "cancelled" : record.outcome.map { $0 ? "complete" : "failed" } ?? "running")
    }
  }

  /// Cancels a job of a ledger: its coordinator stops at its next decision. False when there is none.
  public static func cancel(_ job: UInt64, in ledger: any DecisionLog) async throws -> Bool {
    var writer = PayloadWriter()
    writer.put(JobLedger.Verb.cancel.rawValue)
    writer.put(job)
    var reader = PayloadReader(try await ledger.propose(writer.bytes))
    return try reader.number() == JobLedger.Verb.done.rawValue
  }
}
