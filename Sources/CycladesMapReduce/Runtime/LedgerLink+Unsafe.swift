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
    case announce(name: String, maps: Int, partitions: Int, session: UInt64)
    case decide(Decision)
  }

  private let questions: AsyncStream<Question>.Continuation

  /// Held until the last question is answered; touched on the reactor's thread alone.
  private struct Asker: @unchecked Sendable {
    let driver: JobDriver
  }

  init(_ ledger: any DecisionLog, job: UInt64, for driver: JobDriver, on reactor: Reactor) {
    let (stream, questions) = AsyncStream.makeStream(of: Question.self)
    self.questions = questions
    let asker = Asker(driver: driver)
    let mailbox = reactor.mailbox
    Task {
      var incarnation = 0
      for await question in stream {
        let answer = await LedgerLink.ask(ledger, job, question, &incarnation)
        guard mailbox.post({ asker.driver.answered(answer) }) else { return }
      }
    }
  }

  func announce(_ job: JobOrder, session: UInt64) {
    questions.yield(
      .announce(
        name: job.setup.name, maps: job.splits.count, partitions: job.setup.partitions,
        session: session))
  }

  func propose(_ decision: Decision) { questions.yield(.decide(decision)) }

  /// Says that nothing more is asked.
  func close() { questions.finish() }

  private static func ask(
    _ ledger: any DecisionLog, _ job: UInt64, _ question: Question, _ incarnation: inout Int
  ) async -> Answer {
    var writer = PayloadWriter()
    switch question {
    case .announce(let name, let maps, let partitions, let session):
      writer.put(JobLedger.Verb.announce.rawValue)
      writer.put(job)
      writer.put(name)
      writer.put(maps)
      writer.put(partitions)
      writer.put(session)
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
