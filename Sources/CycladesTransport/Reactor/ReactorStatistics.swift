/// What a reactor did since it was made, and what is alive now.
public struct ReactorStatistics: Sendable, Hashable {
  /// Turns of the loop.
  public var turns: UInt64 = 0
  /// System calls into the ring, or with epoll for everything it does but connecting and files.
  public var enters: UInt64 = 0
  /// Events handed to endpoints, timers and completions.
  public var events: UInt64 = 0
  /// Completed receives.
  public var receives: UInt64 = 0
  /// Bytes received.
  public var receivedBytes: UInt64 = 0
  /// Whole frames received.
  public var frames: UInt64 = 0
  /// Completed sends.
  public var sends: UInt64 = 0
  /// Bytes sent.
  public var sentBytes: UInt64 = 0
  /// Sends that the kernel took only in part.
  public var shortSends: UInt64 = 0
  /// Received bytes that had to be gathered to be contiguous.
  public var copiedInBytes: UInt64 = 0
  /// Sent bytes that were copied into tail blocks.
  public var copiedOutBytes: UInt64 = 0
  /// Receives that found no free block and waited for one.
  public var starved: UInt64 = 0
  /// Accepted connections.
  public var accepted: UInt64 = 0
  /// Connections closed at once because `connectionsMax` was reached.
  public var refusedAccepts: UInt64 = 0
  /// Outgoing connections started.
  public var connects: UInt64 = 0
  /// Connections ended.
  public var closes: UInt64 = 0
  /// Connections closed for passing `sendCap` or `inputLimit`.
  public var overflowed: UInt64 = 0
  /// File writes submitted, continued ones counted again.
  public var fileWrites: UInt64 = 0
  /// Bytes written to files.
  public var fileBytes: UInt64 = 0
  /// File syncs submitted.
  public var fileSyncs: UInt64 = 0
  /// Times another thread woke the parked reactor.
  public var wakes: UInt64 = 0
  /// Connections alive.
  public var connections = 0
  /// Listeners alive.
  public var listeners = 0
  /// Timers pending.
  public var timers = 0
  /// Operations the kernel has not completed.
  public var operations = 0
  /// Blocks of the pool in use, those lent to the kernel included.
  public var blocks = 0
}
