internal import CCycladesReactor

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
  /// Accepted connections.
  public var accepted: UInt64 = 0
  /// Connections closed at once because `connectionsMax` was reached.
  public var refusedAccepts: UInt64 = 0
  /// Outgoing connections started.
  public var connects: UInt64 = 0
  /// Connections ended.
  public var closes: UInt64 = 0

  // Reasons to wait.

  /// Receives that found no free block and waited for one.
  public var starved: UInt64 = 0
  /// Receives stopped for a while because others starved and this one had taken most blocks.
  public var capped: UInt64 = 0
  /// Send queues that passed `sendHighWatermark`.
  public var heldBack: UInt64 = 0
  /// Turns in which the kernel's queue could not take everything.
  public var queueFull: UInt64 = 0
  /// Times a listener rested for want of descriptors or memory.
  public var acceptRests: UInt64 = 0
  /// Ends of connections that the kernel told of only when it was asked.
  public var missedEnds: UInt64 = 0

  // Reasons to close that are not the application's.

  /// Connections closed for passing `sendCap`.
  public var sendOverflows: UInt64 = 0
  /// Connections closed for passing `inputLimit`.
  public var inputOverflows: UInt64 = 0
  /// Connections closed for a frame size out of range, or as `protocolViolation` by the application.
  public var protocolViolations: UInt64 = 0
  /// Connections closed because the pool met its budget.
  public var outOfBuffers: UInt64 = 0
  /// Connections that the peer reset.
  public var resets: UInt64 = 0
  /// Connections given up while connecting.
  public var connectTimeouts: UInt64 = 0
  /// Connections closed for passing `Deadlines.idle`.
  public var idleTimeouts: UInt64 = 0
  /// Connections closed for passing `Deadlines.header`.
  public var headerTimeouts: UInt64 = 0
  /// Connections closed for passing `Deadlines.writeStall`.
  public var stallTimeouts: UInt64 = 0
  /// Connections whose queue was not out when `flushTimeout` was up.
  public var flushTimeouts: UInt64 = 0

  /// File writes submitted, continued ones counted again.
  public var fileWrites: UInt64 = 0
  /// Bytes written to files.
  public var fileBytes: UInt64 = 0
  /// File reads submitted, continued ones counted again.
  public var fileReads: UInt64 = 0
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

extension ReactorStatistics {
  init(_ report: cyc_reactor_statistics, blocks: Int) {
    self.init(
      turns: report.turns, enters: report.enters, events: report.events,
      receives: report.receives, receivedBytes: report.received_bytes, frames: report.frames,
      sends: report.sends, sentBytes: report.sent_bytes, shortSends: report.short_sends,
      copiedInBytes: report.copied_in_bytes, copiedOutBytes: report.copied_out_bytes,
      accepted: report.accepted, refusedAccepts: report.refused_accepts,
      connects: report.connects, closes: report.closes, starved: report.starved,
      capped: report.capped, heldBack: report.held_back, queueFull: report.queue_full,
      acceptRests: report.accept_rests, missedEnds: report.missed_ends,
      sendOverflows: report.send_overflows,
      inputOverflows: report.input_overflows, protocolViolations: report.protocol_violations,
      outOfBuffers: report.out_of_buffers, resets: report.resets,
      connectTimeouts: report.connect_timeouts, idleTimeouts: report.idle_timeouts,
      headerTimeouts: report.header_timeouts, stallTimeouts: report.stall_timeouts,
      flushTimeouts: report.flush_timeouts, fileWrites: report.file_writes,
      fileBytes: report.file_bytes, fileReads: report.file_reads, fileSyncs: report.file_syncs,
      wakes: report.wakes, connections: Int(report.connections), listeners: Int(report.listeners),
      timers: Int(report.timers), operations: Int(report.operations), blocks: blocks)
  }
}
