/// A sealed frame that was received and verified: one owner, any thread.
public struct Frame: ~Copyable, Sendable {
  /// The kind its sender gave it.
  public let kind: UInt16
  private let slice: Slice

  init(_ kind: UInt16, _ slice: consuming Slice) {
    self.kind = kind
    self.slice = slice
  }

  /// The size of the payload in bytes.
  public var byteCount: Int { slice.byteCount - SealedFrame.headerSize }

  /// The payload, readable while the frame is borrowed.
  public var payload: RawSpan {
    @_lifetime(borrow self) borrowing get {
      slice.span.extracting(droppingFirst: SealedFrame.headerSize)
    }
  }
}

extension Connection {
  /// The next sealed frame of a connection in the mode `.frames`; `nil` as `next`.
  ///
  /// Throws `.protocolViolation` when a frame is wrong; the connection is closed then. The payload
  /// is where the kernel put it. Throws what `next` throws.
  public nonisolated(nonsending) mutating func nextFrame(
    within limit: Duration? = nil
  ) async throws(TransportError) -> Frame? {
    guard let slice = try await next(within: limit) else { return nil }
    let kind: UInt16
    do {
      kind = try SealedFrame.check(slice.span)
    } catch {
      let channel = channel
      _ = channel.executor.perform {
        $0.frameFaults.note(error, from: channel.peer)
        channel.close(flush: false, $0)
      }
      throw TransportError(
        .protocolViolation, "\(error) from \(channel.place)", address: peerAddress)
    }
    return Frame(kind, slice)
  }

  /// Sends a payload as a sealed frame; see `write(_:within:)`.
  public nonisolated(nonsending) func write(
    kind: UInt16, _ payload: [UInt8], within limit: Duration? = nil
  ) async throws(TransportError) {
    try await write(SealedFrame.encode(kind: kind, payload), within: limit)
  }
}
