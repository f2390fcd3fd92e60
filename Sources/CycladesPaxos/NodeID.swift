/// The identity of one node of a cluster, unique for the life of the cluster.
///
/// Zero names no node: it is the node of the empty ballot.
public struct NodeID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The number on the wire and on disk.
  public var rawValue: UInt32

  /// Names the node with a number.
  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Names the node with a number.
  @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }

  /// Orders nodes by number; decides between ballots of the same round.
  @inlinable public static func < (a: NodeID, b: NodeID) -> Bool { a.rawValue < b.rawValue }

  /// The number in decimal.
  public var description: String { String(rawValue) }
}

extension NodeID: ExpressibleByIntegerLiteral {
  /// Names the node of a literal: `let peers: [NodeID: SocketAddress] = [1: …, 2: …]`.
  @inlinable public init(integerLiteral value: UInt32) { self.init(rawValue: value) }
}
