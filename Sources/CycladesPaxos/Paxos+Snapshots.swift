// Snapshots: what the core has to know of them.
//
// The bytes, their transfer and the log on disk are the shell's. The core is told where the log begins
// (`compacted`), asks the shell to help a peer that needs older slots (`provideSnapshot`), and goes on
// behind a state that did not come slot by slot (`installed`).

extension Paxos {
  /// Whether a snapshot of the state after this slot would bring anything here.
  ///
  /// Ask right before the machine is replaced: a leader has proposed behind the slots that it applied,
  /// and must apply the rest itself; and a state behind the applied one would apply slots twice.
  public func canInstall(through slot: Slot) -> Bool { role != .leader && slot > commit }

  mutating func compacted(through slot: Slot) {
    precondition(slot <= min(commit, durable), "the log lost entries that somebody may need")
    compacted = max(compacted, slot)
  }

  /// Goes on behind a snapshot, as if its slots had been decided here one by one.
  mutating func installed(through slot: Slot, _ schedule: MembershipSchedule?) {
    guard canInstall(through: slot) else { return }
    commit = slot
    audit.asked = nil
    audit.verdict = nil
    if let schedule, schedule != self.schedule {
      self.schedule = schedule
      // What was asked of other members is void.
      if role == .candidate { becomeFollower() }
      election.canvass = 0
      rebuildPeers()
    }
    advanceSchedule()
    compacted = max(compacted, slot)
    // What was accepted behind it was perhaps acknowledged, and stays.
    if mutation.contains(.installForgetsAccepted) {
      window = Window(floor: slot, capacity: 2 * configuration.window)
      through = slot
      durable = slot
    }
    window.skip(through: slot)
    durable = max(durable, slot)
    advanceDurable()
    through = max(through, slot)
    advanceThrough()
    if fetching.through > commit, let source = fetching.source {
      ask(source, from: commit + 1)
    }
    decideByLeader()
    acknowledge()
  }

  /// Answers a peer that asks for slots of which the log here has nothing left.
  mutating func offerSnapshot(to node: NodeID, _ index: Int?) {
    // Those who are no members share one allowance.
    guard now >= index.map({ peers[$0].snapshotAt }) ?? strangerSnapshotAt else { return }
    let next = now + configuration.timing.heartbeat
    if let index { peers[index].snapshotAt = next } else { strangerSnapshotAt = next }
    outbox.append(.provideSnapshot(to: node))
  }
}
