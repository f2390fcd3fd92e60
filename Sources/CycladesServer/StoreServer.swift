import CycladesPaxos
public import CycladesTransport
public import Logging
import Synchronization

#if ServiceLifecycle
  import ServiceLifecycle
#endif

/// Where a server's client listeners are bound.
public struct StoreServerAddresses: Sendable, Hashable {
  /// For cluster clients, which follow MOVED.
  public var cluster: SocketAddress
  /// For any client: commands are forwarded to where they belong.
  public var plain: SocketAddress
}

/// One node of a replicated key-value store that speaks the Redis protocol, for embedding.
///
/// Start it in a task of your own, or, with the package trait `ServiceLifecycle`, hand it to a
/// service group, whose shutdown drains it:
///
/// ```swift
/// let server = StoreServer(configuration, logger: logger)
/// try await ServiceGroup(
///   services: [server], gracefulShutdownSignals: [.sigterm], logger: logger
/// ).run()
/// ```
///
/// Each key is linearizable: a client of any node sees the latest acknowledged write, and what is
/// acknowledged is durable on a majority of the key's replicas. Commands over keys of several shards
/// (MGET, MSET, DEL, UNLINK, EXISTS, TOUCH, DBSIZE, FLUSHALL) are that for every key, but not one
/// atomic step.
///
/// A server owns one thread while it runs, on which everything happens. It runs once.
public final class StoreServer: Sendable {
  private enum Phase {
    case idle
    case serving(ReactorThread, StoreServerAddresses)
    case stopped
  }

  private let configuration: StoreServerConfiguration
  private let logger: Logger
  private let phase = Mutex(Phase.idle)
  private let node = Confined<StoreNode>()

  /// Makes a server; nothing is opened before `start` or `run`.
  public init(_ configuration: StoreServerConfiguration, logger: Logger) {
    self.configuration = configuration
    self.logger = logger
  }

  /// Where the client listeners are bound; `nil` unless the server is started.
  public var addresses: StoreServerAddresses? {
    phase.withLock { phase in
      guard case .serving(_, let addresses) = phase else { return nil }
      return addresses
    }
  }

  /// Opens the listeners and the data folder, recovers what is in it, and begins to serve.
  ///
  /// Blocks the calling thread while the log is read. Clients may connect as soon as it returns; their
  /// commands wait until the shards have leaders.
  ///
  /// - Throws: `ServerError` with code `badConfiguration` or `startFailed`; nothing is left running.
  public func start() throws(ServerError) {
    try configuration.validate()
    // The lock is held while starting, so that a stop meanwhile waits and finds the thread.
    let failure: ServerError? = phase.withLock { phase in
      guard case .idle = phase else {
        return ServerError(.badConfiguration, "a server starts once; make another")
      }
      phase = .stopped
      do {
        let bound = Mutex<StoreServerAddresses?>(nil)
        let thread = try launch { addresses in bound.withLock { $0 = addresses } }
        phase = .serving(thread, bound.withLock { $0! })
        return nil
      } catch {
        return error as? ServerError
          ?? ServerError(.startFailed, "node \(configuration.node.rawValue) cannot start", error)
      }
    }
    if let failure { throw failure }
  }

  private func launch(
    _ report: @escaping @Sendable (StoreServerAddresses) -> Void
  ) throws -> ReactorThread {
    let (configuration, logger, node) = (configuration, logger, node)
    return try ReactorThread.start(
      name: "cyclades-\(configuration.node.rawValue)",
      configuration: configuration.reactorForValues, logger: logger
    ) { reactor in
      let store = try StoreNode(configuration, reactor: reactor, logger: logger) {
        try configuration.makeHost($0, $1, reactor: reactor, logger: logger)
      }
      do {
        try store.start()
      } catch {
        store.release()
        throw error
      }
      node.value = store
      report(store.addresses)
    }
  }

  /// Serves until `stop` is called or the task is cancelled; starts first when that is still to do.
  ///
  /// - Throws: what `start` throws, or `ServerError` with code `serving` when the reactor failed.
  public func run() async throws(ServerError) {
    if phase.withLock({ if case .idle = $0 { true } else { false } }) { try start() }
    guard let thread else { return }
    await withTaskCancellationHandler {
      await finished(thread)
    } onCancel: {
      beginStop(thread)
    }
    phase.withLock { $0 = .stopped }
    let failure: (any Error)? = thread.failure ?? node.value?.failure
    node.value?.release()
    node.value = nil
    if let failure {
      throw ServerError(.serving, "node \(configuration.node.rawValue) stopped", failure)
    }
  }

  /// Waits until the thread has ended; a graceful shutdown of the service group ends it.
  private func finished(_ thread: ReactorThread) async {
    #if ServiceLifecycle
      await withGracefulShutdownHandler {
        await thread.finished()
      } onGracefulShutdown: {
        self.beginStop(thread)
      }
    #else
      await thread.finished()
    #endif
  }

  /// Accepts no more clients, answers what is owed for at most `drainTimeout`, then stops.
  ///
  /// Returns when everything is released. Safe to call from anywhere, and more than once; a server
  /// that has not started never will.
  public func stop() async {
    let isIdle = phase.withLock { phase in
      guard case .idle = phase else { return false }
      phase = .stopped
      return true
    }
    guard !isIdle, let thread else { return }
    beginStop(thread)
    await thread.finished()
    phase.withLock { $0 = .stopped }
  }

  private var thread: ReactorThread? {
    phase.withLock { phase in
      guard case .serving(let thread, _) = phase else { return nil }
      return thread
    }
  }

  private func beginStop(_ thread: ReactorThread) {
    let node = node
    thread.mailbox.post { reactor in
      guard let store = node.value else { return }
      node.value = nil
      // The closure keeps the node until the last client is gone.
      store.drain { [store] in
        withExtendedLifetime(store) { reactor.stop() }
      }
    }
  }
}

/// A reference that crosses threads, but is used on the reactor's thread alone while that runs.
private final class Confined<Value: AnyObject>: @unchecked Sendable {
  var value: Value?
}
