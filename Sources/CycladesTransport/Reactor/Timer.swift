/// A point on the monotonic clock of this machine.
public struct Instant: Hashable, Comparable, Sendable {
  /// Nanoseconds since an arbitrary start, usually that of the machine.
  public var nanoseconds: UInt64

  /// Makes an instant.
  public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  /// Reads the clock. On a reactor's thread prefer `Reactor.now`, which costs nothing.
  public static func current() -> Instant { Instant(nanoseconds: monotonicNanoseconds()) }

  /// Earlier is less.
  public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

  /// A later (or earlier) instant.
  public static func + (instant: Instant, duration: Duration) -> Instant {
    Instant(nanoseconds: instant.nanoseconds &+ duration.nanosecondsClamped)
  }

  /// The time from `b` to `a`.
  public static func - (a: Instant, b: Instant) -> Duration {
    .nanoseconds(Int64(bitPattern: a.nanoseconds &- b.nanoseconds))
  }
}

/// Names a scheduled call; see `Reactor.schedule(after:_:)`. Stale ones are harmless.
public struct Timer: Hashable, Sendable {
  let id: UInt64
}

/// Told the result of a file operation.
public protocol FileCompletion: AnyObject {
  /// The operation with this token ended.
  ///
  /// `result` is the number of bytes written (0 for a sync), or a negative error number. After an
  /// error any part of a write may be in the file.
  func completed(_ token: UInt64, result: Int)

  /// The read with this token ended with these bytes. Does nothing by default.
  func completed(_ token: UInt64, bytes: Bytes)
}

extension FileCompletion {
  /// For who only writes.
  public func completed(_ token: UInt64, bytes: Bytes) {}
}

/// Told when a turn's events have all been delivered.
public protocol TurnObserver: AnyObject {
  /// Called once per turn, before queued sends and file operations are submitted.
  func turnEnding()
}
