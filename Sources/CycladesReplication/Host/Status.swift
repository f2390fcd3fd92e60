public import CycladesPaxos
public import CycladesTransport

/// One group as this node sees it.
public struct GroupStatus: Sendable {
  /// The group's number.
  public var id: UInt32
  /// Its members, in order of preference.
  public var members: [NodeID]
  /// The membership in force, as this node knows it; `nil` when it holds no replica.
  public var membership: Membership?
  /// The one that is decided and not yet in force.
  public var nextMembership: Membership?
  /// Who leads it, as far as this node knows.
  public var leader: NodeID?
  /// What this node does in it; `nil` when it is no member.
  public var role: Role?
  /// The highest ballot this node promised.
  public var ballot: Ballot
  /// The last slot known to be decided here.
  public var commit: Slot
  /// The last slot applied here.
  public var applied: Slot
  /// The last slot accepted here.
  public var last: Slot
}

/// One peer as this node sees it.
public struct PeerStatus: Sendable {
  /// The peer.
  public var node: NodeID
  /// Where it listens for peers.
  public var address: SocketAddress
  /// Whether this node's connection to it is open and recognised.
  public var isConnected: Bool
  /// What the peer told at its last handshake; `nil` before the first.
  public var announcement: [UInt8]?
}

/// The log as it stands, and what was written since the start.
public struct LogStatus: Sendable {
  /// Bytes used in all segments.
  public var byteCount: Int
  /// Segment files.
  public var segmentCount: Int
  /// Durable writes, each one sync for all groups.
  public var writes: UInt64
  /// Records in these writes.
  public var records: UInt64
  /// Bytes in these writes.
  public var writtenBytes: UInt64
  /// Bytes in the snapshots that a restart would begin with.
  public var snapshotBytes: Int
  /// Snapshots of this node's groups written.
  public var snapshotsWritten: UInt64
  /// Snapshots of peers installed.
  public var snapshotsInstalled: UInt64
  /// Bytes copied on the way of commands from the caller into entries: of each command once, more where
  /// several requests were joined in an entry, or one was sent again.
  public var commandBytesCopied: UInt64
  /// What was found in the data folder at the start and since by the scrubber, damage above all.
  public var recovery = RecoveryCounts()
  /// What comparing states with those of the peers has found since the start.
  public var audits = AuditCounts()
}

/// How often replicas of this node's groups were found to have another state than others.
public struct AuditCounts: Sendable, Hashable {
  /// A replica of this node had another state than a quorum, and was begun anew.
  public var begunAnew: UInt64 = 0
  /// States differed in a group led here, and no quorum agreed on one.
  public var undecided: UInt64 = 0

  /// Makes counts of nothing.
  public init() {}
}
