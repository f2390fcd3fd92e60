import CycladesPaxos

// States that go wrong in memory, and the shell's part in finding and mending that: it tells the core
// a digest behind every slot, and begins a replica anew that is outvoted.

extension Cluster {
  private static let outvotedPatience: UInt64 = 1_000_000_000

  /// Lets a state go wrong, unless the others could not tell any more which one is right.
  func diverge(_ index: Int) {
    guard nodes[index].isUp, nodes.allSatisfy({ !$0.isMuted && !$0.isWrong }) else { return }
    damageState(of: index)
  }

  /// Changes a node's state behind the back of the protocol.
  package func damageState(of index: Int) {
    let node = nodes[index]
    node.machine.goWrong()
    node.isWrong = true
    statistics.diverged += 1
    trace.note(at: now, "the state of \(node.id) goes wrong")
  }

  /// How many replicas were begun anew.
  package var begunAnew: Int { statistics.begunAnew }

  func noteState(of index: Int) {
    let node = nodes[index]
    guard node.applied > 0 else { return }
    var effects: [Effect] = []
    node.core!.noteState(
      Snapshot.hash(node.machine.words), behind: node.applied, into: &effects)
    node.effects += effects
  }

  func stateDiffers(behind slot: Slot, isOutvoted: Bool, on index: Int) {
    let node = nodes[index]
    let how = isOutvoted ? "is outvoted over its state" : "finds no quorum for a state"
    trace.note(at: now, "\(node.id) \(how) behind \(slot)")
    guard swarm.divergeWeight > 0 || statistics.diverged > 0 else {
      fail(.agreement, "node \(node.id) \(how) behind slot \(slot)")
      return
    }
    if isOutvoted { node.outvotedAt = now }
  }

  /// What the log of an outvoted replica holds is right, and kept until it is decided.
  func mustBeginAnew(_ index: Int) -> Bool {
    let node = nodes[index]
    guard let outvotedAt = node.outvotedAt, let core = node.core else { return false }
    return core.commit == core.last || now - outvotedAt > Cluster.outvotedPatience
  }

  /// Gives up a replica's state and log, but not its promises.
  func beginAnew(_ index: Int) {
    let node = nodes[index]
    trace.note(at: now, "\(node.id) begins anew")
    statistics.begunAnew += 1
    node.forgotten = max(node.forgotten, node.core!.last)
    let promised = node.core!.ballot
    crash(index)
    node.disk.giveUp(promising: promised)
    start(index)
  }

  /// Takes the word of a later leader for what this node's votes can have decided.
  func unmute(_ index: Int, _ message: Message) {
    let node = nodes[index]
    guard node.isMuted, case .audit(let ballot, let slot, _, _) = message,
      ballot > node.promisedAtStart
    else { return }
    node.forgotten = min(node.forgotten, slot)
  }
}

extension Message {
  /// Whether it asks for what a node that gave up its log must not give.
  var asksForVote: Bool {
    switch self {
    case .canvass, .prepare, .stand: true
    default: false
    }
  }
}
