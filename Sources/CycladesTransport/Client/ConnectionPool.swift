/// Connections to one server, kept for reuse: an actor that lives on the reactor of its
/// connections.
///
/// ```swift
/// let pool = ConnectionPool(host: "db.example", port: 6379, on: group.next())
/// let pong = try await pool.withConnection { connection in
///   try await connection.write("PING\r\n")
///   return try await connection.nextLine()
/// }
/// ```
///
/// A connection serves one user at a time. It is kept when its user returned and nothing was left
/// unread; the one that was used last is used next, so that a quiet pool shrinks. When all are in
/// use further users wait in order. A connection that cannot be made is tried again, with growing
/// and randomly shortened pauses.
public actor ConnectionPool {
  /// Limits of a pool.
  public struct Configuration: Sendable {
    /// Connections at a time, those in use included. Default 8.
    public var connectionsMax = 8
    /// Users that may wait; more are refused with `.limitExceeded`. Default 1024.
    public var waitersMax = 1024
    /// How long a connection is kept that nobody uses. Default 60 s.
    public var idleTimeout = Duration.seconds(60)
    /// How long one attempt to connect may take. Default 5 s.
    public var connectTimeout = Duration.seconds(5)
    /// Attempts to connect before a user hears of the failure. Default 3.
    public var attempts = 3
    /// The pause after the first failed attempt; it doubles with each. Default 50 ms.
    public var firstPause = Duration.milliseconds(50)
    /// The longest pause. Default 2 s.
    public var longestPause = Duration.seconds(2)

    /// Makes a configuration with the defaults.
    public init() {}
  }

  private enum Server {
    case name(host: String, port: Int)
    case addresses([SocketAddress])
  }

  private enum Grant: Sendable {
    case connection(Channel)
    /// There is room for one more connection.
    case room
    case refused(TransportError)
  }

  /// The executor of the pool and its connections.
  public nonisolated let executor: ReactorExecutor
  private let server: Server
  private let configuration: Configuration

  private var idle: [(channel: Channel, since: Instant)] = []
  private var aliveCount = 0
  private var waiters: [(ticket: UInt64, resumption: Resumption<Grant>)] = []
  private var tickets: UInt64 = 0
  private var isClosed = false
  private var isReaping = false

  /// Makes a pool of connections to a name, which is resolved whenever one is made.
  public init(
    host: String, port: Int, on executor: ReactorExecutor,
    configuration: Configuration = Configuration()
  ) {
    server = .name(host: host, port: port)
    self.executor = executor
    self.configuration = configuration
  }

  /// Makes a pool of connections to the first of `addresses` that answers.
  public init(
    to addresses: [SocketAddress], on executor: ReactorExecutor,
    configuration: Configuration = Configuration()
  ) {
    server = .addresses(addresses)
    self.executor = executor
    self.configuration = configuration
  }

  /// The pool runs on the thread of its reactor.
  public nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe executor.asUnownedSerialExecutor()
  }

  /// The number of connections, idle and in use.
  public var connectionCount: Int { aliveCount }

  /// The number of connections that nobody uses.
  public var idleCount: Int { idle.count }

  /// Lends a connection to `body`; waits for one when all are in use.
  ///
  /// When `body` throws, its connection is closed: what it left unfinished must not meet the next
  /// user. Throws what `body` throws, why no connection could be made, `.limitExceeded` when too
  /// many wait, `.cancelled`, or `.closed` when the pool was shut down.
  public nonisolated(nonsending) func withConnection<R>(
    _ body: (inout Connection) async throws -> R
  ) async throws -> R {
    var connection = Connection(try await take())
    do {
      let result = try await body(&connection)
      let hasRest = connection.hasRest
      await giveBack(connection.detach(), isClean: !hasRest)
      return result
    } catch {
      connection.abort()
      await forget()
      throw error
    }
  }

  /// Closes idle connections now and the others when they come back; users that wait are refused.
  public func shutDown() {
    isClosed = true
    for (channel, _) in idle { discard(channel) }
    idle = []
    for waiter in waiters { waiter.resumption.resume(.refused(Self.closed)) }
    waiters = []
  }

  private static let closed = TransportError(.closed, "the pool was shut down")

  // MARK: Taking

  private func take() async throws -> Channel {
    guard !isClosed else { throw Self.closed }
    if let channel = takeIdle() { return channel }
    if aliveCount < configuration.connectionsMax {
      aliveCount += 1
    } else {
      switch try await waitForGrant() {
      case .connection(let channel): return channel
      case .room: break
      case .refused(let error): throw error
      }
    }
    do {
      return try await connect()
    } catch {
      forget()
      throw error
    }
  }

  private func takeIdle() -> Channel? {
    guard let reactor = executor.reactor else { return nil }
    while let (channel, _) = idle.popLast() {
      if channel.isClean(reactor) { return channel }
      discard(channel)
    }
    return nil
  }

  private func waitForGrant() async throws -> Grant {
    guard waiters.count < configuration.waitersMax else {
      throw TransportError(
        .limitExceeded, "\(waiters.count) users wait for a connection already")
    }
    tickets += 1
    let ticket = tickets
    return await withTaskCancellationHandler {
      await Resumption<Grant>.wait { resumption in
        guard !Task.isCancelled else { return resumption.resume(.refused(.cancelled)) }
        waiters.append((ticket, resumption))
      }
    } onCancel: {
      _ = executor.perform { _ in self.assumeIsolated { $0.cancelWait(ticket) } }
    }
  }

  private func cancelWait(_ ticket: UInt64) {
    guard let index = waiters.firstIndex(where: { $0.ticket == ticket }) else { return }
    waiters.remove(at: index).resumption.resume(.refused(.cancelled))
  }

  private func connect() async throws -> Channel {
    var pause = configuration.firstPause
    for _ in 1..<max(1, configuration.attempts) {
      do {
        return try await connectOnce()
      } catch let error as TransportError where error.isWorthAnotherAttempt {
        // Anything from half of the pause on: clients that lost one server do not return as one.
        try await executor.sleep(for: pause * Double.random(in: 0.5...1))
        pause = min(pause * 2, configuration.longestPause)
      }
    }
    return try await connectOnce()
  }

  private func connectOnce() async throws -> Channel {
    let addresses: [SocketAddress]
    switch server {
    case .addresses(let known): addresses = known
    case .name(let host, let port):
      addresses = try await SocketAddress.resolve(host: host, port: port)
    }
    let connection = try await Connection.connect(
      to: addresses, on: executor, timeout: configuration.connectTimeout)
    return connection.detach()
  }

  // MARK: Giving back

  private func giveBack(_ channel: Channel, isClean: Bool) {
    guard let reactor = executor.reactor, isClean, !isClosed, channel.isClean(reactor) else {
      discard(channel)
      return grantRoom()
    }
    if waiters.isEmpty {
      idle.append((channel, reactor.now))
      reapLater(reactor)
    } else {
      waiters.removeFirst().resumption.resume(.connection(channel))
    }
  }

  /// A connection is gone; whoever waits may make another one.
  private func forget() {
    aliveCount -= 1
    grantRoom()
  }

  private func grantRoom() {
    guard !waiters.isEmpty, aliveCount < configuration.connectionsMax else { return }
    aliveCount += 1
    waiters.removeFirst().resumption.resume(.room)
  }

  private func discard(_ channel: Channel) {
    aliveCount -= 1
    executor.reactor.map { channel.close(flush: true, $0) }
  }

  // MARK: Idling

  private func reapLater(_ reactor: Reactor) {
    guard !isReaping, let first = idle.first else { return }
    isReaping = true
    let age = reactor.now - first.since
    reactor.schedule(after: configuration.idleTimeout - age) { [weak self] in
      self?.assumeIsolated { $0.reap() }
    }
  }

  private func reap() {
    isReaping = false
    guard let reactor = executor.reactor else { return }
    let limit = configuration.idleTimeout
    while let first = idle.first, reactor.now - first.since >= limit {
      discard(idle.removeFirst().channel)
    }
    reapLater(reactor)
  }
}

extension TransportError {
  fileprivate var isWorthAnotherAttempt: Bool {
    [.refused, .unreachable, .timedOut, .reset, .connectFailed].contains(code)
  }
}
