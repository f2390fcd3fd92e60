/// Limits of time for an open connection; one that passes a limit is closed as `timedOut`.
///
/// A connection is looked at when a limit could be up at the earliest, so limits cost nothing per
/// message, and hold within the turn in which they are passed. The limits for connecting and for
/// flushing are given with `connect` and in `ReactorConfiguration`.
public struct Deadlines: Sendable, Hashable {
  /// Without a byte in either direction.
  public var idle: Duration?
  /// From being accepted, or from the first byte of a message, until the endpoint consumed it or
  /// said how many bytes it needs: the defence against requests that dribble in. A framed
  /// connection must bring its first frame within it. While reading is paused nothing is measured.
  public var header: Duration?
  /// With bytes queued of which the peer's machine takes none.
  public var writeStall: Duration?

  /// Makes limits; `nil` is none.
  public init(idle: Duration? = nil, header: Duration? = nil, writeStall: Duration? = nil) {
    self.idle = idle
    self.header = header
    self.writeStall = writeStall
  }
}
