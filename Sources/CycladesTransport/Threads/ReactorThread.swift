internal import CCycladesReactor
public import Logging
import Synchronization

/// A thread with a reactor of its own.
public final class ReactorThread: Sendable {
  private enum Phase {
    case running(waiters: [CheckedContinuation<Void, Never>])
    case ended(failure: (any Error)?, statistics: ReactorStatistics)
  }
  private let phase = Mutex(Phase.running(waiters: []))
  private let ended = Latch()

  /// The thread's name.
  public let name: String
  /// The way onto the reactor.
  public let mailbox: Mailbox
  /// The thread as an executor of tasks and actors.
  public let executor: ReactorExecutor

  private init(name: String, _ reactor: Reactor) {
    self.name = name
    mailbox = reactor.mailbox
    executor = reactor.executor
  }

  /// Starts a named thread, makes a reactor on it, runs `setUp` there, then the reactor.
  ///
  /// Returns when `setUp` is done; throws what the reactor or `setUp` threw, and then nothing is
  /// left running.
  public static func start(
    name: String, configuration: ReactorConfiguration = ReactorConfiguration(), logger: Logger,
    setUp: @escaping @Sendable (Reactor) throws -> Void
  ) throws -> ReactorThread {
    let outcome = SetUpOutcome()
    let isStarted = startThread(name: name) {
      do {
        let reactor = try Reactor(configuration, logger: logger)
        let thread = ReactorThread(name: name, reactor)
        do { try setUp(reactor) } catch {
          reactor.release()
          throw error
        }
        outcome.set(.success(thread))
        thread.run(reactor)
      } catch {
        outcome.set(.failure(error))
      }
    }
    guard isStarted else {
      throw TransportError(.threadFailed, "cannot start the thread \(name)")
    }
    return try outcome.wait()
  }

  private func run(_ reactor: Reactor) {
    var failure: (any Error)?
    // Where threads outnumber processors, a turn then serves more connections: measured as 10 to 20 %
    // less processor time for three replicas and their clients on two cores.
    cyc_thread_gather()
    do {
      try reactor.run()
    } catch {
      reactor.logger.error("reactor failed", metadata: ["thread": "\(name)", "error": "\(error)"])
      failure = error
    }
    let waiters = phase.withLock { phase in
      guard case .running(let waiters) = phase else { return [CheckedContinuation<Void, Never>]() }
      phase = .ended(failure: failure, statistics: reactor.statistics)
      return waiters
    }
    ended.open()
    for waiter in waiters { waiter.resume() }
  }

  /// Asks the reactor to stop in an orderly way; see `Reactor.run`. Does not wait.
  public func stop() { mailbox.post { $0.stop() } }

  /// Blocks until the reactor has stopped.
  public func join() { ended.wait() }

  /// Waits until the reactor has stopped.
  public func finished() async {
    await withCheckedContinuation { waiter in
      let isOver = phase.withLock { phase in
        guard case .running(let waiters) = phase else { return true }
        phase = .running(waiters: waiters + [waiter])
        return false
      }
      if isOver { waiter.resume() }
    }
  }

  /// What ended the reactor, when it was not `stop`.
  public var failure: (any Error)? {
    phase.withLock { phase in
      guard case .ended(let failure, _) = phase else { return nil }
      return failure
    }
  }

  /// What the reactor did, once it has stopped; its gauges are zero when nothing leaked.
  public var finalStatistics: ReactorStatistics? {
    phase.withLock { phase in
      guard case .ended(_, let statistics) = phase else { return nil }
      return statistics
    }
  }
}

/// Carries the outcome of the set-up from the new thread to the one that waits for it.
private final class SetUpOutcome: Sendable {
  private let outcome = Mutex<Result<ReactorThread, any Error>?>(nil)
  private let isKnown = Latch()

  func set(_ result: Result<ReactorThread, any Error>) {
    outcome.withLock { $0 = result }
    isKnown.open()
  }

  func wait() throws -> ReactorThread {
    isKnown.wait()
    return try outcome.withLock { $0! }.get()
  }
}
