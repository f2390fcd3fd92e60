// Linearizable reads at a follower: it asks the leader up to which slot it must have applied.
//
// The leader confirms its ballot as for a read of its own. Questions are numbered, from a number that
// no earlier life of this node began with, and one is open at a time, so an answer to an earlier one
// is never taken for that of a later one.

/// The reads that wait at a follower.
struct FollowerReads {
  /// The number of the open question, and who waits for its answer.
  var token: UInt64
  var asked: [UInt64] = []
  var askedAt: UInt64 = 0
  /// Who came while a question was open: they need an answer of their own.
  var queued: [UInt64] = []
  /// Who knows the slot and waits for it.
  var granted: [(id: UInt64, slot: Slot, since: UInt64)] = []

  var count: Int { asked.count + queued.count + granted.count }
}

extension Paxos {
  mutating func readHere(_ id: UInt64) {
    guard role == .follower, leader != nil,
      followerReads.count < configuration.maximumReads
    else {
      read(id, at: nil)
      return
    }
    followerReads.queued.append(id)
    askForIndex()
  }

  /// Asks for all that have come, unless a question is open.
  private mutating func askForIndex() {
    guard let leader, followerReads.asked.isEmpty, !followerReads.queued.isEmpty else { return }
    swap(&followerReads.asked, &followerReads.queued)
    if !mutation.contains(.reuseReadToken) { followerReads.token &+= 1 }
    followerReads.askedAt = now
    send(.readIndex(token: followerReads.token), to: leader)
  }

  mutating func receiveReadIndex(token: UInt64, from sender: NodeID) {
    guard role == .leader, reads.count < configuration.maximumReads else { return }
    if mutation.contains(.indexUnconfirmed) {
      send(.readIndexReply(token: token, slot: commit), to: sender)
      return
    }
    enqueue(Reads.Origin.peer(sender, token: token))
  }

  mutating func receiveReadIndexReply(token: UInt64, slot: Slot) {
    guard token == followerReads.token, !followerReads.asked.isEmpty else { return }
    for id in followerReads.asked {
      followerReads.granted.append((id, slot, followerReads.askedAt))
    }
    followerReads.asked = []
    askForIndex()
  }

  /// Answers those whose slot is applied. What was applied came out before.
  mutating func answerFollowerReads() {
    guard !followerReads.granted.isEmpty else { return }
    for read in followerReads.granted where read.slot <= commit {
      outbox.append(.readReady(id: read.id))
    }
    followerReads.granted.removeAll { $0.slot <= commit }
  }

  mutating func tickFollowerReads() {
    guard followerReads.count > 0 else { return }
    let patience = configuration.timing.electionTimeout
    if leader == nil || role != .follower || now - followerReads.askedAt >= patience {
      refuseQuestions()
    }
    for read in followerReads.granted where now - read.since >= 2 * patience {
      outbox.append(.readRefused(id: read.id))
    }
    followerReads.granted.removeAll { now - $0.since >= 2 * patience }
  }

  /// Refuses whoever still waits for a slot: the leader that was asked may lead no more.
  mutating func refuseQuestions() {
    for id in followerReads.asked + followerReads.queued { outbox.append(.readRefused(id: id)) }
    followerReads.asked = []
    followerReads.queued = []
  }
}
