/// Connects to the first of several addresses that answers: RFC 8305, "Happy Eyeballs".
///
/// One attempt starts every 250 ms, and the next one at once when one fails; the first to connect
/// wins, and the others are closed. All of it happens on one reactor, as callbacks.
///
///     addresses   a ----------------- refused
///                 b       ---------------- connected: the winner
///                 c            (starts when a is refused) ---- closed
///
/// Unchecked: touched on the reactor's thread only.
final class ConnectRace: @unchecked Sendable {
  /// RFC 8305, section 8: the recommended delay between attempts.
  private static let stagger = Duration.milliseconds(250)

  private let reactor: Reactor
  private let mode: Mode
  private let deadline: Instant
  private var waiting: [SocketAddress]
  private var attempts: [ConnectionID: SocketAddress] = [:]
  private var failure: TransportError?
  private var resumption: Resumption<Outcome>?
  private var timer: Timer?
  /// Until the race is over: it holds the race in turn, and the winner's connection holds it.
  private var endpoint: TaskEndpoint?

  enum Outcome: Sendable {
    case connected(Channel)
    case failed(TransportError)
  }

  init(
    _ addresses: [SocketAddress], _ reactor: Reactor, mode: Mode, timeout: Duration,
    _ resumption: Resumption<Outcome>
  ) {
    waiting = addresses
    self.reactor = reactor
    self.mode = mode
    deadline = reactor.now + timeout
    self.resumption = resumption
    endpoint = TaskEndpoint(
      on: reactor, opened: { self.opened($0) }, failed: { self.failed($0, $1) })
  }

  func start() { attempt() }

  /// Gives up; nothing is left behind.
  func cancel() { end(.failed(.cancelled)) }

  private func attempt() {
    if let timer { reactor.cancel(timer) }
    timer = nil
    guard resumption != nil, let endpoint, !waiting.isEmpty else { return settle() }
    let address = waiting.removeFirst()
    let connection = reactor.connect(
      to: address, mode: mode, timeout: deadline - reactor.now, endpoint: endpoint)
    attempts[connection] = address
    if !waiting.isEmpty { timer = reactor.schedule(after: Self.stagger) { self.attempt() } }
  }

  private func opened(_ channel: Channel) {
    attempts[channel.connection] = nil
    guard resumption != nil else { return channel.close(flush: false, reactor) }
    end(.connected(channel))
  }

  private func failed(_ connection: ConnectionID, _ reason: CloseReason) {
    guard let address = attempts.removeValue(forKey: connection), resumption != nil else { return }
    failure = TransportError(reason, peer: address, connecting: true)
    attempt()
  }

  /// Ends in failure when nothing is left to wait for.
  private func settle() {
    guard attempts.isEmpty else { return }
    end(.failed(failure ?? TransportError(.addressUnresolved, "there is no address to connect to")))
  }

  private func end(_ outcome: Outcome) {
    guard let resumption else { return }
    self.resumption = nil
    endpoint = nil
    if let timer { reactor.cancel(timer) }
    timer = nil
    for connection in attempts.keys { reactor.close(connection, flush: false) }
    resumption.resume(outcome)
  }
}

extension Connection {
  /// Connects to the first of `addresses` that answers; they race as RFC 8305 has it.
  ///
  /// Throws `.refused`, `.unreachable`, `.timedOut` and so on, with the address and the error
  /// number of the attempt that failed last; `.cancelled` when the task is cancelled meanwhile.
  public nonisolated(nonsending) static func connect(
    to addresses: [SocketAddress], on executor: ReactorExecutor, mode: Mode = .stream,
    timeout: Duration = .seconds(5)
  ) async throws(TransportError) -> Connection {
    let race = RaceHolder()
    let outcome = await withTaskCancellationHandler {
      await Resumption<ConnectRace.Outcome>.wait { resumption in
        let isPosted = executor.perform { reactor in
          race.start(
            ConnectRace(addresses, reactor, mode: mode, timeout: timeout, resumption))
        }
        if !isPosted { resumption.resume(.failed(.reactorStopped)) }
      }
    } onCancel: {
      _ = executor.perform { _ in race.cancel() }
    }
    switch outcome {
    case .connected(let channel): return Connection(channel)
    case .failed(let error): throw error
    }
  }

  /// Resolves a name and connects to the first of its addresses that answers; see above.
  public nonisolated(nonsending) static func connect(
    host: String, port: Int, on executor: ReactorExecutor, mode: Mode = .stream,
    timeout: Duration = .seconds(5)
  ) async throws -> Connection {
    let addresses = try await SocketAddress.resolve(host: host, port: port)
    return try await connect(to: addresses, on: executor, mode: mode, timeout: timeout)
  }
}

/// Lets a cancellation find a race that may not have begun. Unchecked: on the reactor's thread
/// only.
private final class RaceHolder: @unchecked Sendable {
  private var race: ConnectRace?
  private var isCancelled = false

  func start(_ race: ConnectRace) {
    self.race = race
    isCancelled ? race.cancel() : race.start()
  }

  func cancel() {
    isCancelled = true
    race?.cancel()
  }
}
