// Audit: do the replicas of the group still have the same state?
//
//   leader                                   the others
//     |-- audit: behind slot 70, digest d ---->|   each looks its own digest up, or waits until it
//     |<----- audit reply: slot 70, digest e --|   has applied the slot
//     |   a quorum, itself included, has d     |
//     |-- verdict: behind slot 70 it is d ---->|   whoever has another one is outvoted
//
// The core knows no state; the shell tells it a digest of it behind every slot it applies. What a
// quorum agrees on is right, be it the leader's or not: a leader that finds itself outvoted leaves its
// office. Where no quorum agrees nobody can say who is right, and that is reported, too.
//
// The word of a leader in the entries themselves would be nearer at hand, but it is the word of one,
// and would stand in the log after that one was outvoted.

/// What a replica knows of the digests of its own state, and as a leader, of those of the others.
struct Audit {
  /// The digests behind the last slots applied, each at its slot modulo their number.
  private var digests: [UInt64] = []
  private(set) var newest: Slot = 0
  /// The first slot of which a digest is known without a gap to the newest.
  private var oldest: Slot = 1

  /// A question and a verdict about a slot that is not applied yet.
  var asked: Slot?
  var verdict: (slot: Slot, digest: UInt64)?

  /// Of a leader: the slot that it asks about, its own digest behind it, the one that a quorum agrees
  /// on, and how often it asked.
  var slot: Slot = 0
  var digest: UInt64 = 0
  var agreed: UInt64?
  var rounds = 0
  var dueAt: UInt64 = 0
  /// Another state than this replica's was agreed on: it must not lead any more.
  var isOutvoted = false

  /// Slots whose digest is remembered. A question comes when its slot was just applied, or is about
  /// to be, so this is only for messages that were overtaken.
  private static let slotsMax: Slot = 64
  /// After so many rounds without an agreement the leader asks about a newer slot.
  static let roundsMax = 20

  /// The digest behind a slot; nil when the slot is not applied, or long past.
  subscript(_ slot: Slot) -> UInt64? {
    guard slot >= oldest, slot <= newest, newest - slot < Self.slotsMax else { return nil }
    return digests[Int(slot % Self.slotsMax)]
  }

  mutating func note(_ digest: UInt64, behind slot: Slot) {
    if digests.isEmpty { digests = Array(repeating: 0, count: Int(Self.slotsMax)) }
    if slot != newest + 1 { oldest = slot }
    newest = slot
    digests[Int(slot % Self.slotsMax)] = digest
  }

  /// Forgets what belongs to a ballot.
  mutating func beginBallot() {
    asked = nil
    verdict = nil
    slot = 0
    agreed = nil
    dueAt = 0
  }
}

extension Paxos {
  /// Tells the digest of the state behind a slot that was just applied, or that the replica begins
  /// with. A shell that never does has no audits.
  ///
  /// - Complexity: O(1).
  public mutating func noteState(_ digest: UInt64, behind slot: Slot, into effects: inout [Effect])
  {
    precondition(slot <= commit, "a state of a slot that is not decided")
    audit.note(digest, behind: slot)
    guard audit.asked != nil || audit.verdict != nil else { return }
    swap(&outbox, &effects)
    defer { swap(&outbox, &effects) }
    if let asked = audit.asked, asked <= slot {
      audit.asked = nil
      answerAudit(of: asked)
    }
    if let verdict = audit.verdict, verdict.slot <= slot {
      audit.verdict = nil
      accept(verdict: verdict.digest, behind: verdict.slot)
    }
  }

  /// Asks all others about the newest state, and goes on asking those that do not have it.
  mutating func continueAudit() {
    guard now >= audit.dueAt, audit.newest > 0, commit >= proposer.opening else { return }
    audit.dueAt = now + configuration.timing.heartbeat
    audit.rounds += 1
    let isStuck = audit.agreed == nil && audit.rounds > Audit.roundsMax
    if isStuck, peers.contains(where: { $0.digest != nil && $0.digest != audit.digest }) {
      outbox.append(.stateDiffers(behind: audit.slot, isOutvoted: false))
    }
    if audit.newest > audit.slot, audit.agreed != nil || audit.slot == 0 || isStuck {
      beginAudit()
      guard role == .leader else { return }
    }
    for index in peers.indices where index != own { sendAudit(to: index) }
  }

  private mutating func beginAudit() {
    guard let digest = audit[audit.newest] else { return }
    audit.slot = audit.newest
    audit.digest = digest
    audit.agreed = nil
    audit.rounds = 0
    for index in peers.indices { peers[index].digest = index == own ? digest : nil }
    judgeAudit()
  }

  /// Sends the question, or the verdict when there is one, to a peer that is not known to agree.
  private mutating func sendAudit(to index: Int) {
    let digest = audit.agreed ?? audit.digest
    guard audit.slot > 0, peers[index].digest != digest else { return }
    send(
      .audit(promised, slot: audit.slot, digest: digest, isVerdict: audit.agreed != nil),
      to: peers[index].member.id)
  }

  mutating func receiveAuditReply(
    _ ballot: Ballot, slot: Slot, digest: UInt64, from index: Int
  ) {
    guard role == .leader, ballot == promised, slot == audit.slot else { return }
    peers[index].digest = digest
    if audit.agreed == nil { judgeAudit() }
  }

  /// Looks for a digest that a quorum has.
  private mutating func judgeAudit() {
    for index in peers.indices {
      guard let digest = peers[index].digest, isQuorum({ $0.digest == digest }) else { continue }
      audit.agreed = digest
      accept(verdict: digest, behind: audit.slot)
      return
    }
  }

  mutating func receiveAudit(
    _ ballot: Ballot, slot: Slot, digest: UInt64, isVerdict: Bool, from sender: NodeID
  ) {
    guard ballot == promised, role == .follower, leader == sender else { return }
    if slot <= audit.newest {
      answerAudit(of: slot)
      if isVerdict { accept(verdict: digest, behind: slot) }
    } else if isVerdict {
      // The one that is waited for already will be reached first.
      audit.verdict = audit.verdict ?? (slot, digest)
      audit.asked = slot
    } else {
      audit.asked = slot
    }
  }

  private mutating func answerAudit(of slot: Slot) {
    // One that is to be begun anew has no say in whether another one is, too.
    guard let leader, leader != configuration.node, !audit.isOutvoted, let digest = audit[slot]
    else { return }
    send(.auditReply(promised, slot: slot, digest: digest), to: leader, after: promiseToken)
  }

  private mutating func accept(verdict: UInt64, behind slot: Slot) {
    guard let digest = audit[slot], digest != verdict, !audit.isOutvoted,
      !mutation.contains(.ignoreVerdict)
    else { return }
    audit.isOutvoted = true
    outbox.append(.stateDiffers(behind: slot, isOutvoted: true))
    if role != .follower {
      becomeFollower()
      awaitLeader(patience: configuration.timing.electionTimeout)
    }
  }
}
