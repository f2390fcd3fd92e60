/// What a coordinator must never forget, or do differently when another goes on in its place.
///
/// Decisions and nothing else: who works on what, progress and silence are found out anew. So a job of
/// M maps and R parts takes M + R entries of the log, whatever happens to its workers.
enum Decision: Hashable, Sendable {
  /// The pairs of a map task, by the digest of its first output: every later one must be the same.
  case mapped(map: Int, digest: UInt64)
  /// The attempt whose file becomes a part, the only one ever.
  case elected(partition: Int, attempt: Int, PartInfo)
  /// The job is over; its output is complete, or there is none.
  case ended(isComplete: Bool)
}

/// What is known of a job by its decisions: what a coordinator that takes over starts from.
struct JobRecord: Hashable, Sendable {
  /// What people call it.
  var name: String
  /// How many coordinators it has had. Only the last one's decisions count.
  var incarnation = 0
  /// The process that asked for it, if it is one that can go on with another coordinator.
  var session: UInt64 = 0
  var digests: [Int: UInt64] = [:]
  var parts: [Int: ElectedPart] = [:]
  var maps: Int
  var partitions: Int
  var outcome: Bool?
  var isCancelled = false

  struct ElectedPart: Hashable, Sendable {
    var attempt: Int
    var info: PartInfo
  }

  /// How many decisions there are.
  var decisionCount: Int { digests.count + parts.count + (outcome == nil ? 0 : 1) }

  /// Adds a decision.
  mutating func note(_ decision: Decision) {
    switch decision {
    case .mapped(let map, let digest): digests[map] = digest
    case .elected(let partition, let attempt, let info):
      parts[partition] = ElectedPart(attempt: attempt, info: info)
    case .ended(let isComplete): outcome = isComplete
    }
  }
}

extension Decision {
  init(_ reader: inout PayloadReader) throws {
    switch try reader.number() {
    case 1: self = .mapped(map: try reader.number(), digest: try reader.word())
    case 2:
      self = .elected(
        partition: try reader.number(), attempt: try reader.number(),
        try PartInfo(try reader.bytes()))
    case 3: self = .ended(isComplete: try reader.number() != 0)
    default: throw MapReduceError(.protocolViolation, "an unknown decision")
    }
  }

  func write(_ writer: inout PayloadWriter) {
    switch self {
    case .mapped(let map, let digest):
      writer.put(1)
      writer.put(map)
      writer.put(digest)
    case .elected(let partition, let attempt, let info):
      writer.put(2)
      writer.put(partition)
      writer.put(attempt)
      writer.put(info.payload)
    case .ended(let isComplete):
      writer.put(3)
      writer.put(isComplete ? 1 : 0)
    }
  }
}

extension JobRecord {
  init(_ reader: inout PayloadReader) throws {
    name = try reader.text()
    incarnation = try reader.number()
    session = try reader.word()
    maps = try reader.number()
    partitions = try reader.number()
    let outcome = try reader.number()
    self.outcome = outcome == 0 ? nil : outcome == 1
    isCancelled = try reader.number() != 0
    for decision in try reader.list({ try Decision(&$0) }) { note(decision) }
  }

  func write(_ writer: inout PayloadWriter) {
    writer.put(name)
    writer.put(incarnation)
    writer.put(session)
    writer.put(maps)
    writer.put(partitions)
    writer.put(outcome.map { $0 ? 1 : 2 } ?? 0)
    writer.put(isCancelled ? 1 : 0)
    // In order, so that equal records are equal bytes.
    let decisions =
      digests.sorted { $0.key < $1.key }.map { Decision.mapped(map: $0.key, digest: $0.value) }
      + parts.sorted { $0.key < $1.key }.map {
        Decision.elected(partition: $0.key, attempt: $0.value.attempt, $0.value.info)
      }
    writer.put(decisions) { $1.write(&$0) }
  }
}
