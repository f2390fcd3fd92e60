// Handing the leadership over: on demand, back to the node that is preferred, and in need.
//
// The leader stops proposing, waits until the target has everything, and tells it to stand at once,
// which saves the group an election timeout. Nothing here is needed for safety: the target wins its
// ballot as any candidate does, and a transfer that comes to nothing ends after an election timeout.

/// A transfer of the leadership under way.
struct Transfer {
  var target: NodeID
  /// When to give up and to propose again.
  var deadline: UInt64
  var isTold = false
}

extension Paxos {
  /// Hands the leadership to another voter; `roleChanged` tells when it is gone.
  ///
  /// Until then, an election timeout at most, nothing can be proposed.
  /// - Throws: `PaxosError`; then nothing happened.
  public mutating func transferLeadership(
    to target: NodeID, into effects: inout [Effect]
  ) throws(PaxosError) {
    guard role == .leader else { throw PaxosError(.notLeader, "this node does not lead") }
    guard proposer.transfer == nil, proposer.unprepared == nil else {
      throw PaxosError(.busy, "the leadership or the membership is changing")
    }
    guard target != configuration.node,
      let index = peers.firstIndex(where: { $0.member.id == target && $0.member.kind == .voter })
    else { throw PaxosError(.invalidTarget, "node \(target) is not another voter of this group") }
    guard isAlive(index) else {
      throw PaxosError(.invalidTarget, "node \(target) was not heard of lately")
    }
    swap(&outbox, &effects)
    defer { swap(&outbox, &effects) }
    beginTransfer(to: target)
    checkInvariants()
  }

  private mutating func beginTransfer(to target: NodeID) {
    proposer.transfer = Transfer(
      target: target, deadline: now + configuration.timing.electionTimeout)
    finishTransferIfReady()
  }

  /// Tells the target to stand as soon as it has everything that was proposed.
  mutating func finishTransferIfReady() {
    guard let transfer = proposer.transfer, !transfer.isTold,
      let index = peers.firstIndex(where: { $0.member.id == transfer.target }),
      peers[index].through == through, commit == through
    else { return }
    proposer.transfer!.isTold = true
    proposer.handover = promised
    sendHeartbeat(to: index)
    send(.stand(promised), to: transfer.target)
  }

  mutating func receiveStand(_ ballot: Ballot, from sender: NodeID) {
    guard role == .follower, ballot == promised, leader == sender, ballot.node == sender,
      isElectable, !isDiskStalled, !hasDecidedDamage
    else { return }
    stand(after: ballot)
  }

  mutating func tickTransfer() {
    if let transfer = proposer.transfer {
      if now >= transfer.deadline { endTransfer() } else { finishTransferIfReady() }
    } else if let target = preferredSuccessor() {
      beginTransfer(to: target)
    }
  }

  /// A target that does not take over is not bothered again soon, and each time later.
  private mutating func endTransfer() {
    proposer.transfer = nil
    returnDelay = min(max(2 * returnDelay, configuration.timing.returnPatience), Timing.limit)
    for index in peers.indices { peers[index].keepsUpSince = nil }
    openBallot()
  }

  /// The voter that should lead instead of this node: the most preferred one that has kept up for a
  /// while; anyone that keeps up, when this node is a voter no more.
  private func preferredSuccessor() -> NodeID? {
    guard schedule.next == nil, proposer.unprepared == nil, commit >= proposer.opening,
      configuration.timing.returnPatience > 0 || !isElectable
    else { return nil }
    let patience =
      isElectable
      ? configuration.timing.returnPatience + returnDelay : configuration.timing.heartbeat
    for member in schedule.current.members {
      if member.id == configuration.node, isElectable { return nil }
      guard member.kind == .voter, let peer = peers.first(where: { $0.member == member }),
        let since = peer.keepsUpSince, now - since >= patience
      else { continue }
      return member.id
    }
    return nil
  }

  /// Notes who keeps up: alive, and no further behind than what may be in flight.
  mutating func watchPeers() {
    for index in peers.indices where index != own {
      let keepsUp =
        isAlive(index) && peers[index].through + Slot(configuration.window) >= commit
        && peers[index].through > 0
      if !keepsUp {
        peers[index].keepsUpSince = nil
      } else if peers[index].keepsUpSince == nil {
        peers[index].keepsUpSince = now
      }
    }
  }

  /// Leaves the office of a leader whose disk stands still, to whoever has the most.
  mutating func abdicate() {
    let heir = peers.indices.filter { $0 != own && isAlive($0) && peers[$0].member.kind == .voter }
      .max { peers[$0].through < peers[$1].through }
    if let heir { send(.stand(promised), to: peers[heir].member.id) }
    becomeFollower()
    awaitLeader(patience: configuration.timing.electionTimeout)
  }
}
