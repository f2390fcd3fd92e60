import Synchronization

/// Writes to a connection that another task owns, as one of any number of writers: broadcasts,
/// answers that are worked out elsewhere.
///
/// What one call writes stays together. A writer does not keep the connection open.
public struct ConnectionWriter: Sendable {
  let channel: Channel
  private static let tickets = Atomic<UInt64>(1 << 63)

  /// Sends received bytes by reference; see `Connection.write(_:within:)`.
  public nonisolated(nonsending) func write(
    _ bytes: consuming Slice, within limit: Duration? = nil
  ) async throws(TransportError) {
    let output: Output =
      bytes.executor === channel.executor
      ? .reference(bytes.takeReference()) : .bytes(bytes.array)
    try await write(output, limit)
  }

  /// Sends a copy of an array's bytes.
  public nonisolated(nonsending) func write(
    _ bytes: [UInt8], within limit: Duration? = nil
  ) async throws(TransportError) {
    try await write(.bytes(bytes), limit)
  }

  /// Sends a copy of a string's UTF-8.
  public nonisolated(nonsending) func write(
    _ text: String, within limit: Duration? = nil
  ) async throws(TransportError) {
    try await write(.text(text), limit)
  }

  private nonisolated(nonsending) func write(
    _ output: Output, _ limit: Duration?
  ) async throws(TransportError) {
    let channel = channel
    let executor = channel.executor
    let failure: TransportError?
    if executor.isCurrent, let reactor = executor.reactor {
      failure = channel.queue(output, reactor)
      if failure == nil, channel.isFull(reactor) { return try await awaitRoom(nil, limit) }
    } else {
      return try await awaitRoom(output, limit)
    }
    if let failure { throw failure }
  }

  /// Queues what is still to be queued, then waits until the queue is below its watermark.
  private nonisolated(nonsending) func awaitRoom(
    _ output: Output?, _ limit: Duration?
  ) async throws(TransportError) {
    let channel = channel
    let executor = channel.executor
    let ticket = Self.tickets.add(1, ordering: .relaxed).newValue
    let failure = await withTaskCancellationHandler {
      await Resumption<TransportError?>.wait { resumption in
        let isPosted = executor.perform { reactor in
          if let output, let failure = channel.queue(output, reactor) {
            return resumption.resume(failure)
          }
          channel.awaitRoom(ticket, within: limit, resumption, reactor)
        }
        if !isPosted {
          output?.discard(to: executor)
          resumption.resume(.reactorStopped)
        }
      }
    } onCancel: {
      _ = executor.perform { channel.cancelWrite(ticket, $0) }
    }
    if let failure { throw failure }
  }
}
