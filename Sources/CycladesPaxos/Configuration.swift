/// Who replicates a group, and how patient and how greedy its replicas are.
///
/// All replicas of a group must be given the same members and window, for ever: a change of members
/// is decided in the log, and governs from a window behind its slot on.
public struct Configuration: Sendable {
  /// This node.
  public var node: NodeID
  /// A number that this node's disk was given when it was first used; zero when it has none.
  public var incarnation: UInt64
  /// The first replicas. A node that joins later is not among them.
  public var membership: Membership
  /// The time limits.
  public var timing: Timing
  /// How many slots may be proposed beyond the last decided one, and so how many slots behind its own
  /// a change of the membership takes effect.
  public var window: Int
  /// How many bytes may be proposed and undecided before proposals are refused.
  public var windowBytes: Int
  /// Lets a leader answer reads by its clock; nil, the default, for never.
  public var lease: Lease?
  /// How many reads may wait for confirmation before further ones are refused.
  public var maximumReads: Int

  /// The nodes of the first replicas, in order of preference.
  public var members: [NodeID] { membership.members.map(\.id) }

  /// Makes a configuration with defaults for a local network, of voters whose disks are not known yet.
  public init(
    node: NodeID, incarnation: UInt64 = 0, members: [NodeID], timing: Timing = Timing(),
    window: Int = 64, windowBytes: Int = 64 << 20, maximumReads: Int = 65_536,
    lease: Lease? = nil
  ) {
    self.init(
      node: node, incarnation: incarnation,
      membership: Membership(number: 0, members: members.map { Member(id: $0) }), timing: timing,
      window: window, windowBytes: windowBytes, maximumReads: maximumReads, lease: lease)
  }

  /// Makes a configuration with defaults for a local network.
  public init(
    node: NodeID, incarnation: UInt64 = 0, membership: Membership, timing: Timing = Timing(),
    window: Int = 64, windowBytes: Int = 64 << 20, maximumReads: Int = 65_536,
    lease: Lease? = nil
  ) {
    self.node = node
    self.incarnation = incarnation
    self.membership = membership
    self.timing = timing
    self.window = window
    self.windowBytes = windowBytes
    self.maximumReads = maximumReads
    self.lease = lease
  }

  /// Checks what can be checked without the peers.
  func validate() throws(PaxosError) {
    guard node.rawValue != 0 else {
      throw PaxosError(.invalidConfiguration, "node 0 names no node")
    }
    if let flaw = membership.flaw { throw PaxosError(.invalidConfiguration, flaw) }
    guard (1...4096).contains(window), windowBytes > 0, maximumReads > 0 else {
      throw PaxosError(.invalidConfiguration, "window, windowBytes or maximumReads out of range")
    }
    if let lease {
      guard lease.duration > timing.heartbeat, lease.duration <= Timing.limit,
        lease.maximumDrift < 500
      else {
        throw PaxosError(
          .invalidConfiguration,
          "a lease lasts longer than a heartbeat, and clocks drift by less than a half")
      }
    }
    guard timing.heartbeat > 0, timing.electionTimeout > timing.heartbeat,
      timing.electionTimeout <= Timing.limit, timing.rankDelay <= Timing.limit,
      timing.jitter <= Timing.limit, timing.diskTimeout <= Timing.limit,
      timing.returnPatience <= Timing.limit
    else {
      throw PaxosError(
        .invalidConfiguration,
        "the election timeout must be longer than a heartbeat, and no time longer than a day")
    }
  }
}

/// The time limits of a group, in nanoseconds.
public struct Timing: Sendable, Hashable {
  /// How often a leader shows that it lives.
  public var heartbeat: UInt64
  /// How long a silent leader, or a leader's silent quorum, is waited for.
  public var electionTimeout: UInt64
  /// What each place further down the order of preference adds to the election timeout.
  public var rankDelay: UInt64
  /// The largest random addition to the election timeout; parts candidates of equal patience.
  public var jitter: UInt64
  /// How long a leader's own disk may make no progress before it steps down.
  public var diskTimeout: UInt64
  /// How long a voter that is preferred to the leader must be up and keep up until it is handed the
  /// leadership; zero for never.
  public var returnPatience: UInt64

  /// Makes time limits, by default for nodes of one data centre.
  public init(
    heartbeat: UInt64 = 50_000_000, electionTimeout: UInt64 = 500_000_000,
    rankDelay: UInt64 = 150_000_000, jitter: UInt64 = 150_000_000,
    diskTimeout: UInt64 = 2_000_000_000, returnPatience: UInt64 = 3_000_000_000
  ) {
    self.heartbeat = heartbeat
    self.electionTimeout = electionTimeout
    self.rankDelay = rankDelay
    self.jitter = jitter
    self.diskTimeout = diskTimeout
    self.returnPatience = returnPatience
  }

  /// No limit may be longer than a day: sums of them and the clock must not overflow.
  static let limit: UInt64 = 86_400_000_000_000
}
