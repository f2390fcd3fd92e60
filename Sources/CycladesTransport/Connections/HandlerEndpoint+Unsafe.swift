/// An endpoint that gives every connection a handler of its own.
///
/// Handlers live in place in chunks of 64, indexed by the connection's slot, so their addresses
/// never change and an idle connection costs the size of its handler. Nothing here is counted,
/// locked or allocated per message: a message costs one call through the endpoint's table, and the
/// handler's code is compiled into that call, in whatever module the handler is.
@safe public final class HandlerEndpoint<Handler: ConnectionHandler & ~Copyable>: Endpoint {
  @unsafe @usableFromInline struct Chunk {
    @usableFromInline let handlers: UnsafeMutablePointer<Handler>
    /// Bit *i* is set when handler *i* is alive.
    @usableFromInline var alive: UInt64

    @usableFromInline init() {
      unsafe handlers = .allocate(capacity: 64)
      unsafe alive = 0
    }
  }

  @usableFromInline unowned(unsafe) let reactor: Reactor
  private let make: (ConnectionID) -> Handler
  /// Chunks that were never needed are nil. Grown by hand, as an array would be checked for
  /// uniqueness and exclusive access at every message.
  @usableFromInline private(set) var chunks: UnsafeMutablePointer<Chunk?>
  @usableFromInline private(set) var chunkCount = 0

  /// Makes an endpoint for connections of `reactor`; `make` makes the handler of an opened
  /// connection.
  public init(on reactor: Reactor, make: @escaping (ConnectionID) -> Handler) {
    unsafe self.reactor = reactor
    self.make = make
    unsafe chunks = .allocate(capacity: 0)
  }

  deinit {
    for index in 0..<chunkCount {
      guard var chunk = unsafe chunks[index] else { continue }
      while unsafe chunk.alive != 0 {
        let bit = unsafe chunk.alive.trailingZeroBitCount
        unsafe (chunk.handlers + bit).deinitialize(count: 1)
        unsafe chunk.alive &= chunk.alive - 1
      }
      unsafe chunk.handlers.deallocate()
    }
    unsafe chunks.deinitialize(count: chunkCount)
    unsafe chunks.deallocate()
  }

  /// Lets the connection's handler work; nil when it has none (never opened, or closed).
  ///
  /// For answers that come later than the call that asked for them; not from inside a call to the
  /// same handler.
  public func withHandler<R>(
    of connection: ConnectionID, _ body: (inout Handler, inout ConnectionIO) -> R
  ) -> R? {
    guard unsafe reactor.isOpen(connection), let handler = unsafe handler(connection) else {
      return nil
    }
    var io = unsafe ConnectionIO(reactor: reactor, connection: connection)
    return unsafe body(&handler.pointee, &io)
  }

  /// Makes the connection's handler.
  public func opened(_ connection: ConnectionID) {
    let (index, bit) = connection.slot.quotientAndRemainder(dividingBy: 64)
    if index >= chunkCount { grow(to: max(index + 1, 2 * chunkCount)) }
    if unsafe chunks[index] == nil { unsafe chunks[index] = Chunk() }
    unsafe (chunks[index]!.handlers + bit).initialize(to: make(connection))
    unsafe chunks[index]!.alive |= 1 << UInt64(bit)
    if let handler = unsafe handler(connection) {
      var io = unsafe ConnectionIO(reactor: reactor, connection: connection)
      unsafe handler.pointee.opened(&io)
    }
  }

  private func grow(to count: Int) {
    let larger = UnsafeMutablePointer<Chunk?>.allocate(capacity: count)
    unsafe larger.moveInitialize(from: chunks, count: chunkCount)
    unsafe (larger + chunkCount).initialize(repeating: nil, count: count - chunkCount)
    unsafe chunks.deallocate()
    unsafe chunks = larger
    chunkCount = count
  }

  /// Passes input to the connection's handler.
  @inlinable
  public func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
    guard let handler = unsafe handler(connection) else {
      return Progress(consumed: bytes.byteCount)
    }
    var io = unsafe ConnectionIO(reactor: reactor, connection: connection)
    return unsafe handler.pointee.received(bytes, &io)
  }

  /// Passes a frame to the connection's handler.
  @inlinable
  public func received(_ connection: ConnectionID, frame: RawSpan) {
    guard let handler = unsafe handler(connection) else { return }
    var io = unsafe ConnectionIO(reactor: reactor, connection: connection)
    unsafe handler.pointee.received(frame: frame, &io)
  }

  /// Asks the connection's handler.
  public func inputEnded(_ connection: ConnectionID) -> InputEnd {
    guard let handler = unsafe handler(connection) else { return .close }
    var io = unsafe ConnectionIO(reactor: reactor, connection: connection)
    return unsafe handler.pointee.inputEnded(&io)
  }

  /// Tells the connection's handler.
  public func drained(_ connection: ConnectionID) {
    guard let handler = unsafe handler(connection) else { return }
    var io = unsafe ConnectionIO(reactor: reactor, connection: connection)
    unsafe handler.pointee.drained(&io)
  }

  /// Tells the connection's handler and destroys it.
  public func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    guard let handler = unsafe handler(connection) else { return }
    unsafe handler.pointee.closed(reason)
    unsafe handler.deinitialize(count: 1)
    let (index, bit) = connection.slot.quotientAndRemainder(dividingBy: 64)
    unsafe chunks[index]!.alive &= ~(1 << UInt64(bit))
  }

  @inlinable @inline(__always)
  func handler(_ connection: ConnectionID) -> UnsafeMutablePointer<Handler>? {
    let slot = connection.slot
    guard slot >> 6 < chunkCount, let chunk = unsafe chunks[slot >> 6],
      unsafe chunk.alive & (1 << UInt64(slot & 63)) != 0
    else { return nil }
    return unsafe chunk.handlers + (slot & 63)
  }
}

extension HandlerEndpoint: FrameViewer where Handler: ~Copyable {}
