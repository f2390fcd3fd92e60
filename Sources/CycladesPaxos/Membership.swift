/// One replica of a group.
public struct Member: Hashable, Sendable, CustomStringConvertible {
  /// What a member does for its group. The numbers are in logs.
  public enum Kind: UInt8, Sendable, Hashable, CaseIterable {
    /// Votes, and may lead.
    case voter = 1
    /// Gets everything and votes on nothing, until it has caught up: then the leader makes it a voter.
    case learner = 2
    /// Gets everything, and never votes.
    case observer = 3
    /// Votes, and never leads: its shell need not keep the state.
    case witness = 4

    /// Whether promises and acceptances of such a member count.
    public var votes: Bool { self == .voter || self == .witness }
  }

  /// The node.
  public var id: NodeID
  /// The disk that the node had when it became a member; zero while that is not known.
  ///
  /// A node that comes back with an empty disk has forgotten what it promised. It is another member,
  /// and its votes do not count until the group has decided so.
  public var incarnation: UInt64
  /// What it does.
  public var kind: Kind

  /// Makes a member.
  public init(id: NodeID, incarnation: UInt64 = 0, kind: Kind = .voter) {
    self.id = id
    self.incarnation = incarnation
    self.kind = kind
  }

  /// Whether a node with this disk is this member.
  func matches(_ node: NodeID, _ incarnation: UInt64) -> Bool {
    id == node && (self.incarnation == 0 || self.incarnation == incarnation)
  }

  /// The node, and what sets it apart, as in `3 learner`.
  public var description: String { kind == .voter ? "\(id)" : "\(id) \(kind)" }
}

/// Who replicates a group, as decided in its log.
///
/// A membership that is decided in slot *s* governs the slots from *s + window* on: no slot behind
/// that one can have been proposed in before, as nobody proposes further than a window ahead of what
/// is decided. (Lamport's alpha, in "Reconfiguring a State Machine".)
public struct Membership: Hashable, Sendable, CustomStringConvertible {
  /// How many changes led to it.
  public var number: UInt32
  /// All members, in order of preference: the first stands for leader the soonest.
  public var members: [Member]

  /// Makes a membership.
  public init(number: UInt32, members: [Member]) {
    self.number = number
    self.members = members
  }

  /// The largest number of members.
  public static let limit = 32

  /// How many votes any decision needs: a majority.
  public var quorum: Int { members.count { $0.kind.votes } / 2 + 1 }

  /// Why no group can have this membership; nil when one can.
  var flaw: String? {
    if members.count > Membership.limit { return "a group has at most \(Membership.limit) members" }
    if !members.contains(where: { $0.kind == .voter }) { return "nobody could lead" }
    for (rank, member) in members.enumerated() {
      if member.id.rawValue == 0 { return "node 0 names no node" }
      if members[..<rank].contains(where: { $0.id == member.id }) {
        return "node \(member.id) is a member twice"
      }
    }
    return nil
  }

  /// The number and the members, as in `#2: 1 3 4 learner`.
  public var description: String {
    "#\(number): " + members.map(\.description).joined(separator: " ")
  }
}

/// The membership in force behind some slot, and the one to come.
///
/// Part of the state of a group: it goes into snapshots, beside the machine and the sessions.
public struct MembershipSchedule: Hashable, Sendable {
  /// Governs the next slot.
  public var current: Membership
  /// Decided already; governs the slots from `nextFrom` on.
  public var next: Membership?
  /// The first slot of the next membership; zero when there is none.
  public var nextFrom: Slot

  /// Makes a schedule.
  public init(current: Membership, next: Membership? = nil, nextFrom: Slot = 0) {
    self.current = current
    self.next = next
    self.nextFrom = next == nil ? 0 : nextFrom
  }

  /// The newest membership that is decided.
  public var newest: Membership { next ?? current }

  /// Takes note of a membership that was decided in a slot; false when it came too late or is none.
  ///
  /// All replicas judge alike, so of two changes that were proposed at once the first one counts.
  package mutating func decide(_ membership: Membership, in slot: Slot, window: Int) -> Bool {
    guard next == nil, membership.number == current.number + 1, membership.flaw == nil
    else { return false }
    next = membership
    nextFrom = slot + Slot(window)
    return true
  }

  /// Puts the next membership in force when the next slot is its first; false when it is not.
  package mutating func advance(behind slot: Slot) -> Bool {
    guard let next, slot + 1 >= nextFrom else { return false }
    self = MembershipSchedule(current: next)
    return true
  }
}
