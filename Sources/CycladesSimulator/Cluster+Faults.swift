import CycladesPaxos

extension Cluster {
  private var averageOutage: UInt64 { random.uniform(swarm.outage / 4...2 * swarm.outage) }

  /// Runs a fault, unless it is one that is left out.
  ///
  /// What comes with a fault depends on its number alone, and when the next one comes as well, so that
  /// leaving one out changes none of the others.
  func draw(_ fault: () -> Void, again occurrence: Occurrence, interval: UInt64) {
    guard !isHealed else { return }
    statistics.faults += 1
    var own = SplitMix(seed: seed ^ UInt64(statistics.faults) &* 0x9E37_79B9_7F4A_7C15)
    swap(&own, &random)
    defer { swap(&own, &random) }
    schedule(occurrence, after: random.uniform(1_000_000...2 * interval))
    if !options.skippedFaults.contains(statistics.faults) { fault() }
  }

  /// Something goes wrong, or something that went wrong is repaired.
  func causeFault() {
    let total =
      swarm.crashWeight + swarm.pauseWeight + swarm.partitionWeight + swarm.stallWeight
      + swarm.clogWeight + swarm.wipeWeight + swarm.isolationWeight + swarm.divergeWeight
    guard total > 0 else { return }
    var draw = random.next() % total
    func falls(_ weight: UInt64) -> Bool {
      if draw < weight { return true }
      draw -= weight
      return false
    }
    let index = victim
    if falls(swarm.crashWeight) {
      crashSoon(index)
    } else if falls(swarm.pauseWeight) {
      pause(index, for: averageOutage)
    } else if falls(swarm.partitionWeight) {
      if random.chance(400) { healLinks(Array(nodes.indices)) } else { cutLinks(around: index) }
    } else if falls(swarm.isolationWeight) {
      healLinks(Array(nodes.indices))
      if let leader { isolate(leader, isHeard: false) }
    } else if falls(swarm.wipeWeight) {
      wipe(index)
    } else if falls(swarm.divergeWeight) {
      diverge(index)
    } else if falls(swarm.clogWeight) {
      let end = now + 2 * averageOutage
      let isInbound = random.chance(500)
      network.clog(index, until: end, isInbound: isInbound)
      trace.note(at: now, "links \(isInbound ? "to" : "from") \(nodes[index].id) clog")
    } else {
      nodes[index].disk.stalledUntil = now + 2 * averageOutage
      trace.note(at: now, "\(nodes[index].id) disk stalls")
    }
  }

  /// Whom a fault hits: half of the time the leader, where it hurts most.
  private var victim: Int {
    if random.chance(500), let leader = nodes.firstIndex(where: { $0.core?.role == .leader }) {
      return leader
    }
    return random.index(below: nodes.count)
  }

  private func crashSoon(_ index: Int) {
    // One time in eight it is a power cut for all.
    let victims = random.chance(125) ? Array(nodes.indices) : [index]
    for victim in victims where nodes[victim].isUp {
      if random.chance(500) {
        crash(victim)
      } else {
        nodes[victim].crashCountdown = random.index(below: 12)
      }
      if random.chance(swarm.rot) { rot(victim) }
      schedule(.restart(node: victim), after: averageOutage)
    }
  }

  /// Cuts a node off from all others, or lets it be heard and hear nothing.
  func isolate(_ index: Int, isHeard: Bool) {
    for other in nodes.indices where other != index {
      network.setCut(true, from: other, to: index)
      if !isHeard { network.setCut(true, from: index, to: other) }
    }
    trace.note(at: now, "\(nodes[index].id) \(isHeard ? "hears nobody" : "is alone")")
  }

  /// Cuts those whom a membership leaves out off from the leader and from those whom it names.
  func split(leaving membership: Membership) {
    guard let leader else { return }
    func stays(_ index: Int) -> Bool {
      index == leader
        || membership.members.contains { $0.id == nodes[index].id && $0.kind.votes }
    }
    for from in nodes.indices {
      for to in nodes.indices where from != to {
        network.setCut(stays(from) != stays(to), from: from, to: to)
      }
    }
    trace.note(at: now, "\(membership) and \(nodes[leader].id) are cut off from the others")
  }

  /// Takes the leader away, when there is one.
  func loseLeader() {
    guard !isHealed, let leader else { return }
    if random.chance(500) {
      isolate(leader, isHeard: false)
    } else {
      crash(leader)
      schedule(.restart(node: leader), after: swarm.outage)
    }
  }

  func cutLinks(around center: Int) {
    network.partition(around: center, random: &random)
    guard trace.isRecording else { return }
    var open = ""
    for from in nodes.indices {
      for to in nodes.indices where from != to && network.isOpen(from: from, to: to) {
        open += " \(nodes[from].id)>\(nodes[to].id)"
      }
    }
    trace.note(at: now, "links left:\(open)")
  }

  /// Opens all links between these nodes.
  package func healLinks(_ indices: [Int]) {
    network.heal(indices)
    trace.note(at: now, "links heal")
    for a in indices { for b in indices where a < b { reconnect(a, b) } }
  }

  /// Cuts the links between two nodes, one way.
  package func cutLink(from: Int, to: Int) {
    network.setCut(true, from: from, to: to)
  }

  /// Ends all faults for a quorum, and freezes the others as they are.
  ///
  /// Returns the quorum, which from now on must agree and go on.
  func healQuorum() -> [Int] {
    isHealed = true
    var core = Array(nodes.indices)
    core.shuffle(using: &random)
    // Who may count on what the others hold is another question where disks and members come and go.
    if swarm.rot == 0, swarm.operatorInterval == 0, swarm.divergeWeight == 0 {
      core = Array(core.prefix(nodes.count / 2 + 1)).sorted()
    }
    trace.note(at: now, "faults end for \(core.map { nodes[$0].id.description })")
    network.unclog()
    network.loss = 0
    network.duplication = 0
    network.delaySpread = min(network.delaySpread, 10_000_000)
    // The others stay as they are, half connected perhaps, or are gone.
    let areGone = random.chance(500)
    for index in nodes.indices {
      let node = nodes[index]
      node.crashCountdown = nil
      if core.contains(index) {
        endPause(index)
        node.disk.stalledUntil = 0
        if node.disk.isSyncing { scheduleSync(index) }
        if !node.isUp { start(index) }
      } else if areGone {
        crash(index)
      }
    }
    healLinks(core)
    return core.sorted()
  }
}
