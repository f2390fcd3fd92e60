import CycladesTransport
import Logging
import Testing

extension TransportTests {
  @Suite("reactor threads and their mailbox", .serialized)
  struct ThreadTests {
    @Test("mail from many threads arrives complete, in each sender's order")
    func manySenders() async throws {
      let received = Shared<[[Int]]>(Array(repeating: [], count: 4))
      _ = try await withReactor { _ in
      } body: { _, thread in
        await withTaskGroup(of: Void.self) { group in
          for sender in 0..<4 {
            group.addTask {
              for i in 0..<5000 {
                thread.mailbox.post { received.update { $0[sender].append(i) } }
              }
            }
          }
        }
        #expect(await received.wait { $0.allSatisfy { $0.count == 5000 } })
        #expect(received.value == Array(repeating: Array(0..<5000), count: 4))
      }
    }

    @Test("a parked reactor is woken, a busy one is not")
    func waking() async throws {
      let end = try await withReactor { _ in
      } body: { _, thread in
        for i in 0..<20 {
          try await Task.sleep(for: .milliseconds(3))
          #expect(try await onReactor(of: thread) { _ in i } == i)
        }
        let burst = Shared(0)
        thread.mailbox.post {
          // Posted from the reactor itself, hence while it is awake.
          for _ in 0..<1000 { thread.mailbox.post { burst.update { $0 += 1 } } }
        }
        #expect(await burst.wait { $0 == 1000 })
      }
      #expect(end.wakes >= 10 && end.wakes <= 40)
    }

    @Test("a stopped reactor refuses mail")
    func stopped() async throws {
      let thread = try ReactorThread.start(name: "test", logger: Logger(label: "test")) { _ in }
      #expect(thread.finalStatistics == nil)
      thread.stop()
      thread.join()
      await thread.finished()
      #expect(!thread.mailbox.post {})
      thread.stop()
      #expect(thread.finalStatistics?.operations == 0)
    }

    @Test("mail posted before the stop is still delivered")
    func lastMail() async throws {
      let delivered = Shared(0)
      _ = try await withReactor { _ in
      } body: { _, thread in
        thread.mailbox.post { reactor in
          reactor.stop()
          reactor.mailbox.post { delivered.update { $0 += 1 } }
        }
      }
      #expect(delivered.value == 1)
    }

    @Test("what the set-up throws is thrown by start, and nothing is left running")
    func failingSetUp() throws {
      struct Refusal: Error {}
      #expect(throws: Refusal.self) {
        _ = try ReactorThread.start(name: "test", logger: Logger(label: "test")) { reactor in
          _ = try reactor.listen(on: .loopback(), endpoint: Echo(reactor))
          _ = reactor.connect(to: .loopback(port: 1), endpoint: Echo(reactor))
          reactor.schedule(after: .seconds(1)) {}
          throw Refusal()
        }
      }
    }

    @Test("a configuration out of range is refused by name")
    func badConfiguration() {
      var configuration = ReactorConfiguration()
      configuration.receiveBlockSize = 1
      let error = #expect(throws: TransportError.self) {
        try Reactor(configuration, logger: Logger(label: "test"))
      }
      #expect(error?.code == .invalidConfiguration)
      #expect(error?.message.contains("receiveBlockSize") == true)
      configuration = ReactorConfiguration()
      configuration.keepalive = .zero
      let second = #expect(throws: TransportError.self) {
        try Reactor(configuration, logger: Logger(label: "test"))
      }
      #expect(second?.message.contains("keepalive") == true)
    }

    @Test("a connection asked for while stopping is closed, not forgotten")
    func connectWhileStopping() async throws {
      let log = Shared<Shared<Log>?>(nil)
      _ = try await withReactor { reactor in
        let recorder = Recorder()
        log.set(recorder.log)
        reactor.stop()
        _ = reactor.connect(to: .loopback(port: 9), endpoint: recorder)
      } body: { _, _ in
      }
      #expect(log.value?.value.closed == [.local])
    }
  }
}
