/// The state and the code of one connection, as a value.
///
/// A `HandlerEndpoint` keeps one handler per connection in place: no class, closure or allocation
/// per connection or message, and calls are specialised for the handler's type.
public protocol ConnectionHandler: ~Copyable {
  /// The connection was accepted, or connected.
  mutating func opened(_ io: inout ConnectionIO)

  /// Input of a stream connection, from the first unconsumed byte on; valid during the call.
  mutating func received(_ bytes: RawSpan, _ io: inout ConnectionIO) -> Progress

  /// One frame of a framed connection; valid during the call. `ConnectionIO.share(_:)` keeps a part
  /// of it without a copy.
  mutating func received(frame: RawSpan, _ io: inout ConnectionIO)

  /// One frame of a framed connection, to keep; called unless the handler looks at frames in place.
  mutating func received(frame: Bytes, _ io: inout ConnectionIO)

  /// The peer has finished sending; what was left unconsumed will never be completed.
  mutating func inputEnded(_ io: inout ConnectionIO) -> InputEnd

  /// A send queue that was above the high watermark fell to the low one.
  mutating func drained(_ io: inout ConnectionIO)

  /// The connection is gone; the handler is destroyed next.
  mutating func closed(_ reason: CloseReason)
}

extension ConnectionHandler where Self: ~Copyable {
  /// Does nothing.
  public mutating func opened(_ io: inout ConnectionIO) {}

  /// Discards the input.
  public mutating func received(_ bytes: RawSpan, _ io: inout ConnectionIO) -> Progress {
    Progress(consumed: bytes.byteCount)
  }

  /// Passes the frame on as `Bytes`.
  public mutating func received(frame: RawSpan, _ io: inout ConnectionIO) {
    received(frame: io.share(0..<frame.byteCount), &io)
  }

  /// Discards the frame.
  public mutating func received(frame: Bytes, _ io: inout ConnectionIO) {}

  /// Closes when everything queued is sent.
  public mutating func inputEnded(_ io: inout ConnectionIO) -> InputEnd { .close }

  /// Does nothing.
  public mutating func drained(_ io: inout ConnectionIO) {}

  /// Does nothing.
  public mutating func closed(_ reason: CloseReason) {}
}

/// What a handler can do with its connection; valid during the call it is given to.
public struct ConnectionIO {
  /// The connection's reactor.
  public let reactor: Reactor
  /// The connection.
  public let connection: ConnectionID

  @inlinable init(reactor: Reactor, connection: ConnectionID) {
    self.reactor = reactor
    self.connection = connection
  }

  /// The time of this turn.
  public var now: Instant { reactor.now }

  /// The number of bytes queued and not yet taken by the kernel.
  public var queuedBytes: Int { reactor.queuedBytes(connection) }

  /// The peer's address; nil when the connection is gone.
  public var peerAddress: SocketAddress? { reactor.peerAddress(connection) }

  /// Queues bytes by reference; they leave at the end of the turn.
  public func send(_ bytes: Bytes) { reactor.send(connection, bytes) }

  /// Queues a part of the input being shown, by reference; only inside `received`.
  public func send(received range: Range<Int>) { reactor.send(connection, received: range) }

  /// Queues a copy of bytes.
  public func send(copying bytes: RawSpan) { reactor.send(connection, copying: bytes) }

  /// Queues a copy of an array's bytes.
  public func send(copying bytes: [UInt8]) { reactor.send(connection, copying: bytes) }

  /// Queues a copy of a string's UTF-8.
  public func send(copying text: String) { reactor.send(connection, copying: text) }

  /// Queues what `body` writes in place, at most `limit` bytes; see `Reactor.write`.
  public func write(atMost limit: Int, _ body: (inout OutputRawSpan) -> Void) {
    reactor.write(connection, atMost: limit, body)
  }

  /// Keeps a part of the input being shown, without a copy; only inside `received`.
  public func share(_ range: Range<Int>) -> Bytes { reactor.share(range) }

  /// Stops input until `resumeReading`.
  public func pauseReading() { reactor.pauseReading(connection) }

  /// Undoes `pauseReading`; unconsumed input is shown again in the next turn.
  public func resumeReading() { reactor.resumeReading(connection) }

  /// Ends this side's direction once the queue is out, and goes on receiving.
  public func finishSending() { reactor.finishSending(connection) }

  /// Closes the connection, after the send queue is out or at once.
  public func close(flush: Bool, reason: CloseReason = .local) {
    reactor.close(connection, flush: flush, reason: reason)
  }
}
