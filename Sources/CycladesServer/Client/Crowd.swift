import CycladesTransport

/// Keeps the clients of a node together from using up its buffers.
///
/// Each client's `ReplyWindow` allows it a megabyte or two; ten thousand that do not read would take
/// everything. So when the buffers in use, and those that the replies under way will take, pass a
/// quarter of what there is, whoever has a reply coming, or has not taken those that were sent to it,
/// starts nothing more. Who asks for one thing at a time and reads it is never held back.
///
/// How large the replies under way are is not known before they come: each is expected to weigh what
/// the average of recent ones did, and before there were any, 256 KiB. Without that, everybody who
/// starts in the same turn would find the buffers empty.
final class Crowd {
  /// What the heavier of recent replies weighed, in bytes: a guess for connections that have had none.
  private(set) var usualReply = 0

  private let reactor: Reactor
  private var averageReply = 256 << 10
  /// Commands that groups have not answered yet, over all clients.
  private var owed = 0
  private var pool = (takenBytes: 0, limitBytes: Int.max)
  /// Who was held back, until it may go on: nothing else would tell when its queue is empty, since
  /// that never rose to the watermark whose fall is reported.
  private var waiting: [ConnectionID: Client] = [:]
  private var isTimed = false

  /// When to look at those who wait again: soon, unless there were so many that looking is work.
  private var interval = Duration.milliseconds(2)

  init(_ reactor: Reactor) { self.reactor = reactor }

  /// Looks at the buffers; once a turn.
  func count() {
    let statistics = reactor.pool.statistics
    pool = (statistics.takenBytes, statistics.budgetBytes / 4)
  }

  /// Notes commands that groups were asked to carry out.
  func began(_ count: Int = 1) { owed += count }

  /// Notes commands that were answered, or whose client is gone.
  func ended(_ count: Int = 1) {
    owed -= count
    precondition(owed >= 0, "a command ends once")
  }

  /// Notes the size of a reply: growth counts at once, shrinkage slowly.
  func answered(_ byteCount: Int) {
    usualReply = max(byteCount, usualReply - usualReply / 1024)
    averageReply += (byteCount - averageReply) / 64
  }

  private var isCrowded: Bool {
    pool.takenBytes + owed * max(averageReply, 64) > pool.limitBytes
  }

  /// Whether a client must wait until it has taken what it was sent; it is told when.
  func holds(back client: Client) -> Bool {
    guard isCrowded, client.owed > 0 || reactor.queuedBytes(client.connection) > 0 else {
      return false
    }
    waiting[client.connection] = client
    if !isTimed {
      isTimed = true
      _ = reactor.schedule(after: interval) { [weak self] in self?.release() }
    }
    return true
  }

  private func release() {
    isTimed = false
    let clients = waiting
    waiting = [:]
    interval = .milliseconds(min(20, 2 + clients.count / 500))
    // Those that still may not go on come back to the list.
    for client in clients.values { client.resumeIfPossible() }
  }
}
