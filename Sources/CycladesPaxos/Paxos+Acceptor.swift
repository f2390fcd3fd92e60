// The acceptor: promises, accepted entries, and when they are durable.

extension Paxos {
  /// Promises a ballot, and gives up whatever was going on in a lower one.
  ///
  /// Whatever is said in the ballot from now on waits for `promiseToken`.
  mutating func promise(_ ballot: Ballot) {
    precondition(ballot > promised)
    becomeFollower()
    promised = ballot
    through = commit
    acknowledged = 0
    leaderCommit = 0
    audit.beginBallot()
    if mutation.contains(.forgetPromise) { return }
    token += 1
    promiseToken = token
    outbox.append(.persistPromise(ballot, token: token))
  }

  /// Accepts an entry into the window.
  mutating func accept(_ entry: Entry) {
    token += 1
    window.store(entry, token: token)
    durable = min(durable, entry.slot - 1)
    through = max(through, entry.slot)
    outbox.append(.persistEntry(entry, token: token))
  }

  /// Whether the window can take a slot before the disk and the decisions have caught up.
  ///
  /// A leader keeps within `configuration.window` beyond what is decided; the rest is for a disk
  /// that lags behind the decisions of the others.
  func hasRoom(for slot: Slot) -> Bool {
    slot <= min(commit, durable) + Slot(4 * configuration.window)
  }

  mutating func persisted(_ durableNow: UInt64) {
    precondition(durableNow <= token, "the shell reports a token that was never given out")
    guard durableNow > durableToken else { return }
    durableToken = durableNow
    diskProgressAt = now
    advanceDurable()
    switch role {
    case .follower:
      acknowledge()
      resumeFetch()
    case .candidate: voteForSelf()
    case .leader:
      decideByQuorum()
      // The disk may be what the ballot waited for.
      openBallot()
      pumpAll()
    }
    releaseSlots()
  }

  /// Counts the slots that have become durable one behind the other.
  mutating func advanceDurable() {
    while window.holds(durable + 1), window.token(durable + 1) <= durableToken { durable += 1 }
  }

  /// Counts the slots that were accepted in the promised ballot one behind the other.
  mutating func advanceThrough() {
    while window.holds(through + 1), window.ballot(through + 1) == promised { through += 1 }
  }

  /// Whether the disk has taken too long over something.
  var isDiskStalled: Bool { now - diskProgressAt >= configuration.timing.diskTimeout }

  /// What this replica may say it has accepted.
  var acceptedThrough: Slot {
    mutation.contains(.acknowledgeBeforeDurable) ? through : min(durable, through)
  }

  /// Tells the leader about entries that became durable since the last time, in one message.
  mutating func acknowledge() {
    guard let leader, acceptedThrough > acknowledged else { return }
    acknowledged = acceptedThrough
    send(.accepted(promised, through: acknowledged), to: leader, after: promiseToken)
  }

  mutating func receivePrepare(
    _ ballot: Ballot, from: Slot, after handover: Ballot?, sender: NodeID
  ) {
    guard ballot.node == sender else { return }
    // Whoever is bound stays silent; the candidate asks again.
    guard ballot <= promised || mayPromise(after: handover) else { return }
    // A candidate that has decided less than this replica would have to be told decided entries
    // without bound, so it must fetch them first; see `tellableFrom`.
    guard ballot >= promised, from > tellableFrom else {
      reject(ballot, to: sender)
      return
    }
    if ballot > promised {
      promise(ballot)
      awaitLeader(patience: configuration.timing.electionTimeout)
    }
    var entries: [Entry] = []
    if from <= window.last {
      entries.reserveCapacity(Int(window.last - from + 1))
      for slot in from...window.last where window.holds(slot) {
        entries.append(window.entry(slot))
      }
    }
    let unknown = mutation.contains(.damageIsNothing) ? nil : window.damage(from: from)
    // Waits for the newest token, so that the entries it tells of are durable too.
    send(
      .promise(ballot, from: from, commit: commit, entries: entries, unknown: unknown),
      to: sender, after: token)
  }

  /// The slot behind which this replica can tell a candidate all that it accepted.
  ///
  /// Decided slots before it are the log's, and without bound. But where damage keeps it from deciding
  /// what it knows to be decided, nobody may be able to give it the lost entry: those who hold it may
  /// not know that it is decided. A ballot finds out, so the few slots behind the damage are told of.
  var tellableFrom: Slot {
    hasDecidedDamage && window.last - commit <= Slot(4 * configuration.window)
      ? commit : decidedThrough
  }

  mutating func receiveAccept(_ entry: Entry, from sender: NodeID) {
    guard entry.ballot.node == sender else { return }
    if mutation.contains(.ignorePromise), entry.ballot < promised {
      becomeFollower()
      promised = entry.ballot
    }
    guard follow(entry.ballot, commit: entry.commit) else { return }
    if entry.slot <= through {
      // Sent again, so the acknowledgement may be lost.
      acknowledged = 0
      acknowledge()
    } else if entry.slot > through + 1 {
      fetch(from: through + 1, through: entry.slot - 1, of: sender)
    } else if hasRoom(for: entry.slot) {
      accept(entry)
    }
    decideByLeader()
  }

  /// Follows the leader of a ballot, promising it if need be; false if a higher one is promised.
  mutating func follow(_ ballot: Ballot, commit: Slot) -> Bool {
    guard ballot >= promised else {
      reject(ballot, to: ballot.node)
      return false
    }
    if ballot > promised { promise(ballot) }
    precondition(role == .follower, "two nodes act in one ballot")
    leader = ballot.node
    leaderHeardAt = now
    awaitLeader(patience: configuration.timing.electionTimeout)
    leaderCommit = max(leaderCommit, commit)
    decideByLeader()
    return true
  }

  private mutating func reject(_ ballot: Ballot, to node: NodeID) {
    send(
      .reject(round: ballot.round, promised: promised, commit: decidedThrough), to: node,
      after: promiseToken)
  }
}
