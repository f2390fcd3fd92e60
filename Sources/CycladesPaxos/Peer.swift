/// What a replica knows of one member: a leader of all of them, a candidate of its voters.
struct Peer {
  /// Who it is, as the newest membership has it.
  var member: Member
  /// Whether it votes on the slots of the current, and of the next membership.
  var votesNow = false
  var votesNext = false

  /// Whether it said yes to the canvass, or promised the ballot.
  var hasVoted = false
  /// Where its promise cannot say what it accepted: its disk lost some of these slots.
  var unknown: ClosedRange<Slot>?

  /// What it has accepted or decided, and is durable there.
  var through: Slot = 0
  /// What was sent to it as `accept`; it is in the stream when this is the last slot.
  var sent: Slot = 0
  /// The newest round of heartbeats that it echoed.
  var echo: UInt64 = 0
  var heardAt: UInt64 = 0
  /// What it said of its state behind the slot that the leader asks about.
  var digest: UInt64?
  /// Before this time no further snapshot is offered to it.
  var snapshotAt: UInt64 = 0
  /// Since when it has kept up with the leader; nil while it does not.
  var keepsUpSince: UInt64?
  /// The disk that the node behind it was first seen with; zero when it never told.
  var seenIncarnation: UInt64 = 0

  init(_ member: Member) { self.member = member }

  /// Forgets what belongs to a ballot.
  mutating func beginBallot() {
    hasVoted = false
    unknown = nil
    through = 0
    sent = 0
    echo = 0
    keepsUpSince = nil
    digest = nil
  }

  /// Whether it told, under oath, what it accepted in a slot.
  func isDefinite(in slot: Slot) -> Bool {
    hasVoted && !(unknown?.contains(slot) ?? false)
  }
}
