/// The state and the code of one connection that speaks sealed frames, as a value.
///
/// `SealedFrames` verifies every frame before the handler sees it. A payload is shown where the
/// kernel put it: nothing is copied between the socket and `received`, but for the one frame per
/// 256 KiB block that began in the block before. `ConnectionIO.share(_:)` keeps a part of a
/// *frame*, whose payload starts at `SealedFrame.headerSize`.
public protocol FrameHandler: ~Copyable {
  /// The connection was accepted, or connected.
  mutating func opened(_ io: inout ConnectionIO)

  /// One frame, verified; the payload is valid during the call.
  mutating func received(_ kind: UInt16, _ payload: RawSpan, _ io: inout ConnectionIO)

  /// The peer has finished sending.
  mutating func inputEnded(_ io: inout ConnectionIO) -> InputEnd

  /// A send queue that was above the high watermark fell to the low one.
  mutating func drained(_ io: inout ConnectionIO)

  /// The connection is gone; `fault` says what was wrong with the frame that it was closed for.
  mutating func closed(_ reason: CloseReason, fault: SealedFrame.Fault?)
}

extension FrameHandler where Self: ~Copyable {
  /// Does nothing.
  public mutating func opened(_ io: inout ConnectionIO) {}

  /// Closes when everything queued is sent.
  public mutating func inputEnded(_ io: inout ConnectionIO) -> InputEnd { .close }

  /// Does nothing.
  public mutating func drained(_ io: inout ConnectionIO) {}

  /// Does nothing.
  public mutating func closed(_ reason: CloseReason, fault: SealedFrame.Fault?) {}
}

/// A connection of sealed frames: verifies what comes, and closes the connection on the first frame
/// that is wrong, with a counted and logged reason.
///
/// ```swift
/// let endpoint = HandlerEndpoint(on: reactor) { _ in SealedFrames(Shuffle()) }
/// let listener = try reactor.listen(
///   on: address, mode: .frames(maximumSize: 1 << 20), endpoint: endpoint)
/// ```
public struct SealedFrames<Handler: FrameHandler & ~Copyable>: ConnectionHandler, ~Copyable {
  @usableFromInline var handler: Handler
  @usableFromInline var faults: FrameFaults?
  @usableFromInline var fault: SealedFrame.Fault?
  @usableFromInline var peer: SocketAddress?

  /// Wraps a handler.
  public init(_ handler: consuming Handler) { self.handler = handler }

  /// Tells the handler.
  public mutating func opened(_ io: inout ConnectionIO) {
    peer = io.peerAddress
    faults = io.reactor.frameFaults
    handler.opened(&io)
  }

  /// Verifies the frame and shows it to the handler.
  @inlinable
  public mutating func received(frame: RawSpan, _ io: inout ConnectionIO) {
    guard let kind = try? SealedFrame.check(frame) else { return refuse(frame, &io) }
    handler.received(kind, frame.extracting(droppingFirst: SealedFrame.headerSize), &io)
  }

  @usableFromInline
  mutating func refuse(_ frame: RawSpan, _ io: inout ConnectionIO) {
    do {
      _ = try SealedFrame.check(frame)
    } catch {
      fault = error
      io.close(flush: false, reason: .protocolViolation)
    }
  }

  /// Asks the handler.
  public mutating func inputEnded(_ io: inout ConnectionIO) -> InputEnd { handler.inputEnded(&io) }

  /// Tells the handler.
  public mutating func drained(_ io: inout ConnectionIO) { handler.drained(&io) }

  /// Counts and logs a wrong frame, then tells the handler.
  public mutating func closed(_ reason: CloseReason) {
    // What is out of range in size is found before a frame is made of it.
    if reason == .protocolViolation, fault == nil { fault = .size }
    if let fault { faults?.note(fault, from: peer) }
    handler.closed(reason, fault: fault)
  }
}
