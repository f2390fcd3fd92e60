public import CycladesPaxos
public import CycladesTransport

/// One replicated group and the nodes that hold its first replicas.
public struct GroupConfiguration: Sendable {
  /// The group's number, unique in the cluster.
  public var id: UInt32
  /// The nodes that voted when the cluster was made, in order of preference: the first leads when it
  /// can. The same on all nodes forever; who the members are now is decided in the group's log.
  public var members: [NodeID]

  /// Slots that may be proposed beyond the last decided one; a change of the members takes effect
  /// that many slots after it was decided. The same on all nodes forever.
  static let window = 64

  /// The members that the group began with.
  var schedule: MembershipSchedule {
    MembershipSchedule(
      current: Membership(number: 0, members: members.map { Member(id: $0) }))
  }

  /// Makes a group of `members`.
  public init(id: UInt32, members: [NodeID]) {
    self.id = id
    self.members = members
  }
}

/// Bounds that keep a host's memory and its batches finite.
public struct HostLimits: Sendable {
  /// The largest command or query, in bytes. Larger ones are refused with `Refusal.tooLarge`.
  ///
  /// An entry travels whole, and heartbeats wait behind it: each megabyte beyond 16 makes the group
  /// 5 ms more patient with a silent leader, and 40 ms with a slow disk.
  public var commandBytesMax = 16 << 20
  /// A request stops gathering commands at this size, in bytes.
  public var requestBytesTarget = 256 << 10
  /// Requests of one kind that may be unanswered per group before further ones wait in line.
  public var requestsInFlightMax = 16
  /// Bytes of unanswered commands per group; beyond it commands are refused as overload.
  public var requestBytesPendingMax = 256 << 20
  /// How long a caller waits for an answer before it is told `notDone` or `unknown`, in nanoseconds.
  public var patienceNanoseconds: UInt64 = 10_000_000_000
  /// Bytes after which the log goes on in a new segment file.
  public var segmentBytes = 32 << 20
  /// Bytes of log beyond which groups are written out as snapshots and old segments removed.
  ///
  /// Bounds what a restart has to replay. When all snapshots together have more than half as many
  /// bytes, the log may grow to twice their size.
  public var logBytesTarget = 128 << 20

  /// The defaults.
  public init() {}
}

/// All that a node needs to know to take part in a cluster.
public struct HostConfiguration: Sendable {
  /// The cluster's name. Nodes with another name are refused at the handshake.
  public var cluster: String
  /// This node's id, a key of `peers`.
  public var node: NodeID
  /// Where the nodes of the cluster, this one included, listen for their peers. Nodes that are not
  /// named here become known when they introduce themselves.
  public var peers: [NodeID: SocketAddress]
  /// The address to listen on for peers; may differ from what `peers` announces.
  public var peerListen: SocketAddress
  /// The data folder. Created when missing; refused when it belongs to something else.
  public var directory: String
  /// Every group of the cluster; this node keeps a replica of those it is a member of.
  public var groups: [GroupConfiguration]
  /// Bytes this node tells its peers at the handshake, for the layer above; at most 1 KiB.
  public var announcement: [UInt8] = []
  /// Election and heartbeat times.
  public var timing = Timing()
  /// Memory and batch bounds.
  public var limits = HostLimits()
  /// Lets leaders answer queries by their clock, without asking a quorum; `nil`, the default, never.
  ///
  /// The same on all nodes: one with another lease is refused. To change it, stop all nodes first, for
  /// longer than the lease lasts.
  public var lease: Lease?

  /// Makes a configuration with default timing and limits.
  public init(
    cluster: String, node: NodeID, peers: [NodeID: SocketAddress], peerListen: SocketAddress,
    directory: String, groups: [GroupConfiguration]
  ) {
    self.cluster = cluster
    self.node = node
    self.peers = peers
    self.peerListen = peerListen
    self.directory = directory
    self.groups = groups
  }

  /// The times to use: those configured, and patience for the largest command on its way.
  var effectiveTiming: Timing {
    let beyond = UInt64(max(0, limits.commandBytesMax - (16 << 20)))
    var timing = timing
    timing.electionTimeout += beyond * 5
    timing.diskTimeout += beyond * 40
    return timing
  }

  /// Throws `badConfiguration` with one line when the parts contradict each other.
  func validate() throws(ReplicationError) {
    func refuse(_ message: String) throws(ReplicationError) {
      throw ReplicationError(.badConfiguration, message)
    }
    if cluster.isEmpty || cluster.utf8.count > 255 {
      try refuse("cluster name must have 1 to 255 bytes")
    }
    if peers[node] == nil { try refuse("node \(node) is not in the list of peers") }
    if limits.segmentBytes < 4096 || limits.logBytesTarget < limits.segmentBytes {
      try refuse("limits: a segment has at least 4096 bytes, and the log one segment")
    }
    if announcement.count > 1024 { try refuse("announcement exceeds 1024 bytes") }
    if groups.isEmpty { try refuse("no groups configured") }
    var ids = Set<UInt32>()
    for group in groups {
      if !ids.insert(group.id).inserted { try refuse("group \(group.id) is configured twice") }
      if group.members.isEmpty { try refuse("group \(group.id) has no members") }
      if Set(group.members).count != group.members.count {
        try refuse("group \(group.id) names a member twice")
      }
    }
  }
}
