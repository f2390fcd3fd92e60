/// An endpoint that gives every connection a handler of its own.
///
/// Handlers live in place in chunks of 64, indexed by the connection's slot, so their addresses
/// never change and an idle connection costs the size of its handler.
@safe public final class HandlerEndpoint<Handler: ConnectionHandler & ~Copyable>: Endpoint {
  @unsafe private struct Chunk {
    let handlers: UnsafeMutablePointer<Handler>
    /// Bit *i* is set when handler *i* is alive.
    var alive: UInt64 = 0
  }
  private static var chunkSize: Int { 64 }

  private unowned let reactor: Reactor
  private let make: (ConnectionID) -> Handler
  private var chunks: [Chunk?] = unsafe []

  /// Makes an endpoint for connections of `reactor`; `make` makes the handler of an opened
  /// connection.
  public init(on reactor: Reactor, make: @escaping (ConnectionID) -> Handler) {
    self.reactor = reactor
    self.make = make
  }

  deinit {
    for index in unsafe chunks.indices {
      guard var chunk = unsafe chunks[index] else { continue }
      while unsafe chunk.alive != 0 {
        let bit = unsafe chunk.alive.trailingZeroBitCount
        unsafe (chunk.handlers + bit).deinitialize(count: 1)
        unsafe chunk.alive &= chunk.alive - 1
      }
      unsafe chunk.handlers.deallocate()
    }
  }

  /// Lets the connection's handler work; nil when it has none (never opened, or closed).
  ///
  /// For answers that come later than the call that asked for them; not from inside a call to the
  /// same handler.
  public func withHandler<R>(
    of connection: ConnectionID, _ body: (inout Handler, inout ConnectionIO) -> R
  ) -> R? {
    guard reactor.isOpen(connection), let handler = unsafe handler(connection) else { return nil }
    var io = ConnectionIO(reactor: reactor, connection: connection)
    return unsafe body(&handler.pointee, &io)
  }

  /// Makes the connection's handler.
  public func opened(_ connection: ConnectionID) {
    let (index, bit) = connection.slot.quotientAndRemainder(dividingBy: Self.chunkSize)
    while unsafe chunks.count <= index { unsafe chunks.append(nil) }
    if unsafe chunks[index] == nil {
      unsafe chunks[index] = Chunk(handlers: .allocate(capacity: Self.chunkSize))
    }
    unsafe (chunks[index]!.handlers + bit).initialize(to: make(connection))
    unsafe chunks[index]!.alive |= 1 << UInt64(bit)
    call(connection) { $0.opened(&$1) }
  }

  /// Passes input to the connection's handler.
  public func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
    call(connection) { $0.received(bytes, &$1) } ?? Progress(consumed: bytes.byteCount)
  }

  /// Passes a frame to the connection's handler.
  public func received(_ connection: ConnectionID, frame: Bytes) {
    call(connection) { $0.received(frame: frame, &$1) }
  }

  /// Asks the connection's handler.
  public func inputEnded(_ connection: ConnectionID) -> InputEnd {
    call(connection) { $0.inputEnded(&$1) } ?? .close
  }

  /// Tells the connection's handler.
  public func drained(_ connection: ConnectionID) { call(connection) { $0.drained(&$1) } }

  /// Tells the connection's handler and destroys it.
  public func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    guard let handler = unsafe handler(connection) else { return }
    unsafe handler.pointee.closed(reason)
    unsafe handler.deinitialize(count: 1)
    let (index, bit) = connection.slot.quotientAndRemainder(dividingBy: Self.chunkSize)
    unsafe chunks[index]!.alive &= ~(1 << UInt64(bit))
  }

  @inline(__always) @discardableResult
  private func call<R>(
    _ connection: ConnectionID, _ body: (inout Handler, inout ConnectionIO) -> R
  ) -> R? {
    guard let handler = unsafe handler(connection) else { return nil }
    var io = ConnectionIO(reactor: reactor, connection: connection)
    return unsafe body(&handler.pointee, &io)
  }

  @inline(__always)
  private func handler(_ connection: ConnectionID) -> UnsafeMutablePointer<Handler>? {
    let (index, bit) = connection.slot.quotientAndRemainder(dividingBy: Self.chunkSize)
    guard unsafe index < chunks.count, let chunk = unsafe chunks[index],
      unsafe chunk.alive & (1 << UInt64(bit)) != 0
    else { return nil }
    return unsafe chunk.handlers + bit
  }
}
