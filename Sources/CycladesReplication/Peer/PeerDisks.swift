import CycladesPaxos

extension MembershipSchedule {
  /// What a node is in the memberships that govern open slots: two different members at the most.
  func members(_ node: NodeID) -> [Member] {
    (current.members + (next?.members ?? [])).filter { $0.id == node }
  }
}

/// Which data folder each peer was last seen with, and since when.
///
/// A node that comes back with another folder has forgotten its promises. It is let in, because it
/// must be told what it missed, but it counts for nothing until the group has made it a member anew.
struct PeerDisks {
  private var seen: [NodeID: (incarnation: UInt64, since: UInt64)] = [:]

  /// A peer that shows the same folder for so long is no other node with the same id, by mistake,
  /// that takes turns with the first.
  private static let settleTime: UInt64 = 3_000_000_000

  /// Notes what a peer said of itself at `now`, in nanoseconds.
  mutating func note(_ peer: NodeID, _ incarnation: UInt64, now: UInt64) {
    if seen[peer]?.incarnation != incarnation { seen[peer] = (incarnation, now) }
  }

  /// The folder a peer was last seen with; 0 when it never introduced itself.
  func incarnation(_ peer: NodeID) -> UInt64 { seen[peer]?.incarnation ?? 0 }

  /// The other folder that a peer has now, and has had for a while, in place of the one it was a
  /// member with; `nil` when there is none.
  func replacement(of member: Member, now: UInt64) -> UInt64? {
    guard member.incarnation != 0, let (incarnation, since) = seen[member.id],
      incarnation != member.incarnation, now - since >= PeerDisks.settleTime
    else { return nil }
    return incarnation
  }
}
