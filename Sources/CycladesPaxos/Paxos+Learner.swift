// Decision: what is chosen, how everybody hears of it, and how a laggard catches up.

/// The entries that a replica has asked a peer for.
struct Fetch {
  /// The last slot it needs; the fetch is over when that one is decided.
  var through: Slot = 0
  var source: NodeID?
  /// When to ask again, and how often that brought nothing.
  var retryAt: UInt64 = 0
  var misses = 0
  /// What was decided and accepted here at the time.
  var commit: Slot = 0
  var accepted: Slot = 0
  /// Whether the disk was too slow for what came, so that it must be asked for again.
  var isHeld = false
}

extension Paxos {
  /// Decides what a quorum has accepted in the leader's ballot.
  ///
  /// A leader proposes again everything undecided before anything new, so all entries beyond its
  /// commit are of its own ballot, and counting replicas is enough.
  mutating func decideByQuorum() {
    precondition(role == .leader)
    if let own { peers[own].through = acceptedThrough }
    let decided = min(acceptedByQuorum(), through)
    guard decided > commit else { return }
    decide(through: decided)
    openBallot()
    confirmReads()
    pumpAll()
  }

  /// Decides what the leader of the promised ballot has decided, as far as it was accepted in that
  /// ballot: an entry of a lower one may have lost its slot to another value.
  mutating func decideByLeader() {
    let isCareless =
      mutation.contains(.decideAnyBallot) && window.damage(from: commit + 1) == nil
    let end = isCareless ? window.last : through
    if min(leaderCommit, end) > commit { decide(through: min(leaderCommit, end)) }
    through = max(through, commit)
    if leaderCommit > commit, let leader {
      fetch(from: commit + 1, through: leaderCommit, of: leader)
    }
    releaseSlots()
  }

  /// Applies the slots up to this one; they are in the window.
  private mutating func decide(through end: Slot) {
    precondition(end <= window.last)
    while commit < end {
      let entry = window.entry(commit + 1)
      if role == .leader { proposer.bytes -= entry.payload.byteCount }
      apply(entry)
    }
  }

  /// Applies the slot behind the last decided one.
  mutating func apply(_ entry: Entry) {
    precondition(entry.slot == commit + 1)
    commit += 1
    outbox.append(.apply(entry))
    if let membership = entry.payload.membership { decided(membership) }
    advanceSchedule()
  }

  /// Asks a peer for the entries that are missing here, unless that was done a moment ago: while
  /// they stream in, every message shows that some are still missing.
  ///
  /// When nothing came of it the others are asked in turn: a leader may be heard that cannot hear.
  mutating func fetch(from: Slot, through end: Slot, of source: NodeID) {
    if commit >= fetching.through { fetching = Fetch() }
    fetching.through = max(fetching.through, end)
    guard now >= fetching.retryAt, hasRoom(for: from) else { return }
    let hasMissed =
      fetching.source != nil && fetching.commit == commit && fetching.accepted == self.through
    let misses = hasMissed ? fetching.misses + 1 : 0
    ask(misses == 0 ? source : other(than: source, turn: misses), from: from)
    // An answer may be large and on its way: patience doubles.
    fetching.retryAt = now + configuration.timing.heartbeat << UInt64(min(misses, 4))
    fetching.misses = misses
  }

  private func other(than source: NodeID, turn: Int) -> NodeID {
    // The source is tried again, too: who leads need not be a member as far as this replica knows.
    let others = peers.map(\.member.id).filter { $0 != configuration.node && $0 != source }
    return turn % (others.count + 1) == 0 ? source : others[turn % (others.count + 1) - 1]
  }

  mutating func ask(_ source: NodeID, from: Slot) {
    fetching.source = source
    fetching.retryAt = now + configuration.timing.heartbeat
    fetching.commit = commit
    fetching.accepted = through
    fetching.misses = 0
    fetching.isHeld = false
    send(.fetch(from: from), to: source, after: promiseToken)
  }

  /// Everything up to this slot is known to be decided, though some of it may be damaged here.
  public var decidedThrough: Slot { max(commit, recoveredCommit) }

  /// Whether a damaged slot here is known to be decided. Until it is repaired, what others would have
  /// to tell a candidate of the slots behind it has no bound.
  var hasDecidedDamage: Bool { commit < recoveredCommit }

  /// Fetches the decided slots that are damaged here, from whoever has them.
  mutating func repairDecided() {
    guard hasDecidedDamage,
      let source = leader ?? peers.first(where: { $0.member.id != configuration.node })?.member.id
    else { return }
    fetch(from: commit + 1, through: recoveredCommit, of: source)
  }

  /// Asks for the rest, after the disk has caught up with what came before.
  mutating func resumeFetch() {
    guard fetching.isHeld, fetching.through > commit, hasRoom(for: commit + 1),
      let source = fetching.source
    else { return }
    ask(source, from: commit + 1)
  }

  mutating func receiveFetch(from: Slot, sender: NodeID, _ index: Int?) {
    if role == .leader, let index, from > window.floor, from <= through + 1 {
      peers[index].sent = from - 1
      pump(index)
    } else if from <= compacted {
      offerSnapshot(to: sender, index)
    } else {
      // A decided entry may still be on its way to the disk, and the log hold the loser of its slot.
      // What the log had when it was read can be given to others whatever is damaged before it: so
      // replicas of which each has lost something else repair each other.
      let end = max(min(commit, durable), recoveredCommit)
      if from <= end { outbox.append(.provide(to: sender, from: from, through: end)) }
    }
  }

  mutating func receiveHeartbeat(
    _ ballot: Ballot, commit: Slot, last: Slot, round: UInt64, from sender: NodeID
  ) {
    guard ballot.node == sender, follow(ballot, commit: commit) else { return }
    // Connections keep the order, so what was proposed before and is not here was dropped.
    if last > through { fetch(from: through + 1, through: last, of: sender) }
    grantLease()
    send(
      .heartbeatReply(ballot, through: acceptedThrough, round: round), to: sender,
      after: promiseToken)
  }

  mutating func receiveLearn(_ entries: [Entry], from sender: NodeID) {
    // A leader has everything that was decided before its ballot, and decides the rest itself.
    guard role != .leader else { return }
    let before = commit
    for entry in entries where entry.slot == commit + 1 {
      guard hasRoom(for: entry.slot) else {
        fetching.isHeld = true
        break
      }
      // The same ballot means the same entry, which need not be written again.
      if !window.holds(entry.slot) || window.ballot(entry.slot) != entry.ballot {
        accept(entry)
      }
      through = max(through, entry.slot)
      decide(through: entry.slot)
    }
    guard commit > before else { return }
    if !fetching.isHeld, fetching.through > commit { ask(sender, from: commit + 1) }
    decideByLeader()
    acknowledge()
  }
}

extension Array {
  /// The largest number that at least `quorum` of the elements that count have reached.
  ///
  /// - Complexity: O(*n*²), without allocating; groups are small.
  package func highest(
    by quorum: Int, _ number: (Element) -> UInt64, where counts: (Element) -> Bool = { _ in true }
  ) -> UInt64 {
    var highest: UInt64 = 0
    for index in indices where counts(self[index]) {
      let candidate = number(self[index])
      if candidate > highest, count(where: { counts($0) && number($0) >= candidate }) >= quorum {
        highest = candidate
      }
    }
    return highest
  }
}
