/// A leader's right to answer reads without asking anybody, while nobody else can lead.
///
/// Whoever echoes a heartbeat promises no other ballot for a while. The leader counts that while from
/// the sending of the heartbeat, and shortens it by what clocks may differ. It rests on clocks that
/// keep within the bound: the default is to go without, and to ask a quorum.
///
/// All replicas of a group must be given the same lease, or none.
public struct Lease: Sendable, Hashable {
  /// How long an echo binds the node that sent it, in nanoseconds of its own clock.
  ///
  /// Beyond the election timeout it delays the election of a new leader by the difference.
  public var duration: UInt64
  /// How far any clock may run fast or slow, in thousandths.
  public var maximumDrift: UInt64

  /// Makes a lease.
  public init(duration: UInt64 = 400_000_000, maximumDrift: UInt64 = 10) {
    self.duration = duration
    self.maximumDrift = maximumDrift
  }

  /// How long the leader may count on an echo, by its own clock: though its clock be slow and the
  /// other one fast.
  var usable: UInt64 { duration / (1000 + maximumDrift) * (1000 - maximumDrift) }
}

/// What a replica has promised by its echoes: no other ballot until some time.
struct LeaseGrant {
  /// The ballot of the leader that may count on it.
  var ballot = Ballot.zero
  var until: UInt64 = 0
  /// Echoed since the last tick: the clock of the core is older than that, so `until` is not known.
  var isFresh = false
}

extension Paxos {
  /// Whether an echo still binds this node.
  var isBound: Bool {
    guard configuration.lease != nil, !mutation.contains(.ignoreLease) else { return false }
    return grant.isFresh || now < grant.until
  }

  /// Whether this node may promise a higher ballot: it is free, or the leader it is bound to has
  /// handed over.
  func mayPromise(after handover: Ballot?) -> Bool {
    !isBound || handover == grant.ballot
  }

  mutating func grantLease() {
    grant.ballot = promised
    grant.isFresh = true
  }

  mutating func tickLease() {
    guard let lease = configuration.lease, grant.isFresh else { return }
    grant.isFresh = false
    grant.until = now + lease.duration
  }

  /// Whether this leader may answer reads by itself at a time that was just read from the clock.
  func holdsLease(at time: UInt64) -> Bool {
    guard let lease = configuration.lease, let start = reads.leaseStart, commit >= proposer.opening,
      proposer.handover == nil || mutation.contains(.keepLeaseInTransfer)
    else { return false }
    let usable = mutation.contains(.ignoreDrift) ? lease.duration * 2 : lease.usable
    return time < start + usable
  }
}
