import CycladesReplication
import CycladesStore
import CycladesTransport

extension Client {
  /// Starts a pop that waits when there is nothing to pop; false when it must wait to be started.
  func pop(_ command: Command, _ arguments: borrowing Arguments) -> Bool {
    let group: UInt32
    if port == .cluster {
      guard let found = clusterGroup(command, arguments) else { return true }
      group = found
    } else if case .shard(let shard) = node.shards.route(command, arguments, session.version) {
      group = UInt32(shard)
    } else {
      answer { Refusals.crossShard(&$0) }
      return true
    }
    guard order.passage(for: group, isReadOnly: false) != .hold else {
      pauseReading(.reads(group: group))
      return false
    }
    var packed: [UInt8] = []
    PackedCommand.append(command, arguments, session.version, to: &packed)
    let duty = ReplyQueue.Duty(group: group, isWrite: true, byteCount: packed.count)
    var keys: [[UInt8]] = []
    for position in command.keyPositions(of: arguments) {
      keys.append([UInt8](copying: arguments[position]))
    }
    // BLMOVE waits for its source alone.
    if command.name == "blmove" || command.name == "brpoplpush" { keys = Array(keys.prefix(1)) }
    let pop = BlockedPop(
      connection: connection, sequence: replies.expect(duty), duty: duty, command: command,
      keys: keys, packed: packed, isFromLeft: command.isFromLeft(arguments),
      version: session.version)
    let timeout = command.timeout(arguments)
    let mustQueue = timeout != nil && keys.contains { node.blocked.hasWaiters(group, $0) }
    // Watched before the first try: what is pushed between its outcome and now is not missed.
    node.enqueue(pop)
    wait(for: .pop(pop))
    if let timeout, timeout > 0 {
      pop.timer = node.reactor.schedule(after: .nanoseconds(Int64(timeout * 1e9))) { [weak self] in
        self?.unblock(pop, .timeout)
      }
    }
    // Whoever came first pops first: behind others there is nothing to pop yet.
    if !mustQueue { node.attempt(pop) }
    return true
  }

  /// Takes in the outcome of a try.
  func tried(_ pop: BlockedPop, _ outcome: Outcome, _ reply: RawSpan) {
    pop.isTrying = false
    let isInVain = outcome == .done && RESPReader.isNull(reply)
    if outcome == .notDone(.noLeader) || outcome == .notDone(.overloaded) {
      // Nothing was popped, and the wait need not end for want of a leader.
      if let ending = pop.ending { return conclude(pop, ending) }
      _ = node.reactor.schedule(after: .milliseconds(100)) { [weak node] in
        node?.retry(pop)
      }
      return
    }
    if isInVain {
      if let ending = pop.ending { return conclude(pop, ending) }
      if pop.isStale { node.attempt(pop) }
      return
    }
    node.dequeue(pop)
    awaited = nil
    if outcome == .done {
      fulfil(pop.sequence, reply)
    } else {
      node.statistics.note(outcome)
      let refusal = node.compose { Refusals.append(outcome, to: &$0) }
      fulfil(pop.sequence, refusal.rawSpan)
    }
    // There may be more than this one took.
    for key in pop.keys { node.tryNext(pop.duty.group, key) }
  }

  /// Ends a wait without an element, unless the try under way finds one.
  func unblock(_ pop: BlockedPop, _ ending: BlockedPop.Ending) {
    guard case .pop(let current) = awaited, current === pop else { return }
    if pop.isTrying {
      pop.ending = ending
    } else {
      conclude(pop, ending)
      resumeIfPossible()
      closeIfDone()
    }
  }

  private func conclude(_ pop: BlockedPop, _ ending: BlockedPop.Ending) {
    node.dequeue(pop)
    awaited = nil
    let answer = node.compose { reply in
      switch ending {
      case .timeout: reply.appendNullArray(pop.version)
      case .error:
        reply.appendError("UNBLOCKED the wait was ended from outside; nothing was popped")
      }
    }
    fulfil(pop.sequence, answer.rawSpan)
    // It may have stood before others while elements came.
    if pop.isStale { for key in pop.keys { node.tryNext(pop.duty.group, key) } }
  }

  /// The connection is gone: what waits is taken off, what is under way will be put back.
  func stopWaiting() {
    guard case .pop(let pop) = awaited else { return }
    awaited = nil
    node.dequeue(pop)
    if pop.isTrying {
      node.blocked.leave(pop)
    } else {
      for key in pop.keys { node.tryNext(pop.duty.group, key) }
    }
  }
}

extension StoreNode {
  /// Tries a pop again after a refusal, if it still waits.
  func retry(_ pop: BlockedPop) {
    guard let client = clients[pop.connection], case .pop(let current) = client.awaited,
      current === pop
    else { return }
    attempt(pop)
  }
}

extension Command {
  /// How long a blocking command waits, in seconds, 0 for ever; `nil` when the argument is none, which
  /// a shard then says.
  fileprivate func timeout(_ arguments: borrowing Arguments) -> Double? {
    let isFirst = name == "blmpop" || name == "bzmpop"
    let text = arguments.string(isFirst ? 1 : arguments.count - 1)
    guard let seconds = Double(text), seconds >= 0, seconds < 1e9 else { return nil }
    return seconds
  }

  /// From which side of a list the command pops.
  fileprivate func isFromLeft(_ arguments: borrowing Arguments) -> Bool {
    switch name {
    case "brpop": return false
    case "blmpop":
      for index in 2..<arguments.count where arguments.equals(index, "RIGHT") { return false }
      return true
    default: return true
    }
  }
}

extension RESPReader {
  /// Whether a reply is a null of either protocol version.
  static func isNull(_ reply: RawSpan) -> Bool {
    guard reply.byteCount >= 2 else { return false }
    let (mark, next) = (reply.byte(at: 0), reply.byte(at: 1))
    return mark == UInt8(ascii: "_")
      || ((mark == UInt8(ascii: "$") || mark == UInt8(ascii: "*")) && next == UInt8(ascii: "-"))
  }
}
