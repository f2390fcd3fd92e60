/// What the replicas of a group say to each other.
///
/// Any message may be lost, repeated, delayed or overtaken. One that makes no sense where it arrives
/// is ignored or answered with `reject`. The sender is known beside the message.
public enum Message {
  // Election.

  /// "May I stand for leader? I have decided up to `commit`." Changes nothing where it is heard.
  case canvass(commit: Slot, token: UInt64)
  /// The answer to a canvass, with what the voter has promised and decided.
  case canvassReply(granted: Bool, promised: Ballot, commit: Slot, token: UInt64)
  /// Phase 1a: "promise to accept nothing below `ballot`, and tell me what you accepted from `from`".
  ///
  /// The leader of the ballot `after`, if any, has asked the candidate to take over.
  case prepare(Ballot, from: Slot, after: Ballot? = nil)
  /// Phase 1b: promised; `entries` are all that the sender accepted from `from`, in slot order.
  ///
  /// Of the `unknown` slots some are damaged on its disk: there it may have accepted something else.
  case promise(
    Ballot, from: Slot, commit: Slot, entries: [Entry], unknown: ClosedRange<Slot>? = nil)
  /// "Not in your ballot of this `round`": the sender promised more, or has decided more.
  case reject(round: UInt64, promised: Ballot, commit: Slot)
  /// "Stand for leader at once": from the leader of the ballot, to one that has all it has.
  case stand(Ballot)

  // Proposal.

  /// Phase 2a: "accept this in its ballot".
  case accept(Entry)
  /// Phase 2b: everything up to `through` is accepted in `ballot`, or decided, and durable.
  case accepted(Ballot, through: Slot)

  // Decision.

  /// The leader lives, has decided up to `commit`, and has proposed up to `last`.
  case heartbeat(Ballot, commit: Slot, last: Slot, round: UInt64)
  /// Echoes the round, which confirms the ballot; `through` is as in `accepted`.
  case heartbeatReply(Ballot, through: Slot, round: UInt64)
  /// "Behind the slot the digest of my state is this one, what is yours?" The verdict is what a quorum
  /// agrees on.
  case audit(Ballot, slot: Slot, digest: UInt64, isVerdict: Bool)
  /// The digest of the sender's state behind the slot.
  case auditReply(Ballot, slot: Slot, digest: UInt64)
  /// "Up to which slot must I have applied to answer a read that came just now?"
  case readIndex(token: UInt64)
  /// The answer, after a quorum has confirmed the leader.
  case readIndexReply(token: UInt64, slot: Slot)
  /// "Send me what was decided, from this slot on."
  case fetch(from: Slot)
  /// Decided entries in slot order, out of the sender's log.
  case learn([Entry])
}
