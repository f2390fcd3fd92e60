/// What can happen to a replica.
public enum Event {
  /// Time, in nanoseconds of a clock that never goes back.
  ///
  /// The only clock of the core. Expected at least every half heartbeat interval.
  case tick(now: UInt64)
  /// A message came in, from a node whose disk has this incarnation.
  case received(Message, from: NodeID, incarnation: UInt64 = 0)
  /// Everything persisted with this token or an earlier one is durable.
  case persisted(token: UInt64)
  /// A client asks the leader for a linearizable read; the answer is `readReady` or `readRefused` with
  /// its id. A time just read from the clock of `tick` lets a lease answer at once.
  case read(id: UInt64, now: UInt64? = nil)
  /// As `read`, but a follower asks the leader how far it must have applied, and answers then.
  case readHere(id: UInt64)
  /// The way to a peer is open again: what was sent before may be lost.
  case connected(NodeID, incarnation: UInt64 = 0)
  /// The log has no entries up to this slot any more: they are decided, durable and in a snapshot.
  ///
  /// To be told after `start`, too, when the log does not begin with slot 1.
  case compacted(through: Slot)
  /// The state after this slot came as a snapshot; it is durable, and the machine holds it.
  ///
  /// Only if `canInstall(through:)` says so right before. The log may forget all up to this slot, and
  /// must keep what it has behind it. The schedule is the one that the snapshot came with, nil when
  /// it is the one that the replica has.
  case installed(through: Slot, schedule: MembershipSchedule? = nil)
}

/// What a replica asks of its shell, in this order.
public enum Effect {
  /// Write the promise behind everything persisted before it; report the token when it is durable.
  case persistPromise(Ballot, token: UInt64)
  /// Write the entry behind everything persisted before it; report the token when it is durable.
  case persistEntry(Entry, token: UInt64)
  /// Send the message, but not before everything persisted up to `after` is durable.
  case send(Message, to: NodeID, after: UInt64?)
  /// Apply the decided entry. Comes in slot order, once per slot and life of the core.
  case apply(Entry)
  /// The membership was decided, in the slot applied last, and will govern from that slot on.
  case membershipChanged(Membership, effectiveFrom: Slot)
  /// Send `learn` messages with the decided entries `from...through` out of the log, where they are
  /// durable; a first part of them is enough, the peer asks on.
  case provide(to: NodeID, from: Slot, through: Slot)
  /// The peer needs slots that the log has lost: help it to a snapshot.
  ///
  /// At most once per heartbeat interval and peer. May be ignored; the peer asks again.
  case provideSnapshot(to: NodeID)
  /// The read may be answered now: everything it must see has been applied.
  case readReady(id: UInt64)
  /// The read cannot be answered here.
  case readRefused(id: UInt64)
  /// The state behind the slot, as the shell told its digest, is not what others have. When outvoted, a
  /// quorum agrees on another state: this one must not be served, and is to be begun anew from a
  /// peer's. Else there is no quorum of equals, and nothing can be done but to tell somebody.
  case stateDiffers(behind: Slot, isOutvoted: Bool)
  /// The role, the known leader or the ballot changed.
  case roleChanged(Role, leader: NodeID?, ballot: Ballot)
}

/// What a replica currently does in its group.
public enum Role: Sendable, Hashable, CaseIterable {
  /// Accepts, learns, and watches for a leader.
  case follower
  /// Has raised a ballot and gathers promises.
  case candidate
  /// Owns a ballot that a quorum promised, and proposes.
  case leader
}
