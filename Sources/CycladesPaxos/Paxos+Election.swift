// Election: canvass, prepare, promise, and the way into and out of the roles.
//
//            nothing heard of a leader            a quorum says yes
//   follower ------------------------> canvassing -----------------> candidate
//      ^  ^                                                              | a quorum has promised
//      |  +---- a higher ballot, too much to fetch, no quorum in time ---+
//      +------- a higher ballot, no quorum heard, disk stalled --------- leader
//
// Canvassing is a follower's state: it promises nothing and disturbs nobody, so a node that comes
// back from behind a partition cannot depose a leader that a quorum still hears.

/// What a node that wants to lead keeps in mind.
struct Election {
  /// When to canvass, or to give up a candidacy.
  var deadline: UInt64 = 0
  /// When a candidate asks again those who have not answered.
  var retryAt: UInt64 = 0
  /// The canvass in progress; zero when there is none. Each has a number of its own.
  var canvass: UInt64 = 0
  var canvassCount: UInt64 = 0
  /// A bit per member: who said yes to the canvass, or promised the ballot.
  var votes: UInt64 = 0
  /// The highest round that a voter itself has promised, as far as it told.
  var highestRound: UInt64 = 0
  /// The first slot that `prepare` asks about.
  var from: Slot = 0
  /// The entries of the highest ballot among the promises, for `from` and the slots behind it.
  var gathered: [Entry?] = []
}

extension Paxos {
  /// Sets the time after which this node canvasses if it hears of no leader.
  mutating func awaitLeader(patience: UInt64) {
    let timing = configuration.timing
    let jitter = timing.jitter == 0 ? 0 : random.next() % timing.jitter
    election.deadline = now + patience + UInt64(rank) * timing.rankDelay + jitter
    election.canvass = 0
  }

  /// Whether a leader was heard of so lately that it must be supposed to live.
  var hearsLeader: Bool {
    guard let leaderHeardAt else { return false }
    return now - leaderHeardAt < configuration.timing.electionTimeout
  }

  /// Leaves whatever role this is. The ballot stays promised.
  mutating func becomeFollower() {
    if role == .leader { refuseReads() }
    role = .follower
    leader = nil
    leaderHeardAt = nil
    election.canvass = 0
    election.votes = 0
    election.gathered = []
    fetching = Fetch()
    releaseSlots()
  }

  mutating func tickFollower() {
    if leader != nil, !hearsLeader { leader = nil }
    guard now >= election.deadline else { return }
    guard !isDiskStalled else {
      awaitLeader(patience: configuration.timing.electionTimeout)
      return
    }
    canvass()
  }

  private mutating func canvass() {
    awaitLeader(patience: configuration.timing.electionTimeout / 2)
    election.canvassCount += 1
    election.canvass = election.canvassCount
    election.votes = 1 << rank
    for (index, member) in configuration.members.enumerated() where index != rank {
      send(.canvass(commit: commit, token: election.canvass), to: member)
    }
    standIfWanted()
  }

  mutating func receiveCanvass(commit: Slot, token: UInt64, from sender: NodeID) {
    // A node whose disk is stalled could not make good on its word.
    let granted =
      role != .leader && !hearsLeader && commit >= self.commit && !isDiskStalled
    send(
      .canvassReply(
        granted: granted, promised: promised, commit: self.commit, token: token), to: sender)
  }

  mutating func receiveCanvassReply(
    granted: Bool, promised: Ballot, commit: Slot, token: UInt64, from index: Int
  ) {
    guard role == .follower, election.canvass != 0, token == election.canvass else { return }
    election.highestRound = max(election.highestRound, promised.round)
    if commit > self.commit {
      fetch(from: self.commit + 1, through: commit, of: configuration.members[index])
    }
    guard granted else { return }
    election.votes |= 1 << index
    standIfWanted()
  }

  private mutating func standIfWanted() {
    guard election.votes.nonzeroBitCount >= configuration.quorum else { return }
    stand()
  }

  /// Raises a ballot. `prepare` leaves when the own promise is durable, so that a candidate that
  /// crashes never uses the same ballot again.
  private mutating func stand() {
    let round = max(promised.round, election.highestRound) + 1
    promise(Ballot(round: round, node: configuration.node))
    role = .candidate
    election.from = commit + 1
    election.retryAt = now + configuration.timing.electionTimeout / 2
    awaitLeader(patience: configuration.timing.electionTimeout)
    for index in peers.indices where index != rank {
      peers[index] = Peer()
      sendPrepare(to: index)
    }
    voteForSelf()
  }

  mutating func sendPrepare(to index: Int) {
    send(
      .prepare(promised, from: election.from), to: configuration.members[index],
      after: promiseToken)
  }

  mutating func tickCandidate() {
    if now >= election.deadline {
      becomeFollower()
      awaitLeader(patience: 0)
    } else if now >= election.retryAt {
      election.retryAt = now + configuration.timing.electionTimeout / 2
      for index in peers.indices where index != rank && election.votes & (1 << index) == 0 {
        sendPrepare(to: index)
      }
    }
  }

  /// Counts the own promise, once it is durable like everybody else's.
  mutating func voteForSelf() {
    guard role == .candidate, promiseToken <= durableToken else { return }
    vote(of: rank)
  }

  mutating func receivePromise(
    _ ballot: Ballot, from: Slot, commit: Slot, entries: [Entry], sender index: Int
  ) {
    guard role == .candidate, ballot == promised, from == election.from, commit < from,
      entries.count <= 4 * configuration.window
    else { return }
    var expected = from
    for entry in entries {
      guard entry.slot == expected, entry.ballot < ballot else { return }
      expected += 1
    }
    for (offset, entry) in entries.enumerated() {
      if offset == election.gathered.count { election.gathered.append(nil) }
      guard let other = election.gathered[offset] else {
        election.gathered[offset] = entry
        continue
      }
      election.gathered[offset] = preferred(other, entry)
    }
    peers[index].through = commit
    vote(of: index)
  }

  private mutating func vote(of index: Int) {
    election.votes |= 1 << index
    guard election.votes.nonzeroBitCount >= configuration.quorum,
      election.votes & (1 << rank) != 0
    else { return }
    lead()
  }

  mutating func receiveReject(round: UInt64, promised: Ballot, commit: Slot, from sender: NodeID) {
    election.highestRound = max(election.highestRound, promised.round)
    guard role != .follower, round == self.promised.round else { return }
    if promised > self.promised {
      becomeFollower()
      awaitLeader(patience: 0)
    } else if role == .candidate, commit > self.commit {
      becomeFollower()
      awaitLeader(patience: 0)
      fetch(from: self.commit + 1, through: commit, of: sender)
    }
  }

  /// Takes office: proposes again, in the new ballot, whatever may have been decided before, and then
  /// a no-op. When that one is decided, so is everything that any earlier leader acknowledged.
  private mutating func lead() {
    precondition(promiseToken <= durableToken, "leading in a ballot that may be forgotten")
    role = .leader
    leader = configuration.node
    let proposals = proposalsOfPredecessors()
    election.gathered = []
    proposer = Proposer(noop: commit + Slot(proposals.count) + 1, heartbeatAt: now)
    for index in peers.indices {
      peers[index].heardAt = now
      peers[index].sent = peers[index].through
      peers[index].echo = 0
    }
    for payload in proposals { append(payload) }
    proposeNoop()
    pumpAll()
    sendHeartbeats()
  }

  /// Which of two accepted entries of a slot may have been decided: the one of the higher ballot.
  private func preferred(_ a: Entry, _ b: Entry) -> Entry {
    a.ballot < b.ballot ? b : a
  }

  /// For every undecided slot, the value of the highest ballot among the promises, or a no-op.
  private func proposalsOfPredecessors() -> [Payload] {
    let base = commit
    let gatheredLast = election.from - 1 + Slot(election.gathered.count)
    let last = max(window.last, gatheredLast)
    var proposals: [Payload] = []
    var slot = base + 1
    while slot <= last {
      let own = window.holds(slot) ? window.entry(slot) : nil
      let theirs = slot <= gatheredLast ? election.gathered[Int(slot - election.from)] : nil
      let highest =
        switch (own, theirs) {
        case (let own?, let theirs?): preferred(own, theirs)
        default: own ?? theirs
        }
      proposals.append(
        mutation.contains(.dropAccepted) ? makeNoop() : highest?.payload ?? makeNoop())
      slot += 1
    }
    return proposals
  }
}
