/// How many replies a connection may owe before its requests are left unread.
///
/// The size of a reply is unknown until it comes, so each owed reply is charged what recent ones
/// weighed: a pipeline of small commands runs as deep as `countMax`, one of megabyte values a few
/// deep. A connection without replies yet is charged a cautious 16 KiB, or what the replies to others
/// weigh when that is more; its first small replies bring that down.
/// The window reopens at half, so that reading does not stutter.
///
/// Large requests are bounded by their own size: however small their replies, what waits for the
/// shards is memory too.
///
/// Many slow clients together may still be too much: that is for `Crowd` to see.
///
/// What was answered but not sent yet is the transport's to count: a connection above its send
/// watermark starts nothing, and `drained` says when to look again.
struct ReplyWindow {
  struct Limits {
    /// Commands in flight.
    var countMax = 1024
    /// Bytes of replies, expected and parked together.
    var bytesMax = 1 << 20
    /// Bytes of commands in flight.
    var requestBytesMax = 4 << 20
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
  private var hasAnswered = false
  private var requestBytes = 0

  init(_ limits: Limits) {
    self.limits = limits
  }

  /// Notes what was sent to a group.
  mutating func began(_ duty: ReplyQueue.Duty) { requestBytes += duty.byteCount }

  /// Notes that a group answered.
  mutating func ended(_ duty: ReplyQueue.Duty) { requestBytes -= duty.byteCount }

  /// Learns the size of a reply: growth counts at once, shrinkage by an eighth at a time.
  mutating func answered(_ byteCount: Int) {
    charge = max(byteCount, charge - charge / 8, 64)
    hasAnswered = true
  }

  /// Tells whether one more command may start. With nothing owed and queued one always may.
  ///
  /// - Parameter usual: what replies to other connections weigh, in bytes.
  func isOpen(_ load: Load, usual: Int = 0) -> Bool { allows(load, share: 1, usual) }

  /// Tells whether a connection that stopped may go on.
  func mayReopen(_ load: Load, usual: Int = 0) -> Bool { allows(load, share: 2, usual) }

  /// Whether the load is below a half, a third, ... of the limits.
  private func allows(_ load: Load, share: Int, _ usual: Int) -> Bool {
    let charge = hasAnswered ? charge : max(charge, usual)
    guard load.queuedBytes < limits.queuedMax else { return false }
    guard load.owed > 0 else { return true }
    return load.owed < limits.countMax / share && requestBytes < limits.requestBytesMax / share
      && load.owed * charge + load.parkedBytes < limits.bytesMax / share
  }
}
