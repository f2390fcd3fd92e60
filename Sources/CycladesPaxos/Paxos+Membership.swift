// Membership: whose votes count, and how that changes.
//
//   slot   s                          s + window
//    ------|------------------------------|-----------------------------
//          decided here ...               ... governs from here on
//
// Whoever knows what is decided up to slot c knows the members of all slots up to c + window, and
// nobody proposes further. A ballot needs the promises of a quorum of every membership that governs a
// slot which may still be open: the current one, and the next one once it is decided. A leader that
// decides a change while in office asks the new members before it proposes in their slots.

extension Paxos {
  /// The members that a ballot can need: those of the current membership, then those new in the next.
  mutating func rebuildPeers() {
    var rebuilt: [Peer] = []
    for member in schedule.current.members {
      var peer = Peer(member)
      peer.votesNow = member.kind.votes
      rebuilt.append(peer)
    }
    for member in schedule.next?.members ?? [] {
      let known = rebuilt.firstIndex {
        $0.member.id == member.id
          && ($0.member.incarnation == 0 || $0.member.incarnation == member.incarnation)
      }
      var peer = known.map { rebuilt[$0] } ?? Peer(member)
      peer.member = member
      peer.votesNext = member.kind.votes
      if let known { rebuilt[known] = peer } else { rebuilt.append(peer) }
    }
    for index in rebuilt.indices { takeOver(into: &rebuilt[index]) }
    peers = rebuilt
    own = peers.firstIndex { $0.member.matches(configuration.node, configuration.incarnation) }
  }

  /// Keeps what is known of a member that stays.
  private func takeOver(into peer: inout Peer) {
    guard
      let old = peers.first(where: {
        $0.member.id == peer.member.id
          && ($0.member.incarnation == 0 || $0.member.incarnation == peer.member.incarnation)
      })
    else {
      // A new one is supposed to listen, until an election timeout has shown otherwise.
      peer.sent = through
      peer.heardAt = now
      return
    }
    let (member, votesNow, votesNext) = (peer.member, peer.votesNow, peer.votesNext)
    peer = old
    peer.member = member
    peer.votesNow = votesNow
    peer.votesNext = votesNext
  }

  /// The member that a node with this disk is.
  func peer(_ node: NodeID, _ incarnation: UInt64) -> Int? {
    peers.firstIndex {
      mutation.contains(.ignoreIncarnation)
        ? $0.member.id == node : $0.member.matches(node, incarnation)
    }
  }

  // MARK: Quorums

  /// Whether the peers that count are a quorum of every membership that governs an open slot.
  func isQuorum(_ counts: (Peer) -> Bool) -> Bool {
    guard isQuorumNow(counts) else { return false }
    if mutation.contains(.ignoreNextQuorum) { return true }
    return schedule.next == nil || isQuorumNext(counts)
  }

  private func isQuorumNow(_ counts: (Peer) -> Bool) -> Bool {
    peers.count { $0.votesNow && counts($0) } >= schedule.current.quorum
  }

  private func isQuorumNext(_ counts: (Peer) -> Bool) -> Bool {
    peers.count { $0.votesNext && counts($0) } >= schedule.next!.quorum
  }

  /// Whether the peers that count are a quorum of the newest membership.
  func isQuorumOfNewest(_ counts: (Peer) -> Bool) -> Bool {
    schedule.next == nil ? isQuorumNow(counts) : isQuorumNext(counts)
  }

  /// The highest number that a quorum of every membership with open slots has reached.
  func highest(_ number: (Peer) -> UInt64) -> UInt64 {
    let now = peers.highest(by: schedule.current.quorum, number) { $0.votesNow }
    guard let next = schedule.next else { return now }
    return min(now, peers.highest(by: next.quorum, number) { $0.votesNext })
  }

  /// The last slot that is accepted by a quorum of its own membership, as all before it are.
  func acceptedByQuorum() -> Slot {
    let countsLearners = mutation.contains(.countLearners)
    let fewer = mutation.contains(.decideByMinority) ? 1 : 0
    let now = peers.highest(by: schedule.current.quorum - fewer, \.through) {
      $0.votesNow || countsLearners
    }
    guard let next = schedule.next, now + 1 >= schedule.nextFrom else { return now }
    let then = peers.highest(by: next.quorum - fewer, \.through) { $0.votesNext || countsLearners }
    return max(schedule.nextFrom - 1, then)
  }

  /// Whether this node may stand for leader.
  var isElectable: Bool {
    guard let own, !audit.isOutvoted else { return false }
    let node = peers[own].member.id
    return (schedule.current.members + (schedule.next?.members ?? []))
      .contains { $0.kind == .voter && $0.matches(node, configuration.incarnation) }
  }

  /// The place in the order of preference.
  var rank: Int {
    let members = schedule.newest.members
    return members.firstIndex { $0.id == configuration.node } ?? members.count
  }

  // MARK: Changes

  /// Proposes that from a window behind the next slot on these are the members.
  ///
  /// Only the leader can, one change at a time. It is decided when `membershipChanged` says so.
  /// - Throws: `PaxosError`; then nothing happened.
  /// - Returns: The slot, as from `propose`.
  public mutating func propose(
    membership members: [Member], into effects: inout [Effect]
  ) throws(PaxosError) -> Slot {
    guard role == .leader else { throw PaxosError(.notLeader, "this node does not lead") }
    guard makeMembership != nil else {
      throw PaxosError(.invalidMembership, "this replica was made without makeMembership")
    }
    guard !isChanging else {
      throw PaxosError(.changePending, "another change of the membership is under way")
    }
    let membership = Membership(number: schedule.current.number + 1, members: members)
    if let flaw = membership.flaw { throw PaxosError(.invalidMembership, flaw) }
    let living = members.filter { $0.kind.votes && keepsUp($0) }
    guard living.count >= membership.quorum, living.contains(where: { $0.kind == .voter }) else {
      throw PaxosError(
        .noLiveQuorum,
        "of the new members \(living.count) vote and keep up, \(membership.quorum) must, "
          + "and one of them must be able to lead")
    }
    guard canPropose else { throw PaxosError(.busy, "the window is full, or the ballot not open") }
    swap(&outbox, &effects)
    defer { swap(&outbox, &effects) }
    propose(membership)
    checkInvariants()
    return through
  }

  /// Whether a member to be is one already, by the same disk, and has what this leader has.
  private func keepsUp(_ member: Member) -> Bool {
    peers.indices.contains { index in
      let peer = peers[index]
      return peer.member.id == member.id
        && (peer.member.incarnation == 0 || peer.member.incarnation == member.incarnation)
        && (index == own || peer.keepsUpSince != nil)
    }
  }

  private mutating func propose(_ membership: Membership) {
    append(makeMembership!(membership))
    pumpAll()
  }

  /// Whether a change is proposed and not yet in force.
  var isChanging: Bool { schedule.next != nil || proposer.change > commit }

  /// Takes note of a membership that was just decided in slot `commit`.
  mutating func decided(_ membership: Membership) {
    let window = mutation.contains(.ignoreAlpha) ? 1 : configuration.window
    guard schedule.decide(membership, in: commit, window: window) else { return }
    outbox.append(.membershipChanged(membership, effectiveFrom: schedule.nextFrom))
    let from = schedule.nextFrom
    rebuildPeers()
    switch role {
    case .follower: election.canvass = 0
    case .candidate:
      becomeFollower()
      awaitLeader(patience: configuration.timing.electionTimeout)
    case .leader:
      // The new members have granted nothing yet.
      reads.endLease()
      if !mutation.contains(.skipPreparation) { prepareNext(from: from) }
    }
  }

  /// Lets the next membership govern when its first slot is the next one.
  mutating func advanceSchedule() {
    if schedule.advance(behind: commit) { rebuildPeers() }
  }

  /// Asks the new members to promise the ballot that this node leads in, for the slots they govern.
  private mutating func prepareNext(from: Slot) {
    proposer.unprepared = from
    for index in peers.indices {
      peers[index].hasVoted = false
      peers[index].unknown = nil
    }
    if let own {
      peers[own].hasVoted = true
      peers[own].unknown = window.damage(from: from)
    }
    sendPrepareNext()
    openIfPrepared()
  }

  mutating func sendPrepareNext() {
    guard let from = proposer.unprepared else { return }
    proposer.prepareAt = now + configuration.timing.electionTimeout / 2
    for index in peers.indices where index != own && !peers[index].hasVoted {
      send(.prepare(promised, from: from), to: peers[index].member.id, after: promiseToken)
    }
  }

  /// Proposes in the slots of the new members, once a quorum of them has promised.
  mutating func openIfPrepared() {
    guard let from = proposer.unprepared else { return }
    let horizon = proposer.gathered.horizon(peers)
    var slot = from
    repeat {
      guard isQuorumOfNewest({ $0.isDefinite(in: slot) }) else { return }
      slot += 1
    } while slot <= horizon
    proposer.unprepared = nil
    proposer.opening = max(proposer.opening, horizon + 1)
    openBallot()
  }

  /// Starts the changes that a leader makes by itself: the disks of members that it has come to know,
  /// and learners that have caught up.
  mutating func improveMembership() {
    guard makeMembership != nil, canPropose, !isChanging else { return }
    var membership = schedule.current
    for index in membership.members.indices {
      guard let peer = peers.first(where: { $0.member == membership.members[index] })
      else { continue }
      if peer.member.incarnation == 0 {
        membership.members[index].incarnation =
          peer.member.id == configuration.node ? configuration.incarnation : peer.seenIncarnation
      }
      if peer.member.kind == .learner, let since = peer.keepsUpSince,
        now - since >= configuration.timing.electionTimeout
      {
        membership.members[index].kind = .voter
      }
    }
    guard membership != schedule.current else { return }
    membership.number += 1
    propose(membership)
  }
}
