import CycladesPaxos

// The shell's part in compaction: snapshots of the machine, how they get to the disk and to laggards,
// and when the log forgets what they hold. Every step is an occurrence of its own, so a node may crash
// between any two.

extension Cluster {
  private static let patience: UInt64 = 100_000_000
  private static let despair: UInt64 = 500_000_000

  // MARK: Taking

  /// Begins to write a snapshot when enough was applied since the last one.
  func takeSnapshotIfDue(on index: Int) {
    let node = nodes[index]
    // A wrong state in a snapshot may reach as many as have the right one, and then nobody can say any
    // more which is right.
    guard swarm.compaction > 0, !node.isWritingSnapshot, !node.isWrong,
      node.applied >= (node.disk.snapshot?.slot ?? 0) + Slot(swarm.compaction)
    else { return }
    node.isWritingSnapshot = true
    var machine = node.machine
    if has(.dropSessions) {
      machine = Machine(
        keys: swarm.keys, clients: clients.count,
        words: machine.values + Array(repeating: 0, count: 2 * clients.count))!
    }
    let snapshot = Snapshot(
      slot: node.applied, words: machine.words,
      schedule: has(.forgetMembers) ? schedules[0] : schedules[Int(node.applied)])
    if has(.compactEarly) { compact(index, behind: snapshot) }
    schedule(
      .snapshotWritten(node: index, life: node.life, snapshot), after: diskDelay(of: index))
  }

  /// The snapshot is durable: now, or later, the log may forget what is in it.
  func snapshotWritten(_ snapshot: Snapshot, on index: Int) {
    let node = nodes[index]
    node.isWritingSnapshot = false
    node.disk.replace(by: snapshot)
    trace.note(at: now, "\(node.id) has a snapshot of \(snapshot.slot)")
    schedule(.compact(node: index, life: node.life), after: random.uniform(0...20_000_000))
  }

  func compact(_ index: Int) {
    guard let snapshot = nodes[index].disk.snapshot else { return }
    compact(index, behind: snapshot)
  }

  private func compact(_ index: Int, behind snapshot: Snapshot) {
    let node = nodes[index]
    let retained = Slot(random.index(below: swarm.retention + 1))
    let end = min(
      snapshot.slot > retained ? snapshot.slot - retained : 0, node.core!.compactable)
    guard end > node.disk.base else { return }
    statistics.compactions += 1
    trace.note(at: now, "\(node.id) compacts its log through \(end)")
    node.disk.compact(through: end, forgettingPromises: has(.forgetPromiseOnCompaction))
    step(index, .compacted(through: end))
  }

  // MARK: Giving

  func provideSnapshot(to peer: Int, from index: Int) {
    guard let snapshot = nodes[index].disk.snapshot else { return }
    transfer(
      .offer(
        slot: snapshot.slot, hash: snapshot.hash, words: snapshot.words.count,
        schedule: snapshot.schedule),
      from: index, to: peer)
  }

  private func transfer(_ transfer: Transfer, from: Int, to: Int) {
    let (first, second) = network.arrivals(from: from, to: to, now: now, random: &random)
    if let first { queue.insert(.transfer(transfer, from: from, to: to), at: first) }
    if let second { queue.insert(.transfer(transfer, from: from, to: to), at: second) }
  }

  // MARK: Getting

  func receive(_ transfer: Transfer, from source: Int, on index: Int) {
    let node = nodes[index]
    switch transfer {
    case .offer(let slot, let hash, let words, let schedule):
      considerOffer(slot, hash, words, schedule, from: source, on: index)
    case .pull(let slot, let hash, let part):
      guard let own = node.disk.snapshot else { return }
      if own.slot == slot, own.hash == hash {
        self.transfer(
          .part(slot: slot, hash: hash, part: part, words: own.part(part, size: swarm.partSize)),
          from: index, to: source)
      } else {
        provideSnapshot(to: source, from: index)
      }
    case .part(let slot, let hash, let part, let words):
      guard let download = node.download, part == download.parts, !download.isBeingStored,
        slot == download.slot && hash == download.hash || has(.mixSnapshots)
      else { return }
      node.download!.words += words
      node.download!.parts += 1
      node.download!.progressAt = now
      if node.download!.words.count < download.total { pull(index) } else { store(index) }
    }
  }

  private func considerOffer(
    _ slot: Slot, _ hash: UInt64, _ words: Int, _ schedule: MembershipSchedule, from source: Int,
    on index: Int
  ) {
    let node = nodes[index]
    guard node.core!.canInstall(through: slot) || has(.installOlder) else { return }
    if let download = node.download {
      guard !download.isBeingStored else { return }
      if download.slot == slot, download.hash == hash {
        // The same state from somebody else, who may be in better reach.
        if download.source != source { statistics.sourceChanges += 1 }
        node.download!.source = source
        pull(index)
        return
      }
      guard slot > download.slot || now - download.progressAt > Cluster.despair else { return }
    }
    node.download = Download(
      slot: slot, hash: hash, total: words, schedule: schedule, source: source, progressAt: now)
    pull(index)
  }

  private func pull(_ index: Int) {
    let node = nodes[index]
    guard let download = node.download else { return }
    node.download!.pulledAt = now
    transfer(
      .pull(slot: download.slot, hash: download.hash, part: download.parts), from: index,
      to: download.source)
  }

  /// Asks again for a part that did not come.
  func tickDownload(_ index: Int) {
    guard let download = nodes[index].download, !download.isBeingStored,
      now - download.pulledAt > Cluster.patience
    else { return }
    pull(index)
  }

  /// All parts are here: to the disk with them, if they are what was offered.
  private func store(_ index: Int) {
    let node = nodes[index]
    let download = node.download!
    let snapshot = Snapshot(
      slot: download.slot, words: download.words, schedule: download.schedule)
    guard snapshot.hash == download.hash || has(.mixSnapshots) else {
      node.download = nil
      return
    }
    node.download!.isBeingStored = true
    if has(.truncateEarly) { node.disk.begin(behind: snapshot.slot) }
    schedule(.snapshotStored(node: index, life: node.life, snapshot), after: diskDelay(of: index))
  }

  func snapshotStored(_ snapshot: Snapshot, on index: Int) {
    nodes[index].disk.replace(by: snapshot)
    schedule(
      .install(node: index, life: nodes[index].life, snapshot),
      after: random.uniform(0...5_000_000))
  }

  func install(_ snapshot: Snapshot, on index: Int) {
    let node = nodes[index]
    node.download = nil
    guard node.core!.canInstall(through: snapshot.slot) || has(.installOlder) else { return }
    statistics.installs += 1
    trace.note(at: now, "\(node.id) installs a snapshot of \(snapshot.slot)")
    restore(snapshot, on: index)
    node.disk.begin(behind: snapshot.slot)
    // Nobody here will see what became of these.
    for (slot, command) in node.proposals where slot <= snapshot.slot {
      answer(command.attempt!, .unknown)
    }
    node.proposals.removeAll { $0.slot <= snapshot.slot }
    let life = node.life
    node.core!.step(
      .installed(through: snapshot.slot, schedule: snapshot.schedule), into: &node.effects)
    noteState(of: index)
    perform(index)
    guard node.life == life else { return }
    if swarm.losesLeaderAtInstall > 0, random.chance(swarm.losesLeaderAtInstall) { loseLeader() }
  }

  /// Replaces a node's machine, and checks that the state is the one that the group agreed on.
  func restore(_ snapshot: Snapshot, on index: Int) {
    let node = nodes[index]
    guard snapshot.slot <= Slot(decided.count),
      let machine = Machine(
        keys: swarm.keys, clients: clients.count, words: snapshot.words),
      hashes[Int(snapshot.slot) - 1] == Snapshot.hash(machine.words),
      schedules[Int(snapshot.slot)] == snapshot.schedule
    else {
      fail(.agreement, "node \(node.id) restores another state than that of slot \(snapshot.slot)")
      return
    }
    node.machine = machine
    node.applied = snapshot.slot
  }
}
