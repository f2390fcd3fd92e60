public import Logging
import Synchronization

/// Listens on an address and gives every connection a task of its own.
///
/// ```swift
/// let server = try await ConnectionServer.bind(to: address, on: group, logger: logger)
/// try await server.run { connection in
///   while let bytes = try await connection.next() { try await connection.write(bytes) }
/// }
/// ```
///
/// Tasks run on the reactor of their connection. What a handler returns from is closed in an
/// orderly way; what it throws is logged at debug level and aborts its connection, and no other.
///
/// Ending: `shutDown` (or a graceful shutdown of the service) stops accepting, and `next` of every
/// connection returns `nil` once what has arrived is read. Handlers have `drainTimeout` to return;
/// then their tasks are cancelled and their connections aborted. Cancelling the task of `run`
/// aborts at once.
public final class ConnectionServer: Sendable {
  /// Serves one connection, on its reactor.
  public typealias Handler = @Sendable (inout Connection) async throws -> Void

  private enum Phase {
    case bound, running, draining, over
  }

  /// The address it listens on, with the port that the system chose for 0.
  public let address: SocketAddress
  private let acceptors: [Acceptor]
  private let drainTimeout: Duration
  private let logger: Logger
  private let phase = Mutex(Phase.bound)

  private init(
    _ acceptors: [Acceptor], _ address: SocketAddress, _ drainTimeout: Duration, _ logger: Logger
  ) {
    self.acceptors = acceptors
    self.address = address
    self.drainTimeout = drainTimeout
    self.logger = logger
  }

  /// Listens on every reactor of the group, on a Unix socket, which cannot be shared, on the first
  /// one alone. Connections wait in the backlog until `run`.
  ///
  /// Throws `.listenFailed` with the address when it is in use, not permitted or not of this
  /// machine.
  public static func bind(
    to address: SocketAddress, on group: ReactorGroup, backlog: Int = 1024, mode: Mode = .stream,
    drainTimeout: Duration = .seconds(10), logger: Logger
  ) async throws -> ConnectionServer {
    var acceptors: [Acceptor] = []
    var bound = address
    do {
      let count = address.isLocal ? 1 : group.executors.count
      for (number, executor) in group.executors.prefix(count).enumerated() {
        let sharing = count == 1 ? PortSharing.none : number == 0 ? .first : .joined
        let acceptor = Acceptor(executor)
        let place = bound
        bound = try await executor.withReactor { reactor in
          try acceptor.listen(on: place, reactor, backlog: backlog, sharing: sharing, mode: mode)
        }
        acceptors.append(acceptor)
      }
    } catch {
      for acceptor in acceptors { acceptor.stop() }
      throw error
    }
    return ConnectionServer(acceptors, bound, drainTimeout, logger)
  }

  deinit { for acceptor in acceptors { acceptor.stop() } }

  /// Accepts and serves until `shutDown`, or until the calling task is cancelled. Runs once.
  public func run(_ handler: @escaping Handler) async throws {
    let isFirst = phase.withLock { phase in
      guard phase == .bound else { return phase == .draining }
      phase = .running
      return true
    }
    precondition(isFirst, "a server runs once")
    await withTaskCancellationHandler {
      await withDiscardingTaskGroup { group in
        for acceptor in acceptors {
          group.addTask(executorPreference: acceptor.executor) { [logger] in
            await acceptor.serve(handler, logger)
          }
        }
      }
    } onCancel: {
      for acceptor in acceptors { acceptor.abort() }
    }
    phase.withLock { $0 = .over }
  }

  /// Ends `run` in an orderly way; see above. Does not wait, and further calls do nothing.
  public func shutDown() {
    let isFirst = phase.withLock { phase in
      guard phase == .bound || phase == .running else { return false }
      phase = .draining
      return true
    }
    guard isFirst else { return }
    for acceptor in acceptors { acceptor.drain(within: drainTimeout) }
  }
}

/// A server's share of one reactor. Unchecked: but for the executor, touched on its thread only.
private final class Acceptor: @unchecked Sendable {
  let executor: ReactorExecutor
  private var listener: Listener?
  /// Owned by the reactor as long as there is something to report, and owns this object in turn.
  private weak var endpoint: TaskEndpoint?
  private var accepted: [Channel] = []
  private var waiting: Resumption<Channel?>?
  private var isOver = false
  private var deadline: Timer?

  init(_ executor: ReactorExecutor) { self.executor = executor }

  func listen(
    on address: SocketAddress, _ reactor: Reactor, backlog: Int, sharing: PortSharing, mode: Mode
  ) throws -> SocketAddress {
    let endpoint = TaskEndpoint(on: reactor) { self.opened($0, reactor) }
    let listener = try reactor.listen(
      on: address, backlog: backlog, sharing: sharing, mode: mode, endpoint: endpoint)
    self.listener = listener
    self.endpoint = endpoint
    return listener.address
  }

  private func opened(_ channel: Channel, _ reactor: Reactor) {
    if isOver {
      channel.close(flush: true, reactor)
    } else if let waiter = waiting {
      waiting = nil
      waiter.resume(channel)
    } else {
      accepted.append(channel)
    }
  }

  /// Runs a task for every connection until the end; on the executor.
  func serve(_ handler: @escaping ConnectionServer.Handler, _ logger: Logger) async {
    await withDiscardingTaskGroup { group in
      while let channel = await next() {
        group.addTask(executorPreference: self.executor) {
          await serveOne(channel, handler, logger)
        }
      }
    }
    _ = executor.perform { reactor in
      if let deadline = self.deadline { reactor.cancel(deadline) }
    }
  }

  private func next() async -> Channel? {
    await Resumption.wait { resumption in
      let isPosted = executor.perform { _ in
        if !self.accepted.isEmpty {
          resumption.resume(self.accepted.removeFirst())
        } else if self.isOver {
          resumption.resume(nil)
        } else {
          self.waiting = resumption
        }
      }
      if !isPosted { resumption.resume(nil) }
    }
  }

  func stop() {
    _ = executor.perform { reactor in
      self.stopAccepting()
      for channel in self.accepted { channel.close(flush: true, reactor) }
      self.accepted = []
    }
  }

  private func stopAccepting() {
    isOver = true
    listener?.close()
    listener = nil
    waiting?.resume(nil)
    waiting = nil
  }

  func drain(within limit: Duration) {
    _ = executor.perform { reactor in
      self.stopAccepting()
      self.endpoint?.endInput()
      self.deadline = reactor.schedule(after: limit) { self.endpoint?.abort() }
    }
  }

  func abort() {
    _ = executor.perform { _ in
      self.stopAccepting()
      self.endpoint?.abort()
    }
  }
}

private func serveOne(
  _ channel: Channel, _ handler: ConnectionServer.Handler, _ logger: Logger
) async {
  var connection = Connection(channel)
  do {
    try await handler(&connection)
    await connection.close()
  } catch {
    logger.debug(
      "a connection's handler failed",
      metadata: [
        "peer": "\(channel.place)", "error": "\(error)",
      ])
    connection.abort()
  }
}
