import CycladesTransport

/// Since when shards have been without a leader that this node knows.
///
/// A handover leaves a shard without one for a moment. What comes then is kept until the next is
/// known, as on the plain port, since a client should not see an error for a move; after longer, a
/// client is told at once, so that it can ask a node that may know more.
struct Handovers {
  private static let patience = Duration.milliseconds(250)
  private var since: [UInt32: Instant] = [:]

  /// Notes that what this node knows of a shard's leader changed.
  mutating func changed(_ group: UInt32, hasLeader: Bool, _ now: Instant) {
    since[group] = hasLeader ? nil : since[group] ?? now
  }

  /// Whether a shard had a leader a moment ago.
  func isUnderWay(_ group: UInt32, _ now: Instant) -> Bool {
    since[group].map { now - $0 <= Self.patience } ?? false
  }
}
