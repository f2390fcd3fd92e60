public import CycladesReplication

/// The replicated state of jobs: which decisions their coordinators have made.
///
/// A group of replicas of this machine, run by `Replica` or a `ReplicaHost`, is what `MapReduce.run`
/// takes as its `ledger`. A coordinator first announces itself, which ends the rights of the one before
/// it, and learns what was decided; from then on it acts on a decision when the group has it. So
/// whoever goes on with a job elects no other attempt at a part, and two coordinators that both think
/// they lead cannot both publish.
///
///   announce (job, session) -> record    decide (job, incarnation, decision) -> done | refused
///   cancel (job) -> done                 register (node, address) -> done
///
/// A query is answered with all there is.
public struct JobLedger: StateMachine {
  private var jobs: [UInt64: JobRecord] = [:]
  /// Jobs in order of their first announcement; the oldest ended ones are forgotten.
  private var order: [UInt64] = []
  /// Where the nodes of a cluster take jobs.
  private var nodes: [UInt64: String] = [:]

  /// The most jobs that are remembered.
  private static let jobLimit = 1000

  /// Makes an empty ledger.
  public init() {}

  /// What a command or its answer is.
  enum Verb: Int {
    case announce = 1
    case decide, cancel, list
    case done, superseded, cancelled, malformed
    case register
  }

  /// Applies an announcement, a decision or a cancellation.
  public mutating func apply(
    _ command: RawSpan, _ context: ApplyContext, reply: inout Reply
  ) {
    var writer = PayloadWriter()
    do {
      var reader = PayloadReader(command.copied())
      try apply(&reader, &writer)
    } catch {
      writer = PayloadWriter()
      writer.put(Verb.malformed.rawValue)
    }
    reply.append(contentsOf: writer.bytes)
  }

  private mutating func apply(
    _ reader: inout PayloadReader, _ writer: inout PayloadWriter
  ) throws {
    let verb = Verb(rawValue: try reader.number())
    let job = try reader.word()
    switch verb {
    case .announce:
      var fresh = JobRecord(
        name: try reader.text(), maps: try reader.number(), partitions: try reader.number())
      fresh.session = try reader.word()
      var record = jobs[job] ?? fresh
      // Who asked may not have heard that it is complete.
      let isHeard = record.session == 0 || record.session != fresh.session
      record.session = fresh.session
      if record.isCancelled || record.outcome == false || record.outcome == true && isHeard {
        // The same job, asked for once more after its end.
        let incarnation = record.incarnation
        record = fresh
        record.incarnation = incarnation
      }
      record.incarnation += 1
      if jobs.updateValue(record, forKey: job) == nil { order.append(job) }
      forget()
      writer.put(Verb.done.rawValue)
      record.write(&writer)
    case .decide:
      let incarnation = try reader.number()
      let decision = try Decision(&reader)
      guard var record = jobs[job], record.incarnation == incarnation,
        record.outcome == nil || decision == .ended(isComplete: true) && record.outcome == true
      else { return writer.put(Verb.superseded.rawValue) }
      guard !record.isCancelled else { return writer.put(Verb.cancelled.rawValue) }
      record.note(decision)
      jobs[job] = record
      writer.put(Verb.done.rawValue)
    case .cancel:
      jobs[job]?.isCancelled = true
      writer.put((jobs[job] == nil ? Verb.superseded : .done).rawValue)
    case .register:
      nodes[job] = try reader.text()
      writer.put(Verb.done.rawValue)
    default: throw MapReduceError(.protocolViolation, "no command of a ledger")
    }
  }

  private mutating func forget() {
    while order.count > JobLedger.jobLimit,
      let index = order.firstIndex(where: { jobs[$0]?.outcome != nil })
    { jobs[order.remove(at: index)] = nil }
  }

  /// Answers with all jobs, in order of their first announcement.
  public func read(_ query: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    reply.append(contentsOf: encoded)
  }

  private var encoded: [UInt8] {
    var writer = PayloadWriter()
    writer.put(order) { writer, job in
      writer.put(job)
      jobs[job]?.write(&writer)
    }
    writer.put(nodes.sorted { $0.key < $1.key }) { writer, node in
      writer.put(node.key)
      writer.put(node.value)
    }
    return writer.bytes
  }

  /// The state in one part: a few bytes per task of the jobs that are remembered.
  public func snapshot() -> any SnapshotSource { WholeSnapshot(encoded) }

  /// Takes a snapshot's only part.
  public mutating func restore(_ part: RawSpan) throws {
    let state = try JobLedger.contents(part.copied())
    for (job, record) in state.jobs {
      jobs[job] = record
      order.append(job)
    }
    nodes = Dictionary(state.nodes) { $1 }
  }

  /// What an answer to a query says.
  static func contents(
    _ bytes: [UInt8]
  ) throws -> (jobs: [(UInt64, JobRecord)], nodes: [(UInt64, String)]) {
    var reader = PayloadReader(bytes)
    return (
      try reader.list { (try $0.word(), try JobRecord(&$0)) },
      try reader.list { (try $0.word(), try $0.text()) }
    )
  }
}
