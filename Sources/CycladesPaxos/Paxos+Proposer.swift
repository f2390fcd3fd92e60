// Proposal: the leader's pipeline, and what it knows of its peers.

/// What a leader keeps in mind, besides its window.
struct Proposer {
  /// The slot of the no-op that opens the own ballot: once decided, all before it is.
  var noop: Slot = 0
  /// The bytes that are proposed and undecided.
  var bytes = 0
  var heartbeatAt: UInt64 = 0

  init() {}

  init(noop: Slot, heartbeatAt: UInt64) {
    self.noop = noop
    self.heartbeatAt = heartbeatAt
  }
}

/// What a leader knows of one peer in its ballot.
struct Peer {
  /// What the peer has accepted or decided, and is durable there.
  var through: Slot = 0
  /// What was sent to it as `accept`; it is in the stream when this is the last slot.
  var sent: Slot = 0
  /// The newest round of heartbeats that it echoed.
  var echo: UInt64 = 0
  var heardAt: UInt64 = 0
  /// Before this time no further snapshot is offered to it.
  var snapshotAt: UInt64 = 0
}

extension Paxos {
  /// Whether this replica leads and its window has room.
  public var canPropose: Bool {
    guard role == .leader, window.last >= proposer.noop else { return false }
    return window.last < commit + Slot(configuration.window) && hasRoom(for: window.last + 1)
      && proposer.bytes < configuration.windowBytes
  }

  /// Proposes in the slot behind the last decided or proposed one of this ballot.
  mutating func append(_ payload: Payload) {
    precondition(role == .leader)
    accept(Entry(slot: through + 1, ballot: promised, commit: commit, payload: payload))
    proposer.bytes += payload.byteCount
  }

  /// Proposes the no-op that opens the ballot, as soon as the window has room for it.
  mutating func proposeNoop() {
    guard window.last == proposer.noop - 1, window.last < commit + Slot(configuration.window),
      hasRoom(for: proposer.noop)
    else { return }
    append(makeNoop())
  }

  /// Whether the peer was heard of lately.
  func isAlive(_ index: Int) -> Bool {
    now - peers[index].heardAt < configuration.timing.electionTimeout
  }

  /// Sends a peer what it was not sent yet, unless it is so far behind that it must fetch first.
  mutating func pump(_ index: Int) {
    guard index != rank, isAlive(index) else { return }
    while peers[index].sent >= window.floor, peers[index].sent < window.last {
      peers[index].sent += 1
      send(.accept(window.entry(peers[index].sent)), to: configuration.members[index])
    }
  }

  mutating func pumpAll() {
    for index in peers.indices { pump(index) }
  }

  mutating func receiveAccepted(_ ballot: Ballot, through: Slot, from index: Int) {
    guard role == .leader, ballot == promised, through <= window.last else { return }
    peers[index].heardAt = now
    if through > peers[index].through {
      peers[index].through = through
      peers[index].sent = max(peers[index].sent, through)
      decideByQuorum()
      releaseSlots()
    }
    pump(index)
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
    let living = peers.indices.count { $0 == rank || isAlive($0) }
    guard living >= configuration.quorum, !isDiskStalled else {
      becomeFollower()
      awaitLeader(patience: configuration.timing.electionTimeout)
      return
    }
    if now >= proposer.heartbeatAt { sendHeartbeats() }
    releaseSlots()
  }

  /// Starts a round of heartbeats; each round confirms the reads that came before it.
  mutating func sendHeartbeats() {
    proposer.heartbeatAt = now + configuration.timing.heartbeat
    reads.sentRound += 1
    for index in peers.indices where index != rank { sendHeartbeat(to: index) }
    confirmReads()
  }

  mutating func sendHeartbeat(to index: Int) {
    send(
      .heartbeat(promised, commit: commit, last: window.last, round: reads.sentRound),
      to: configuration.members[index])
  }

  /// Lets go of what is decided and durable, and, at a leader, has reached all living peers.
  mutating func releaseSlots() {
    var end = min(commit, durable)
    if role == .leader {
      for index in peers.indices where index != rank && isAlive(index) {
        end = min(end, peers[index].through)
      }
      // A living peer that lags by more than a window can fetch; nothing waits for it for ever.
      let window = Slot(configuration.window)
      end = max(end, min(min(commit, durable), commit > window ? commit - window : 0))
    }
    if end > window.floor { window.release(through: end) }
  }
}
