/// Who replicates a group, and how patient and how greedy its replicas are.
///
/// All replicas of a group must be given the same members and window.
public struct Configuration: Sendable {
  /// This node.
  public var node: NodeID
  /// All replicas in order of preference: the first stands for leader the soonest.
  public var members: [NodeID]
  /// The time limits.
  public var timing: Timing
  /// How many slots may be proposed beyond the last decided one.
  public var window: Int
  /// How many bytes may be proposed and undecided before proposals are refused.
  public var windowBytes: Int
  /// How many reads may wait for confirmation before further ones are refused.
  public var maximumReads: Int

  /// Makes a configuration with defaults for a local network.
  public init(
    node: NodeID, members: [NodeID], timing: Timing = Timing(), window: Int = 64,
    windowBytes: Int = 64 << 20, maximumReads: Int = 65_536
  ) {
    self.node = node
    self.members = members
    self.timing = timing
    self.window = window
    self.windowBytes = windowBytes
    self.maximumReads = maximumReads
  }

  /// The number of replicas that any decision needs: a majority.
  public var quorum: Int { members.count / 2 + 1 }

  /// Checks what can be checked without the peers.
  func validate() throws(PaxosError) {
    guard members.contains(node) else {
      throw PaxosError(.invalidConfiguration, "node \(node) is not a member of its own group")
    }
    // A vote is one bit of a word.
    guard members.count <= 64 else {
      throw PaxosError(.invalidConfiguration, "a group has at most 64 members")
    }
    for (rank, member) in members.enumerated() {
      guard member.rawValue != 0 else {
        throw PaxosError(.invalidConfiguration, "node 0 names no node")
      }
      guard !members[..<rank].contains(member) else {
        throw PaxosError(.invalidConfiguration, "node \(member) is a member twice")
      }
    }
    guard (1...4096).contains(window), windowBytes > 0, maximumReads > 0 else {
      throw PaxosError(.invalidConfiguration, "window, windowBytes or maximumReads out of range")
    }
    guard timing.heartbeat > 0, timing.electionTimeout > timing.heartbeat,
      timing.electionTimeout <= Timing.limit, timing.rankDelay <= Timing.limit,
      timing.jitter <= Timing.limit, timing.diskTimeout <= Timing.limit
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

  /// Makes time limits, by default for nodes of one data centre.
  public init(
    heartbeat: UInt64 = 50_000_000, electionTimeout: UInt64 = 500_000_000,
    rankDelay: UInt64 = 150_000_000, jitter: UInt64 = 150_000_000,
    diskTimeout: UInt64 = 2_000_000_000
  ) {
    self.heartbeat = heartbeat
    self.electionTimeout = electionTimeout
    self.rankDelay = rankDelay
    self.jitter = jitter
    self.diskTimeout = diskTimeout
  }

  /// No limit may be longer than a day: sums of them and the clock must not overflow.
  static let limit: UInt64 = 86_400_000_000_000
}
