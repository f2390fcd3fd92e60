import CycladesTransport

/// Keeps the clients of a node together from using up its buffers.
///
/// Each client's `ReplyWindow` allows it a megabyte or two; ten thousand that do not read would take
/// everything. So when the buffers in use pass a quarter of what there is, whoever has not taken the
/// replies that were sent to it starts nothing more. Who reads what it asks for has nothing waiting,
/// and is not affected.
final class Crowd {
  /// What the heavier of recent replies weighed, in bytes: a guess for connections that have had none.
  private(set) var usualReply = 0

  private let reactor: Reactor
  private var isCrowded = false
  /// Who was held back, until it may go on: nothing else would tell when its queue is empty, since
  /// that never rose to the watermark whose fall is reported.
  private var waiting: [ConnectionID: Client] = [:]
  private var isTimed = false

  private static let interval = Duration.milliseconds(20)

  init(_ reactor: Reactor) { self.reactor = reactor }

  /// Looks at the buffers; once a turn.
  func count() {
    let pool = reactor.pool.statistics
    isCrowded = pool.takenBytes > pool.budgetBytes / 4
  }

  /// Notes the size of a reply: growth counts at once, shrinkage slowly.
  func answered(_ byteCount: Int) {
    usualReply = max(byteCount, usualReply - usualReply / 1024)
  }

  /// Whether a client must wait until it has taken what it was sent; it is told when.
  func holds(back client: Client) -> Bool {
    guard isCrowded, reactor.queuedBytes(client.connection) > 0 else { return false }
    waiting[client.connection] = client
    if !isTimed {
      isTimed = true
      _ = reactor.schedule(after: Self.interval) { [weak self] in self?.release() }
    }
    return true
  }

  private func release() {
    isTimed = false
    let clients = waiting
    waiting = [:]
    // Those that still may not go on come back to the list.
    for client in clients.values { client.resumeIfPossible() }
  }
}
