import CycladesPaxos

// What must be true, checked where it could first become false. The checks see all nodes at once.

extension Cluster {
  func fail(_ kind: SimulationFailure.Kind, _ message: String) {
    guard failure == nil else { return }
    failure = SimulationFailure(kind: kind, message: message, time: now)
    trace.note(at: now, "FAILED, \(kind.rawValue): \(message)")
  }

  /// Applies an entry to a node's machine, and checks that it is the one.
  ///
  /// Returns what the command found; nil when it came too late to be done.
  func execute(_ entry: Entry, on index: Int) -> Int? {
    let node = nodes[index]
    guard entry.slot == node.applied + 1 else {
      fail(.order, "node \(node.id) applies slot \(entry.slot) after \(node.applied)")
      return 0
    }
    node.applied = entry.slot
    let command = entry.payload as! Command
    if entry.slot <= Slot(decided.count) {
      if decided[Int(entry.slot) - 1] !== command {
        fail(.agreement, "node \(node.id) applies another value in slot \(entry.slot)")
      }
    } else {
      decided.append(command)
      _ = model.apply(command)
      hashes.append(Snapshot.hash(model.words))
      noteMembership(command, in: entry.slot)
      schedules.append(schedule)
      statistics.decided += 1
      if let attempt = command.attempt, refused.contains(attempt.number) {
        fail(.honesty, "slot \(entry.slot) holds an operation that was called not done")
      }
    }
    let found = node.machine.apply(command)
    if has(.applyDifferently), index == 1, entry.slot % 16 == 0 { node.machine.goWrong() }
    noteState(of: index)
    return found
  }

  func apply(_ entry: Entry, on index: Int) {
    if entry.slot > Slot(decided.count) {
      let holders = holders(of: entry)
      guard holders >= governors(of: entry.slot).quorum else {
        fail(
          .durability,
          "node \(nodes[index].id) applies slot \(entry.slot), which \(holders) disks hold")
        return
      }
    }
    let found = execute(entry, on: index)
    trace.mix(entry.slot)
    trace.note(
      at: now,
      "\(nodes[index].id) applies \(entry.slot)@\(entry.ballot)\(entry.payload.isNoop ? " no-op" : "")"
    )
    settle(entry, found: found, on: index)
    takeSnapshotIfDue(on: index)
  }

  func checkOffice(_ ballot: Ballot, of index: Int) {
    let id = nodes[index].id
    statistics.leaders += 1
    guard leaders.updateValue(id, forKey: ballot) == nil, ballot.node == id else {
      fail(.leadership, "ballot \(ballot) has a second leader, \(id)")
      return
    }
  }

  /// What is said in a ballot is decided upon while that ballot is the highest promised, though it may
  /// leave later.
  func checkPromise(of message: Message, from index: Int) {
    switch message {
    case .prepare(let ballot, _, _), .promise(let ballot, _, _, _, _), .accepted(let ballot, _),
      .heartbeat(let ballot, _, _, _), .heartbeatReply(let ballot, _, _):
      let vow = nodes[index].disk.vow
      guard ballot < vow else { return }
      fail(.promise, "node \(nodes[index].id) says \(describe(message)) and promised \(vow)")
    default: break
    }
  }

  /// What must be on the sender's disk before it says this.
  func checkDurability(of message: Message, from index: Int) {
    let disk = nodes[index].disk
    func require(_ ballot: Ballot) {
      guard disk.promised < ballot else { return }
      fail(
        .durability,
        "node \(nodes[index].id) says \(describe(message)) with \(disk.promised) on disk")
    }
    func require(_ through: Slot) {
      guard disk.last < through else { return }
      fail(
        .durability,
        "node \(nodes[index].id) says \(describe(message)) with \(disk.last) slots on disk"
      )
    }
    switch message {
    case .prepare(let ballot, _, _): require(ballot)
    case .promise(let ballot, _, _, let entries, _):
      require(ballot)
      if let last = entries.last { require(last.slot) }
    case .accepted(let ballot, let through), .heartbeatReply(let ballot, let through, _):
      require(ballot)
      require(through)
    case .accept(let entry): require(entry.ballot)
    case .heartbeat(let ballot, _, _, _): require(ballot)
    case .learn(let entries):
      for entry in entries where decided[Int(entry.slot) - 1] !== entry.payload {
        fail(.agreement, "node \(nodes[index].id) teaches another value for slot \(entry.slot)")
      }
    case .canvass, .canvassReply, .reject, .fetch, .stand, .readIndex, .readIndexReply, .audit,
      .auditReply:
      break
    }
  }

  /// Whether these nodes are up and have applied the same.
  package func haveConverged(_ indices: [Int]) -> Bool {
    guard let first = indices.first else { return true }
    return indices.allSatisfy {
      nodes[$0].isUp && nodes[$0].applied == nodes[first].applied
        && nodes[$0].applied == Slot(decided.count)
        && (swarm.divergeWeight == 0 || nodes[$0].machine == nodes[first].machine)
    }
  }

  /// What can be judged only at the end.
  package func checkEnd() {
    for a in nodes where a.isUp {
      for b in nodes where b.isUp && b.applied == a.applied && b.machine != a.machine {
        fail(.agreement, "nodes \(a.id) and \(b.id) applied the same and differ")
      }
    }
    if swarm.divergeWeight > 0 { return }
    if let (key, verdict) = history.check(keys: swarm.keys) {
      if verdict == .violation {
        fail(.linearizability, "no order of the operations explains the answers for key \(key)")
      } else {
        statistics.undecided += 1
      }
    }
  }
}
