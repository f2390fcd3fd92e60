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

  /// The jobs of a ledger's answer.
  static func list(_ bytes: [UInt8]) throws -> [JobStatus] {
    try JobLedger.contents(bytes).jobs.map { id, record in
      JobStatus(
        id: id, name: record.name, coordinators: record.incarnation, maps: record.maps,
        mapsDone: record.digests.count, parts: record.partitions, partsDone: record.parts.count,
        state: record.isCancelled
          ? "cancelled" : record.outcome.map { $0 ? "complete" : "failed" } ?? "running")
    }
  }
}

extension MapReduce {
  /// The jobs of a ledger, in order of their first start: those that run, and the last that ended.
  public static func jobs(in ledger: any DecisionLog) async throws -> [JobStatus] {
    try JobStatus.list(try await ledger.read([]))
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
