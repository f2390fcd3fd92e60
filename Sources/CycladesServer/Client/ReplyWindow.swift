/// How many replies a connection may owe before its requests are left unread.
///
/// The size of a reply is unknown until it comes, so each owed reply is charged what recent ones
/// weighed: a pipeline of small commands runs as deep as `countMax`, one of megabyte values a few
/// deep. A new connection is charged a cautious 16 KiB, which its first small replies bring down.
/// The window reopens at half, so that reading does not stutter.
///
/// What was answered but not sent yet is the transport's to count: a connection above its send
/// watermark starts nothing, and `drained` says when to look again.
struct ReplyWindow {
  struct Limits {
    /// Commands in flight.
    var countMax = 1024
    /// Bytes of replies, expected and parked together.
    var bytesMax = 1 << 20
    /// Bytes in the send queue; the transport's high watermark, so that `drained` follows.
    var queuedMax = 1 << 20
  }

  /// What a connection owes and holds now.
  struct Load {
    var owed: Int
    var parkedBytes: Int
    var queuedBytes: Int
  }

  private let limits: Limits
  private var charge = 16 << 10

  init(_ limits: Limits) {
    self.limits = limits
  }

  /// Learns the size of a reply: growth counts at once, shrinkage by an eighth at a time.
  mutating func answered(_ byteCount: Int) {
    charge = max(byteCount, charge - charge / 8, 64)
  }

  /// Tells whether one more command may start. With nothing owed and queued one always may.
  func isOpen(_ load: Load) -> Bool { allows(load, limits.countMax, limits.bytesMax) }

  /// Tells whether a connection that stopped may go on.
  func mayReopen(_ load: Load) -> Bool { allows(load, limits.countMax / 2, limits.bytesMax / 2) }

  private func allows(_ load: Load, _ count: Int, _ bytes: Int) -> Bool {
    guard load.queuedBytes < limits.queuedMax else { return false }
    return load.owed == 0
      || (load.owed < count && load.owed * charge + load.parkedBytes < bytes)
  }
}
