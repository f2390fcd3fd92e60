/// A connection of the async tier as its reactor sees it: what arrived and nobody has taken yet,
/// and who waits for what.
///
/// What arrives while somebody waits is handed over by reference, in the continuation. What arrives
/// while nobody does is kept, large pieces by reference, small ones gathered by the reactor; past
/// the limit reading is paused, and the peer has to wait.
///
/// Unchecked: everything but the constants is touched on the reactor's thread only.
final class Channel: @unchecked Sendable {
  /// What a reader gets.
  enum Arrival: Sendable {
    case bytes(SliceReference)
    case end
    case failed(TransportError)
  }

  private enum Backlog {
    case none
    /// Left with the reactor until `kept` is taken.
    case left
    /// Asked for; the reactor shows it in the next turn.
    case coming
  }

  /// How many pieces are kept by reference, how many of any size, and below what share of its block
  /// a piece is small.
  private static let keptMax = 16
  private static let keptSmallMax = 4
  private static let smallShare = 4

  let executor: ReactorExecutor
  let connection: ConnectionID
  let peer: SocketAddress?
  private unowned let endpoint: TaskEndpoint

  private var kept: [SliceReference] = []
  private var keptFirst = 0
  /// Input behind what is kept, gathered by the reactor.
  private var backlog = Backlog.none
  private var isPaused = false
  private var hasEnded = false
  private var hasFinished = false
  private var failure: TransportError?

  private var reader: Waiter<Arrival>?
  private var writers: [Waiter<TransportError?>] = []
  private var closers: [Resumption<Void>] = []
  /// Tickets of waits that were cancelled before they began; one whose wait was over is left
  /// behind.
  private var cancelledRead: UInt64 = 0
  private var cancelledWrites: Set<UInt64> = []

  init(_ connection: ConnectionID, endpoint: TaskEndpoint, reactor: Reactor) {
    self.connection = connection
    self.endpoint = endpoint
    executor = reactor.executor
    peer = reactor.peerAddress(connection)
  }

  /// The peer's address in words.
  var place: String { peer.map { "\($0)" } ?? "an unknown peer" }

  // MARK: From the reactor

  func received(_ byteCount: Int, _ reactor: Reactor) -> Progress {
    if backlog == .coming { backlog = .none }
    if let waiter = reader {
      reader = nil
      waiter.resume(.bytes(reactor.core.shareInput(0..<byteCount)), reactor)
      return Progress(consumed: byteCount)
    }
    let count = kept.count - keptFirst
    guard backlog == .none, count < Self.keptMax else { return leave(reactor) }
    let reference = reactor.core.shareInput(0..<byteCount)
    guard count < Self.keptSmallMax || byteCount * Self.smallShare >= reference.heldBytes else {
      reference.release()
      return leave(reactor)
    }
    kept.append(reference)
    return Progress(consumed: byteCount)
  }

  /// Leaves input with the reactor, which gathers it. Reading is paused, as the reactor must not
  /// take what nobody has looked at for the last there is.
  private func leave(_ reactor: Reactor) -> Progress {
    backlog = .left
    pause(reactor)
    return Progress(consumed: 0)
  }

  func received(frame: SliceReference, _ reactor: Reactor) {
    if let waiter = reader {
      reader = nil
      return waiter.resume(.bytes(frame), reactor)
    }
    kept.append(frame)
    if kept.count - keptFirst >= Self.keptMax { pause(reactor) }
  }

  private func pause(_ reactor: Reactor) {
    guard !isPaused else { return }
    isPaused = true
    reactor.pauseReading(connection)
  }

  /// No more input comes: the peer has finished, or the server is stopping.
  func inputEnded(_ reactor: Reactor?) {
    hasEnded = true
    guard backlog == .none, let waiter = reader else { return }
    reader = nil
    waiter.resume(.end, reactor)
  }

  func drained(_ reactor: Reactor) { resumeWriters(nil, reactor) }

  func closed(_ reason: CloseReason, _ reactor: Reactor?) {
    failure = TransportError(reason, peer: peer)
    // An orderly end of the other side is an end, whatever comes after it.
    if let waiter = reader {
      reader = nil
      waiter.resume(hasEnded ? .end : .failed(failure!), reactor)
    }
    resumeWriters(failure, reactor)
    for closer in closers { closer.resume(()) }
    closers = []
  }

  private func resumeWriters(_ error: TransportError?, _ reactor: Reactor?) {
    let waiting = writers
    writers = []
    for waiter in waiting { waiter.resume(error, reactor) }
  }

  // MARK: From tasks, on the reactor's thread

  /// What is there to be read without waiting.
  func takeArrival(_ reactor: Reactor) -> Arrival? {
    if keptFirst < kept.count {
      let reference = kept[keptFirst]
      keptFirst += 1
      if keptFirst == kept.count {
        kept.removeAll(keepingCapacity: true)
        keptFirst = 0
        showRest(reactor)
      }
      return .bytes(reference)
    }
    if backlog != .none, failure == nil { return nil }
    if hasEnded { return .end }
    return failure.map { .failed($0) }
  }

  private func showRest(_ reactor: Reactor) {
    guard isPaused else { return }
    isPaused = false
    if backlog == .left { backlog = .coming }
    reactor.resumeReading(connection)
  }

  func read(
    _ ticket: UInt64, within limit: Duration?, _ continuation: Resumption<Arrival>,
    _ reactor: Reactor
  ) {
    if let arrival = takeArrival(reactor) { return continuation.resume(arrival) }
    guard ticket != cancelledRead else {
      return continuation.resume(.failed(.cancelled))
    }
    precondition(reader == nil, "two tasks read one connection")
    var waiter = Waiter(ticket: ticket, continuation: continuation)
    waiter.timer = limit.map { limit in
      reactor.schedule(after: limit) { [unowned reactor] in
        self.endRead(ticket, .failed(.timedOut("a read", peer: self.peer)), reactor)
      }
    }
    reader = waiter
  }

  func cancelRead(_ ticket: UInt64, _ reactor: Reactor) {
    cancelledRead = ticket
    endRead(ticket, .failed(.cancelled), reactor)
  }

  private func endRead(_ ticket: UInt64, _ arrival: Arrival, _ reactor: Reactor) {
    guard let waiter = reader, waiter.ticket == ticket else { return }
    reader = nil
    waiter.resume(arrival, reactor)
  }

  /// Queues output; what cannot be is refused with the error.
  func queue(_ output: Output, _ reactor: Reactor) -> TransportError? {
    if let failure = refusal(reactor) {
      output.discard()
      return failure
    }
    output.send(connection, reactor)
    return nil
  }

  /// Why nothing can be sent; nil when it can.
  func refusal(_ reactor: Reactor) -> TransportError? {
    if let failure { return failure }
    if hasFinished {
      return TransportError(.closed, "writing after finishWriting", address: peer)
    }
    return reactor.isOpen(connection)
      ? nil : TransportError(.closed, "the connection is being closed", address: peer)
  }

  func isFull(_ reactor: Reactor) -> Bool {
    reactor.queuedBytes(connection) > endpoint.sendHighWatermark
  }

  func awaitRoom(
    _ ticket: UInt64, within limit: Duration?,
    _ continuation: Resumption<TransportError?>, _ reactor: Reactor
  ) {
    guard failure == nil, isFull(reactor) else { return continuation.resume(failure) }
    guard cancelledWrites.remove(ticket) == nil else { return continuation.resume(.cancelled) }
    var waiter = Waiter(ticket: ticket, continuation: continuation)
    waiter.timer = limit.map { limit in
      reactor.schedule(after: limit) { [unowned reactor] in
        self.endWrite(ticket, .timedOut("a write", peer: self.peer), reactor)
      }
    }
    writers.append(waiter)
  }

  func cancelWrite(_ ticket: UInt64, _ reactor: Reactor) {
    if !endWrite(ticket, .cancelled, reactor) { cancelledWrites.insert(ticket) }
  }

  @discardableResult
  private func endWrite(_ ticket: UInt64, _ error: TransportError, _ reactor: Reactor) -> Bool {
    guard let index = writers.firstIndex(where: { $0.ticket == ticket }) else { return false }
    writers.remove(at: index).resume(error, reactor)
    return true
  }

  func finishWriting(_ reactor: Reactor) {
    hasFinished = true
    reactor.finishSending(connection)
  }

  func close(flush: Bool, _ reactor: Reactor) {
    for index in keptFirst..<kept.count { kept[index].release() }
    kept = []
    keptFirst = 0
    reactor.close(connection, flush: flush)
  }

  func awaitClosed(_ continuation: Resumption<Void>) {
    guard failure == nil else { return continuation.resume(()) }
    closers.append(continuation)
  }

  /// Whether it could serve another user: open, with nothing left over from the last one.
  func isClean(_ reactor: Reactor) -> Bool {
    failure == nil && !hasEnded && !hasFinished && backlog == .none && kept.isEmpty
      && reactor.isOpen(connection)
  }
}

/// A task that waits, and until when.
private struct Waiter<Outcome: Sendable> {
  let ticket: UInt64
  let continuation: Resumption<Outcome>
  var timer: Timer?

  func resume(_ outcome: Outcome, _ reactor: Reactor?) {
    if let timer { reactor?.cancel(timer) }
    continuation.resume(outcome)
  }
}

/// Something to be sent, on its way to the reactor's thread.
enum Output: Sendable {
  case reference(SliceReference)
  case bytes([UInt8])
  case text(String)

  func send(_ connection: ConnectionID, _ reactor: Reactor) {
    switch self {
    case .reference(let reference): reactor.core.send(connection, reference)
    case .bytes(let bytes): reactor.send(connection, copying: bytes)
    case .text(let text): reactor.send(connection, copying: text)
    }
  }

  /// On the reactor's thread.
  func discard() {
    if case .reference(let reference) = self { reference.release() }
  }

  /// On any thread.
  func discard(to executor: ReactorExecutor) {
    if case .reference(let reference) = self { executor.mailbox.giveBack(reference) }
  }
}

/// The endpoint of connections that tasks serve.
final class TaskEndpoint: Endpoint, FrameViewer {
  private unowned let reactor: Reactor
  private var channels: [Channel?] = []
  private let opened: (Channel) -> Void
  private let failed: (ConnectionID, CloseReason) -> Void
  let sendHighWatermark: Int
  private(set) var isEnded = false

  /// `opened` gets every connection, `failed` those that never opened.
  init(
    on reactor: Reactor, opened: @escaping (Channel) -> Void,
    failed: @escaping (ConnectionID, CloseReason) -> Void = { _, _ in }
  ) {
    self.reactor = reactor
    self.opened = opened
    self.failed = failed
    sendHighWatermark = reactor.configuration.sendHighWatermark
  }

  func opened(_ connection: ConnectionID) {
    while channels.count <= connection.slot { channels.append(nil) }
    let channel = Channel(connection, endpoint: self, reactor: reactor)
    channels[connection.slot] = channel
    opened(channel)
  }

  func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
    guard let channel = channels[connection.slot] else {
      return Progress(consumed: bytes.byteCount)
    }
    return channel.received(bytes.byteCount, reactor)
  }

  func received(_ connection: ConnectionID, frame: RawSpan) {
    channels[connection.slot]?.received(
      frame: reactor.shareReference(0..<frame.byteCount), reactor)
  }

  func inputEnded(_ connection: ConnectionID) -> InputEnd {
    channels[connection.slot]?.inputEnded(reactor)
    return .keepSending
  }

  func drained(_ connection: ConnectionID) { channels[connection.slot]?.drained(reactor) }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    guard connection.slot < channels.count, let channel = channels[connection.slot],
      channel.connection == connection
    else { return failed(connection, reason) }
    channels[connection.slot] = nil
    channel.closed(reason, reactor)
  }

  /// Tells all tasks that read that nothing more comes; they may finish what they are at.
  func endInput() { for channel in channels { channel?.inputEnded(reactor) } }

  /// Closes everything at once.
  func abort() { for channel in channels { channel?.close(flush: false, reactor) } }

  /// The reactor failed: nothing will be heard of any connection again.
  func reactorEnded() {
    isEnded = true
    for channel in channels { channel?.closed(.local, nil) }
    channels = []
  }
}
