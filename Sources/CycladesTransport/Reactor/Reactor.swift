internal import CCycladesReactor
public import Logging

/// One thread's share of the network, the disk and the clock: an io_uring, or epoll where the kernel
/// refuses one, with everything on it.
///
/// A reactor runs in *turns*. A turn delivers everything that happened - input, completions, timers,
/// mail from other threads - to endpoints and closures, one after the other, and then lets the
/// kernel start everything these asked for: all that was queued for a connection during a turn
/// leaves in one gathering send. So code on a reactor never blocks, never locks, and is never called
/// re-entrantly.
///
/// A reactor belongs to one thread: the one that calls `run`. `ReactorThread` makes both. From other
/// threads use `mailbox`. It keeps endpoints, observers and timers alive until `run` returns, so they
/// may hold it in turn.
public final class Reactor {
  /// The memory that everything on this reactor shares.
  public let pool: BufferPool
  /// The way onto the reactor from other threads.
  public let mailbox: Mailbox
  /// The reactor's thread as an executor of tasks and actors.
  public let executor: ReactorExecutor
  /// Where the reactor reports what an operator may want to know.
  public let logger: Logger
  /// The wrong frames that connections of sealed frames were closed for.
  public let frameFaults: FrameFaults

  let configuration: ReactorConfiguration
  let core: ReactorCore
  /// The frame that a viewer is looking at.
  private var shownFrame: SliceReference?
  var endpoints = EndpointTable()
  private var files = FileTable()
  private var timers: [(fire: () -> Void, dropped: (() -> Void)?)?] = []
  private var observers: [any TurnObserver] = []
  /// Calls that would otherwise come from inside a call to the reactor.
  private var deferred: [() -> Void] = []
  private var refusedConnects: UInt64 = 0
  private(set) var isStopping = false

  /// Makes a reactor; its ring is enabled by `run`.
  ///
  /// Throws `.ringUnavailable` with the likely cause when the kernel refuses a ring and
  /// `configuration.io` allows nothing else.
  public init(
    _ configuration: ReactorConfiguration = ReactorConfiguration(), logger: Logger
  ) throws(TransportError) {
    try configuration.validate()
    self.configuration = configuration
    pool = BufferPool(budgetBytes: configuration.poolBudgetBytes)
    core = try ReactorCore(configuration, pool: pool)
    mailbox = Mailbox(waker: core.waker)
    executor = ReactorExecutor(mailbox: mailbox, pool: pool)
    self.logger = logger
    frameFaults = FrameFaults(logger: logger)
  }

  deinit {
    while !mailbox.close() { executor.append(mailbox.discard()) }
    executor.abandon()
    core.destroy()
  }

  /// The time of this turn: read once, when its events were collected.
  public var now: Instant { Instant(nanoseconds: core.now) }

  /// The clock of `now`, read at this moment: for who must know how long a turn has taken.
  package var clock: Instant { Instant(nanoseconds: core.clock) }

  /// Milliseconds since 1970 by this host's clock: may be wrong, and may jump.
  package var wallClockMilliseconds: UInt64 { core.wallClock / 1_000_000 }

  /// A random number; in a simulation one that its seed decides.
  package func random() -> UInt64 { core.random() }

  /// How the reactor reaches the kernel, `.uring` or `.epoll`: final once it runs.
  public var io: ReactorConfiguration.IO { core.backend.io }

  /// What happened so far, and what is alive.
  public var statistics: ReactorStatistics { core.statistics(pool: pool) }

  // MARK: The loop

  /// Runs turns on the calling thread until `stop`, then closes everything and releases it.
  ///
  /// The stop is orderly: listeners close first, connections send what is queued (at most
  /// `flushTimeout`), every endpoint hears `closed`, every file operation completes. Timers still
  /// pending are dropped. A reactor runs once.
  public func run() throws(TransportError) {
    defer { release() }
    try prepare()
    while true {
      if isStopping, hasNothingLeft, mailbox.close() { return }
      let park = !hasWork && mailbox.prepareToPark()
      try turn(park: park)
    }
  }

  /// Before the first turn, on the thread of all turns.
  func prepare() throws(TransportError) {
    try core.enable()
    executor.adopt(self)
    logBackend()
  }

  /// Whether there is something to run that no event tells of.
  var hasWork: Bool { !deferred.isEmpty || !executor.isIdle }

  func turn(park: Bool) throws(TransportError) {
    let events = try core.turn(park: park)
    if park { mailbox.unpark() }
    deliver(events)
    runDeferred()
    mailbox.drain(self)
    executor.runJobs()
    for observer in observers { observer.turnEnding() }
    endpoints.releaseUnused()
  }

  /// The one line that says how this reactor reaches the kernel, and why not as usual.
  private func logBackend() {
    guard configuration.residence == nil else { return }
    let backend = core.backend
    if let refusal = backend.refusal {
      logger.notice("reactor uses epoll: \(refusal)")
    } else if backend.io == .epoll {
      logger.info("reactor uses epoll, as configured")
    } else {
      logger.debug(
        "reactor uses io_uring",
        metadata: ["ring.flags": "0x\(String(backend.ringFlags, radix: 16))"])
    }
  }

  /// Lets go of everything at once. Endpoints, observers and timers usually hold the reactor, so one
  /// that will never run has to be told.
  func release() {
    core.shutDown()
    while !mailbox.close() { executor.append(mailbox.discard()) }
    let dropped = timers.compactMap { $0?.dropped }
    endpoints.forEach { ($0 as? TaskEndpoint)?.reactorEnded() }
    endpoints = EndpointTable()
    timers = []
    observers = []
    deferred = []
    for body in dropped { body() }
    executor.abandon()
  }

  /// Ends `run` in an orderly way; see there. Further calls do nothing.
  public func stop() {
    guard !isStopping else { return }
    isStopping = true
    core.closeAll(flush: true)
  }

  var hasNothingLeft: Bool {
    let statistics = statistics
    return statistics.connections == 0 && statistics.listeners == 0 && files.isEmpty
      && deferred.isEmpty && executor.isIdle
  }

  /// Adds an observer of turns. It is kept alive until `run` returns.
  public func addTurnObserver(_ observer: any TurnObserver) { observers.append(observer) }

  private func deliver(_ events: ReactorCore.Events) {
    for index in 0..<events.count {
      let event = events[index]
      switch event.kind {
      case CYC_EVENT_READABLE:
        core.showInput(of: event, to: endpoints[event.user])
      case CYC_EVENT_FRAMES:
        deliverFrames(of: event.connection, event.user)
      case CYC_EVENT_ACCEPTED, CYC_EVENT_CONNECTED:
        if event.kind == CYC_EVENT_ACCEPTED { endpoints.retain(event.user) }
        endpoints[event.user].opened(event.connection)
      case CYC_EVENT_INPUT_ENDED:
        guard core.settleEnd(event.connection) else { break }
        if endpoints[event.user].inputEnded(event.connection) == .close {
          core.close(event.connection, flush: true, reason: .endOfInput)
        }
      case CYC_EVENT_DRAINED:
        guard core.isOpen(event.connection) else { break }
        endpoints[event.user].drained(event.connection)
      case CYC_EVENT_CLOSED:
        endpoints[event.user].closed(event.connection, event.reason)
        endpoints.release(event.user)
      case CYC_EVENT_LISTENER_CLOSED:
        endpoints.release(event.user)
      case CYC_EVENT_FILE:
        let (completion, token) = files.remove(event.user)
        if let bytes = event.takenBytes {
          completion.completed(token, bytes: bytes)
        } else {
          completion.completed(token, result: event.result)
        }
      case CYC_EVENT_TIMER:
        fire(event.id)
      default:
        break  // a wake: the mailbox is drained every turn
      }
    }
  }

  private func deliverFrames(of connection: ConnectionID, _ user: UInt64) {
    guard let viewer = endpoints.viewer(user) else {
      let endpoint = endpoints[user]
      while let frame = core.nextFrame(connection) {
        endpoint.received(connection, frame: Bytes(frame))
      }
      return
    }
    while let frame = core.nextFrame(connection) {
      shownFrame = frame
      viewer.received(connection, frame: frame.span)
      shownFrame = nil
      frame.release()
    }
  }

  private func runDeferred() {
    guard !deferred.isEmpty else { return }
    let calls = deferred
    deferred = []
    for call in calls { call() }
  }

  // MARK: Listeners and connections

  /// Listens on an address and reports accepted connections to `endpoint`.
  ///
  /// Port 0 lets the system choose; `Listener.address` tells. Several reactors listen on one port
  /// when the first one does so as `.first` and the others join; see `PortSharing`. Throws
  /// `.listenFailed`.
  public func listen(
    on address: SocketAddress, backlog: Int = 1024, sharing: PortSharing = .none,
    mode: Mode = .stream, deadlines: Deadlines = Deadlines(), endpoint: any Endpoint
  ) throws(TransportError) -> Listener {
    guard !isStopping else {
      throw TransportError(.listenFailed, "cannot listen on \(address): the reactor is stopping")
    }
    let user = endpoints.insert(endpoint)
    do {
      let (id, bound) = try core.listen(
        on: address, backlog: backlog, sharing: sharing, frameMaximum: mode.frameMaximum,
        deadlines: deadlines, user: user)
      return Listener(reactor: self, id: id, address: bound)
    } catch {
      endpoints.release(user)
      throw error
    }
  }

  func close(_ listener: Listener) { core.closeListener(listener.id) }

  /// Starts to connect; `endpoint` hears `opened`, or `closed` with the reason.
  public func connect(
    to address: SocketAddress, mode: Mode = .stream, timeout: Duration = .seconds(5),
    deadlines: Deadlines = Deadlines(), endpoint: any Endpoint
  ) -> ConnectionID {
    let user = endpoints.insert(endpoint)
    if !isStopping,
      let connection = core.connect(
        to: address, timeout: timeout, frameMaximum: mode.frameMaximum, deadlines: deadlines,
        user: user)
    {
      return connection
    }
    endpoints.release(user)
    refusedConnects += 1
    let connection = ConnectionID(rawValue: refusedConnects << 32 | UInt64(UInt32.max))
    let reason = isStopping ? CloseReason.local : CloseReason.failed
    deferred.append { endpoint.closed(connection, reason) }
    return connection
  }

  /// Queues bytes by reference; they leave at the end of the turn.
  public func send(_ connection: ConnectionID, _ bytes: Bytes) { core.send(connection, bytes) }

  /// Queues a part of the input that `received` is being shown, without a copy and without an object
  /// for it. Only inside `received`; the range counts from the start of its span.
  ///
  /// The part keeps its whole block, at most `receiveBlockSize`, until it is sent.
  public func send(_ connection: ConnectionID, received range: Range<Int>) {
    core.send(connection, shareReference(range))
  }

  /// Queues a copy of bytes, made next to what else was copied for this connection.
  public func send(_ connection: ConnectionID, copying bytes: RawSpan) {
    core.send(connection, copying: bytes)
  }

  /// Queues a copy of an array's bytes.
  public func send(_ connection: ConnectionID, copying bytes: [UInt8]) {
    core.send(connection, copying: bytes)
  }

  /// Queues a copy of a string's UTF-8.
  public func send(_ connection: ConnectionID, copying text: String) {
    core.send(connection, copying: text)
  }

  /// Queues what `body` writes in place, at most `limit` bytes.
  ///
  /// `body` must not queue anything on the connection itself. It is not called when the connection
  /// is gone.
  public func write(
    _ connection: ConnectionID, atMost limit: Int, _ body: (inout OutputRawSpan) -> Void
  ) {
    core.write(connection, atMost: limit, body)
  }

  /// The number of bytes queued and not yet taken by the kernel.
  public func queuedBytes(_ connection: ConnectionID) -> Int { core.queuedBytes(connection) }

  /// Whether the connection takes input and output.
  public func isOpen(_ connection: ConnectionID) -> Bool { core.isOpen(connection) }

  /// Stops input events until `resumeReading`. What arrives meanwhile is kept, and once the buffers
  /// of the reactor and the system are full, the peer has to wait.
  public func pauseReading(_ connection: ConnectionID) { core.pause(connection) }

  /// Undoes `pauseReading`; unconsumed input is shown again in the next turn.
  public func resumeReading(_ connection: ConnectionID) { core.resume(connection) }

  /// Ends this side's direction once the send queue is out, and goes on receiving: what is queued
  /// after this is dropped, and the peer sees the end of its input.
  ///
  /// The connection closes as `endOfInput` when the peer's end has come, too, and `inputEnded` has
  /// been answered.
  public func finishSending(_ connection: ConnectionID) { core.finishOutput(connection) }

  /// Closes a connection: after the send queue is out, at most `flushTimeout` later, or at once.
  ///
  /// Nothing is shown to the endpoint any more but `closed`, in a later turn, with `reason`.
  public func close(_ connection: ConnectionID, flush: Bool, reason: CloseReason = .local) {
    core.close(connection, flush: flush, reason: reason)
  }

  /// The peer's address; nil when the connection is gone.
  public func peerAddress(_ connection: ConnectionID) -> SocketAddress? { core.peer(connection) }

  /// Keeps a part of the input that `received` is being shown, without a copy. Only inside
  /// `received`; the range counts from the start of its span.
  public func share(_ range: Range<Int>) -> Bytes { Bytes(shareReference(range)) }

  func shareReference(_ range: Range<Int>) -> SliceReference {
    shownFrame?.share(range) ?? core.shareInput(range)
  }

  // MARK: Files

  /// Writes slices one after the other into a file at `offset`, as one vectored write.
  ///
  /// With `durable` the bytes, and what is needed to read them back, are on stable storage when the
  /// completion says so (`RWF_DSYNC`). Operations on a file are not ordered among each other: wait
  /// for one before starting what must come after it. The descriptor must stay open meanwhile.
  public func write(
    _ slices: [Bytes], to file: Int32, at offset: Int64, durable: Bool,
    completion: any FileCompletion, token: UInt64
  ) {
    let user = files.insert(completion, token)
    let result = core.writeFile(file, slices, offset: offset, durable: durable, user: user)
    if result < 0 { fail(user, result) }
  }

  /// Reads up to `byteCount` bytes at `offset` into one block, fewer only at the end of the file.
  ///
  /// The completion hears `completed(_:bytes:)`, or `completed(_:result:)` with an error number;
  /// `-ENOBUFS` when the pool has no block of that size.
  public func read(
    _ byteCount: Int, from file: Int32, at offset: Int64, completion: any FileCompletion,
    token: UInt64
  ) {
    let user = files.insert(completion, token)
    let result = core.readFile(file, byteCount: byteCount, offset: offset, user: user)
    if result < 0 { fail(user, result) }
  }

  /// Makes what was written to a file durable (`fdatasync`); the completion's result is 0.
  public func sync(_ file: Int32, completion: any FileCompletion, token: UInt64) {
    let user = files.insert(completion, token)
    let result = core.syncFile(file, user: user)
    if result < 0 { fail(user, result) }
  }

  private func fail(_ user: UInt64, _ result: Int) {
    deferred.append { [unowned self] in
      let (completion, token) = files.remove(user)
      completion.completed(token, result: result)
    }
  }

  // MARK: Timers

  /// Calls `body` once, in the first turn after `delay`; earlier deadlines first.
  ///
  /// - Complexity: O(log *n*) for *n* pending timers.
  @discardableResult
  public func schedule(after delay: Duration, _ body: @escaping () -> Void) -> Timer {
    schedule(after: delay, body, orDropped: nil)
  }

  /// Calls `dropped` instead of `body` when the reactor ends before the timer does.
  func schedule(
    after delay: Duration, _ body: @escaping () -> Void, orDropped dropped: (() -> Void)?
  ) -> Timer {
    let id = core.addTimer(at: core.now &+ delay.nanosecondsClamped)
    let slot = ConnectionID(rawValue: id).slot
    while timers.count <= slot { timers.append(nil) }
    timers[slot] = (body, dropped)
    return Timer(id: id)
  }

  /// Takes a scheduled call back; does nothing when it was made or taken back already.
  public func cancel(_ timer: Timer) {
    guard core.cancelTimer(timer.id) else { return }
    timers[ConnectionID(rawValue: timer.id).slot] = nil
  }

  private func fire(_ id: UInt64) {
    let slot = ConnectionID(rawValue: id).slot
    guard core.settleTimer(id), let timer = timers[slot] else { return }
    timers[slot] = nil
    timer.fire()
  }
}

/// A listening socket; closed by `close` or with its reactor.
public final class Listener {
  private unowned let reactor: Reactor
  private var isOpen = true
  let id: UInt64
  /// The address it is bound to, with the port that the system chose for 0.
  public let address: SocketAddress

  init(reactor: Reactor, id: UInt64, address: SocketAddress) {
    self.reactor = reactor
    self.id = id
    self.address = address
  }

  /// Stops accepting. Accepted connections stay. On the reactor's thread.
  public func close() {
    guard isOpen else { return }
    isOpen = false
    reactor.close(self)
  }
}

extension Mode {
  /// 0 stands for a stream.
  var frameMaximum: UInt32 {
    switch self {
    case .stream: return 0
    case .frames(let maximumSize):
      precondition((16...1 << 30).contains(maximumSize), "maximumSize must be in 16...1 GiB")
      return UInt32(maximumSize)
    }
  }
}
