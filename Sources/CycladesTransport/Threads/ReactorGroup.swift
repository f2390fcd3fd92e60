public import Logging
import Synchronization

/// Several reactors, each on a thread of its own, sharing nothing.
///
/// One reactor per core is what the transport is built for. A server listens on all of them with
/// `SO_REUSEPORT`, and the kernel spreads connections over them; a connection stays on its reactor.
public final class ReactorGroup: Sendable {
  private let threads: [ReactorThread]
  private let turn = Atomic<Int>(0)

  /// The executors of the reactors.
  public let executors: [ReactorExecutor]

  /// Starts `count` reactors.
  ///
  /// Throws what `ReactorThread.start` throws, and then nothing is left running.
  public init(
    count: Int = 1, name: String = "reactor",
    configuration: ReactorConfiguration = ReactorConfiguration(), logger: Logger
  ) throws {
    precondition(count > 0, "a group has at least one reactor")
    var threads: [ReactorThread] = []
    do {
      for number in 0..<count {
        threads.append(
          try ReactorThread.start(
            name: "\(name)-\(number)", configuration: configuration, logger: logger
          ) { _ in })
      }
    } catch {
      for thread in threads { thread.stop() }
      for thread in threads { thread.join() }
      throw error
    }
    self.threads = threads
    executors = threads.map(\.executor)
  }

  /// The next executor in turn, to spread work over the reactors.
  public func next() -> ReactorExecutor {
    let number = turn.add(1, ordering: .relaxed).oldValue
    return executors[Int(UInt(bitPattern: number) % UInt(executors.count))]
  }

  /// Stops all reactors in an orderly way (see `Reactor.run`) and waits until they have.
  ///
  /// Stop what runs on them before: a server's `run`, a pool.
  public func shutdown() async {
    for thread in threads { thread.stop() }
    for thread in threads { await thread.finished() }
  }

  /// What the reactors did, now or, when they have stopped, at the end.
  public func statistics() async -> [ReactorStatistics] {
    var all: [ReactorStatistics] = []
    for (thread, executor) in zip(threads, executors) {
      let now = try? await executor.withReactor { $0.statistics }
      if let figures = now ?? thread.finalStatistics { all.append(figures) }
    }
    return all
  }

  /// What ended a reactor, when it was not `shutdown`.
  public var failure: (any Error)? { threads.lazy.compactMap(\.failure).first }
}

/// Runs `body` with reactors that are stopped when it returns or throws.
public func withReactors<R: Sendable>(
  count: Int = 1, configuration: ReactorConfiguration = ReactorConfiguration(), logger: Logger,
  _ body: (ReactorGroup) async throws -> R
) async throws -> R {
  let group = try ReactorGroup(count: count, configuration: configuration, logger: logger)
  do {
    let result = try await body(group)
    await group.shutdown()
    return result
  } catch {
    await group.shutdown()
    throw error
  }
}
