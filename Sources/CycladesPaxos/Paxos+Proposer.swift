// Proposal: the leader's pipeline, and what it knows of its peers.

/// What a leader keeps in mind, besides its window.
struct Proposer {
  /// The slot of the no-op that opens the own ballot: once decided, all that any earlier leader
  /// acknowledged is.
  var opening: Slot = 0
  /// What may have been decided in lower ballots; proposed again before the opening.
  var gathered = Gathered(from: 1)
  /// The first slot whose members have not promised the ballot yet.
  var unprepared: Slot?
  /// When to ask them again.
  var prepareAt: UInt64 = 0
  /// The slot of the last change of the membership that it proposed.
  var change: Slot = 0
  var transfer: Transfer?
  /// Set once somebody was told to stand in place of this leader: then leases are over for good.
  var handover: Ballot?
  /// The bytes that are proposed and undecided.
  var bytes = 0
  var heartbeatAt: UInt64 = 0

  init() {}

  init(opening: Slot, gathered: Gathered, heartbeatAt: UInt64) {
    self.opening = opening
    self.gathered = gathered
    self.heartbeatAt = heartbeatAt
  }
}

extension Paxos {
  /// Whether this replica leads and its window has room.
  public var canPropose: Bool {
    guard role == .leader, through >= proposer.opening, mayPropose(in: through + 1) else {
      return false
    }
    let isLeaving = proposer.transfer != nil && !mutation.contains(.proposeInTransfer)
    return proposer.bytes < configuration.windowBytes && !isLeaving
  }

  /// Whether all is decided that tells who governs the slot, and these have promised the ballot.
  private func mayPropose(in slot: Slot) -> Bool {
    slot <= commit + Slot(configuration.window) && hasRoom(for: slot)
      && slot < proposer.unprepared ?? .max
  }

  /// Proposes in the slot behind the last decided or proposed one of this ballot.
  mutating func append(_ payload: Payload) {
    precondition(role == .leader)
    accept(Entry(slot: through + 1, ballot: promised, commit: commit, payload: payload))
    proposer.bytes += payload.byteCount
    if payload.membership != nil { proposer.change = through }
  }

  /// Proposes what must be proposed, as far as there is room: again, in the new ballot, whatever may
  /// have been decided before, then the opening no-op; and no-ops that bring a change of the
  /// membership into force.
  mutating func openBallot() {
    while through < proposer.opening, mayPropose(in: through + 1) {
      let inherited = mutation.contains(.dropAccepted) ? nil : proposer.gathered[through + 1]
      append(inherited?.payload ?? makeNoop())
    }
    guard through >= proposer.opening else { return }
    while through + 1 < schedule.nextFrom, mayPropose(in: through + 1) { append(makeNoop()) }
  }

  /// Whether the peer was heard of lately.
  func isAlive(_ index: Int) -> Bool {
    now - peers[index].heardAt < configuration.timing.electionTimeout
  }

  /// Sends a peer what it was not sent yet, unless it is so far behind that it must fetch first.
  mutating func pump(_ index: Int) {
    guard index != own, isAlive(index) else { return }
    while peers[index].sent >= window.floor, peers[index].sent < through {
      peers[index].sent += 1
      send(.accept(window.entry(peers[index].sent)), to: peers[index].member.id)
    }
  }

  mutating func pumpAll() {
    for index in peers.indices { pump(index) }
  }

  mutating func receiveAccepted(_ ballot: Ballot, through: Slot, from index: Int) {
    guard role == .leader, ballot == promised, through <= self.through else { return }
    peers[index].heardAt = now
    if through > peers[index].through {
      peers[index].through = through
      peers[index].sent = max(peers[index].sent, through)
      decideByQuorum()
      finishTransferIfReady()
      releaseSlots()
    }
    // What was just decided may have taken this member, or moved it to another place.
    if peers.indices.contains(index) { pump(index) }
  }

  mutating func receiveHeartbeatReply(
    _ ballot: Ballot, through: Slot, round: UInt64, from index: Int
  ) {
    guard role == .leader, ballot == promised, round <= reads.sentRound else { return }
    peers[index].echo = max(peers[index].echo, round)
    receiveAccepted(ballot, through: through, from: index)
    confirmReads()
  }

  mutating func tickLeader() {
    if let own { peers[own].heardAt = now }
    guard isQuorum({ now - $0.heardAt < configuration.timing.electionTimeout }) else {
      becomeFollower()
      awaitLeader(patience: configuration.timing.electionTimeout)
      return
    }
    guard !isDiskStalled else {
      abdicate()
      return
    }
    if now >= proposer.heartbeatAt { sendHeartbeats() }
    continueAudit()
    guard role == .leader else { return }
    if proposer.unprepared != nil, now >= proposer.prepareAt { sendPrepareNext() }
    watchPeers()
    tickTransfer()
    improveMembership()
    releaseSlots()
  }

  /// Starts a round of heartbeats; each round confirms the reads that came before it.
  mutating func sendHeartbeats() {
    proposer.heartbeatAt = now + configuration.timing.heartbeat
    reads.beginRound(at: now)
    for index in peers.indices where index != own { sendHeartbeat(to: index) }
    confirmReads()
  }

  mutating func sendHeartbeat(to index: Int) {
    send(
      .heartbeat(promised, commit: commit, last: through, round: reads.sentRound),
      to: peers[index].member.id)
  }

  /// Lets go of what is decided and durable, and, at a leader, has reached all living peers.
  mutating func releaseSlots() {
    var end = min(commit, durable)
    if role == .leader {
      for index in peers.indices where index != own && isAlive(index) {
        end = min(end, peers[index].through)
      }
      // A living peer that lags by more than a window can fetch; nothing waits for it for ever.
      let window = Slot(configuration.window)
      end = max(end, min(min(commit, durable), commit > window ? commit - window : 0))
    }
    if end > window.floor { window.release(through: end) }
  }
}
