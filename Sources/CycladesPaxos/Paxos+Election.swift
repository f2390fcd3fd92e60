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
  /// The highest round that a voter itself has promised, as far as it told.
  var highestRound: UInt64 = 0
  /// The ballot whose leader asked this node to stand.
  var handover: Ballot?
  /// What the promises told, from the first slot on that `prepare` asks about.
  var gathered = Gathered(from: 1)
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
    refuseQuestions()
    role = .follower
    leader = nil
    leaderHeardAt = nil
    election.canvass = 0
    election.gathered = Gathered(from: commit + 1)
    fetching = Fetch()
    releaseSlots()
  }

  mutating func tickFollower() {
    if leader != nil, !hearsLeader { leader = nil }
    repairDecided()
    guard now >= election.deadline else { return }
    guard !isDiskStalled, !hasDecidedDamage else {
      awaitLeader(patience: configuration.timing.electionTimeout)
      return
    }
    canvass()
  }

  /// Asks around. Also who may not stand does: perhaps it may, and has not heard of it.
  private mutating func canvass() {
    awaitLeader(patience: configuration.timing.electionTimeout / 2)
    election.canvassCount += 1
    election.canvass = election.canvassCount
    for index in peers.indices {
      peers[index].hasVoted = index == own
      guard index != own else { continue }
      send(.canvass(commit: commit, token: election.canvass), to: peers[index].member.id)
    }
    standIfWanted()
  }

  mutating func receiveCanvass(commit: Slot, token: UInt64, from sender: NodeID) {
    // A node whose disk is stalled could not make good on its word.
    let granted =
      role != .leader && !hearsLeader && commit >= tellableFrom && !isDiskStalled && !isBound
    send(
      .canvassReply(
        granted: granted, promised: promised, commit: decidedThrough, token: token), to: sender)
  }

  mutating func receiveCanvassReply(
    granted: Bool, promised: Ballot, commit: Slot, token: UInt64, from sender: NodeID,
    _ index: Int?
  ) {
    guard role == .follower, election.canvass != 0, token == election.canvass else { return }
    election.highestRound = max(election.highestRound, promised.round)
    if commit > self.commit {
      fetch(from: self.commit + 1, through: commit, of: sender)
    }
    guard granted, let index else { return }
    peers[index].hasVoted = true
    standIfWanted()
  }

  private mutating func standIfWanted() {
    if isElectable, !isBound, isQuorum(\.hasVoted) { stand(after: nil) }
  }

  /// Raises a ballot. `prepare` leaves when the own promise is durable, so that a candidate that
  /// crashes never uses the same ballot again.
  mutating func stand(after handover: Ballot?) {
    let round = max(promised.round, election.highestRound) + 1
    promise(Ballot(round: round, node: configuration.node))
    role = .candidate
    election.handover = handover
    election.gathered = Gathered(from: commit + 1)
    election.retryAt = now + configuration.timing.electionTimeout / 2
    awaitLeader(patience: configuration.timing.electionTimeout)
    for index in peers.indices {
      peers[index].beginBallot()
      if index != own { sendPrepare(to: index) }
    }
    voteForSelf()
  }

  mutating func sendPrepare(to index: Int) {
    send(
      .prepare(promised, from: election.gathered.from, after: election.handover),
      to: peers[index].member.id, after: promiseToken)
  }

  mutating func tickCandidate() {
    if now >= election.deadline {
      becomeFollower()
      awaitLeader(patience: 0)
    } else if now >= election.retryAt {
      election.retryAt = now + configuration.timing.electionTimeout / 2
      for index in peers.indices where index != own && !peers[index].hasVoted {
        sendPrepare(to: index)
      }
    }
  }

  /// Counts the own promise, once it is durable like everybody else's.
  mutating func voteForSelf() {
    guard role == .candidate, promiseToken <= durableToken, let own else { return }
    var slot = election.gathered.from
    while slot <= window.last {
      if window.holds(slot) { election.gathered.add(window.entry(slot)) }
      slot += 1
    }
    peers[own].unknown =
      mutation.contains(.damageIsNothing) ? nil : window.damage(from: election.gathered.from)
    peers[own].hasVoted = true
    leadIfPromised()
  }

  mutating func receivePromise(
    _ ballot: Ballot, from: Slot, commit: Slot, entries: [Entry], unknown: ClosedRange<Slot>?,
    sender index: Int
  ) {
    guard ballot == promised, commit < from, !peers[index].hasVoted,
      isComplete(entries, from: from, ballot: ballot, unknown: unknown)
    else { return }
    if role == .candidate, from == election.gathered.from {
      for entry in entries { election.gathered.add(entry) }
    } else if role == .leader, from == proposer.unprepared {
      for entry in entries { proposer.gathered.add(entry) }
    } else {
      return
    }
    peers[index].hasVoted = true
    peers[index].unknown = unknown
    peers[index].through = max(peers[index].through, commit)
    if role == .candidate { leadIfPromised() } else { openIfPrepared() }
  }

  /// Whether entries are all that an acceptor can tell of the slots from one on.
  private func isComplete(
    _ entries: [Entry], from: Slot, ballot: Ballot, unknown: ClosedRange<Slot>?
  ) -> Bool {
    let limit = 4 * configuration.window
    guard entries.count <= limit else { return false }
    if let unknown {
      guard unknown.lowerBound >= from, unknown.upperBound - from < Slot(limit) else {
        return false
      }
    }
    var expected = from
    for entry in entries {
      while expected < entry.slot, unknown?.contains(expected) ?? false { expected += 1 }
      guard entry.slot == expected, entry.ballot < ballot else { return false }
      expected += 1
    }
    return true
  }

  /// Takes office when, for every slot in which anything may have been accepted, a quorum has told
  /// under oath what it was. A disk that lost the slot does not say "nothing": it does not count.
  private mutating func leadIfPromised() {
    guard let own, peers[own].hasVoted, isQuorum(\.hasVoted) else { return }
    let horizon = election.gathered.horizon(peers)
    var slot = commit + 1
    while slot <= horizon {
      guard isQuorum({ $0.isDefinite(in: slot) }) else { return }
      slot += 1
    }
    lead(horizon: horizon)
  }

  mutating func receiveReject(round: UInt64, promised: Ballot, commit: Slot, from sender: NodeID) {
    election.highestRound = max(election.highestRound, promised.round)
    guard role != .follower, round == self.promised.round else { return }
    // New members may have decided already, in a lower ballot, what this leader does not know of.
    let isOutrun = role == .candidate || commit >= proposer.unprepared ?? .max
    if promised > self.promised {
      becomeFollower()
      awaitLeader(patience: 0)
    } else if isOutrun, commit > self.commit {
      becomeFollower()
      awaitLeader(patience: 0)
      fetch(from: self.commit + 1, through: commit, of: sender)
    }
  }

  /// Takes office: proposes again, in the new ballot, whatever may have been decided before, and then
  /// a no-op. When that one is decided, so is everything that any earlier leader acknowledged.
  private mutating func lead(horizon: Slot) {
    precondition(promiseToken <= durableToken, "leading in a ballot that may be forgotten")
    role = .leader
    leader = configuration.node
    proposer = Proposer(
      opening: max(horizon, commit) + 1, gathered: election.gathered, heartbeatAt: now)
    election.gathered = Gathered(from: commit + 1)
    for index in peers.indices {
      peers[index].heardAt = now
      peers[index].sent = peers[index].through
    }
    openBallot()
    pumpAll()
    sendHeartbeats()
  }
}
