import CycladesTransport
import Logging
import Testing

extension TransportTests {
  @Suite("the reactor as executor")
  struct ExecutorTests {
    @Test("a task that prefers it runs on the reactor's thread, and so do its children")
    func preference() async throws {
      try await withTidyReactors { group in
        let executor = group.next()
        #expect(!executor.isCurrent)
        let places = await Task(executorPreference: executor) {
          async let child = executor.isCurrent
          await Task.yield()
          return [executor.isCurrent, await child]
        }.value
        #expect(places == [true, true])
      }
    }

    @Test("an actor lives on it, called from tasks on it and elsewhere")
    func isolation() async throws {
      try await withTidyReactors { group in
        let counter = Counter(executor: group.next())
        await withDiscardingTaskGroup { tasks in
          for number in 0..<200 {
            if number % 2 == 0 {
              tasks.addTask { #expect(await counter.increment()) }
            } else {
              tasks.addTask(executorPreference: counter.executor) {
                #expect(await counter.increment())
              }
            }
          }
        }
        #expect(await counter.value == 200)
      }
    }

    @Test("sleep waits on the reactor's clock, on the reactor's thread")
    func sleep() async throws {
      try await withTidyReactors { group in
        let executor = group.next()
        let (took, stayed) = try await Task(executorPreference: executor) {
          let start = Instant.current()
          try await executor.sleep(for: .milliseconds(30))
          return (Instant.current() - start, executor.isCurrent)
        }.value
        #expect(took >= .milliseconds(29) && took < .seconds(5))
        #expect(stayed)
        try await executor.sleep(for: .milliseconds(1))
      }
    }

    @Test("a sleep ends when its task is cancelled, before or during it")
    func cancelledSleep() async throws {
      try await withTidyReactors { group in
        let executor = group.next()
        for delay in [0, 20] {
          let task = Task { try await executor.sleep(for: .seconds(60)) }
          try await Task.sleep(for: .milliseconds(delay))
          task.cancel()
          await #expect(throws: CancellationError.self) { try await task.value }
        }
      }
    }

    @Test("a task whose reactor stops under it still ends")
    func afterlife() async throws {
      let group = try ReactorGroup(logger: Logger(label: "test"))
      let executor = group.next()
      let isGo = Shared(false)
      let counter = Counter(executor: executor)
      let task = Task(executorPreference: executor) {
        while !isGo.value { try? await Task.sleep(for: .milliseconds(1)) }
        for _ in 0..<100 { _ = await counter.increment() }
        return await counter.value
      }
      try await Task.sleep(for: .milliseconds(20))
      await group.shutdown()
      isGo.set(true)
      #expect(await task.value == 100)
      #expect(!executor.isCurrent)
    }

    @Test("withReactor runs on the reactor and passes on what is returned and thrown")
    func withReactor() async throws {
      struct Refusal: Error {}
      try await withTidyReactors { group in
        let executor = group.next()
        let isThere = try await executor.withReactor { _ in executor.isCurrent }
        #expect(isThere)
        await #expect(throws: Refusal.self) {
          try await executor.withReactor { _ in throw Refusal() }
        }
      }
    }

    @Test("tasks that never wait for input do not keep the reactor from its timers and sockets")
    func fairness() async throws {
      try await withTidyReactors { group in
        let executor = group.next()
        let isOver = Shared(false)
        let busy = Task(executorPreference: executor) {
          while !isOver.value { await Task.yield() }
        }
        try await withServer(on: group, echo) { address, _ in
          let client = try BlockingClient(address)
          try client.send([1, 2])
          #expect(try await blocking { try client.receive(2) } == [1, 2])
        }
        try await executor.sleep(for: .milliseconds(5))
        isOver.set(true)
        await busy.value
      }
    }
  }
}

/// An actor on a reactor.
private actor Counter {
  nonisolated let executor: ReactorExecutor
  nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe executor.asUnownedSerialExecutor()
  }
  private(set) var value = 0

  init(executor: ReactorExecutor) { self.executor = executor }

  /// Whether it ran on the reactor's thread, or where that has ended.
  func increment() -> Bool {
    value += 1
    return executor.isCurrent
  }
}
