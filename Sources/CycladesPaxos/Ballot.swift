/// The number of an attempt to lead: a round, and the node that owns it.
///
/// Ballots are totally ordered and no two nodes ever own the same one, so a ballot names its leader.
/// (*Proposal number* in "Paxos Made Simple", *ballot* in "The Part-Time Parliament".)
public struct Ballot: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Raised by a candidate above every round it knows of.
  public var round: UInt64
  /// The only node that may propose in this ballot.
  public var node: NodeID

  /// Makes a ballot.
  @inlinable public init(round: UInt64, node: NodeID) {
    self.round = round
    self.node = node
  }

  /// Below every ballot that any node can own: nothing promised, nothing accepted.
  public static let zero = Ballot(round: 0, node: NodeID(0))

  /// Orders by round, then by node.
  @inlinable public static func < (a: Ballot, b: Ballot) -> Bool {
    a.round != b.round ? a.round < b.round : a.node < b.node
  }

  /// The round and its owner, as in `7.2`.
  public var description: String { "\(round).\(node)" }
}
