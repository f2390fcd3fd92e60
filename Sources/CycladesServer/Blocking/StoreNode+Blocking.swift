import CycladesReplication
import CycladesStore
import CycladesTransport

extension StoreNode {
  /// How often pops are tried whose shard this node has no copy of, and so cannot watch.
  private static let pollInterval = Duration.milliseconds(50)

  /// Puts a pop into the queues of its keys.
  func enqueue(_ pop: BlockedPop) {
    blocked.add(pop)
    watchShard(of: pop.duty.group, pop.keys)
    guard host.shard(pop.duty.group) == nil else { return }
    poll(pop)
  }

  /// Takes a pop out of the queues.
  func dequeue(_ pop: BlockedPop) {
    if let timer = pop.timer { reactor.cancel(timer) }
    pop.timer = nil
    blocked.remove(pop)
  }

  private func poll(_ pop: BlockedPop) {
    _ = reactor.schedule(after: Self.pollInterval) { [weak self, weak pop] in
      guard let self, let pop, let client = clients[pop.connection],
        case .pop(let current) = client.awaited, current === pop
      else { return }
      attempt(pop)
      poll(pop)
    }
  }

  private func watchShard(of group: UInt32, _ keys: [[UInt8]]) {
    guard let shard = host.shard(group) else { return }
    let copy = ObjectIdentifier(shard)
    let isNew = blocked.copies.updateValue(copy, forKey: group) != copy
    for key in isNew ? blocked.keys(of: group) : keys { shard.await(key) }
  }

  /// Has `retryPops` called within a moment, should nothing else happen.
  func retryPopsSoon() {
    guard !blocked.isRetryDue else { return }
    blocked.isRetryDue = true
    _ = reactor.schedule(after: .zero) { [weak self] in self?.blocked.isRetryDue = false }
  }

  /// Tries the pops whose keys were written to, for each key the one that waits longest; at the end of
  /// a turn.
  func retryPops() {
    for (group, key) in blocked.takeForgotten() { host.shard(group)?.forget(key) }
    guard !blocked.isEmpty else { return }
    for group in blocked.groups.keys.sorted() {
      guard let shard = host.shard(group) else { continue }
      if blocked.copies[group] != ObjectIdentifier(shard) {
        // A snapshot took the copy's place; what was written meanwhile is not known.
        watchShard(of: group, [])
        for key in blocked.keys(of: group) { tryNext(group, key) }
      }
      for key in shard.takeReady() { tryNext(group, key) }
    }
  }

  /// Tries the pop that waits longest for a key, unless a try for the key is under way.
  func tryNext(_ group: UInt32, _ key: [UInt8]) {
    guard let next = blocked.queue(group, key).first else { return }
    if next.isTrying { next.isStale = true } else { attempt(next) }
  }

  /// Submits a pop.
  func attempt(_ pop: BlockedPop) {
    guard !pop.isTrying, let client = clients[pop.connection] else { return }
    pop.isTrying = true
    pop.isStale = false
    client.began(pop.duty)
    let packed = pop.packed
    host.write(pop.duty.group, pop.context, packed.rawSpan)
  }

  /// Takes in the outcome of a pop whose client has left: what was popped goes back.
  func putBack(_ context: RequestContext, _ outcome: Outcome, _ reply: RawSpan) {
    guard let pop = blocked.takeOrphan(context), outcome == .done, let words = pop.undo(reply)
    else { return }
    statistics.popsPutBack += 1
    var request = Reply()
    request.appendArray(words.count)
    for word in words { request.appendBulk(word) }
    let packed = pack(request.bytes.rawSpan)
    host.write(pop.duty.group, RequestContext(a: 0, b: 0), packed.rawSpan)
  }

  private func pack(_ request: RawSpan) -> [UInt8] {
    guard case .request = queuedParser.parse(request) else {
      preconditionFailure("a request that was just put together")
    }
    let arguments = queuedParser.arguments(of: request)
    var packed: [UInt8] = []
    PackedCommand.append(Command.named(arguments[0])!, arguments, .v2, to: &packed)
    return packed
  }
}
