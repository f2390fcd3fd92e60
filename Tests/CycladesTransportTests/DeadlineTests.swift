import CycladesTransport
import Glibc
import Testing

extension TransportTests {
  @Suite("deadlines", .serialized)
  struct DeadlineTests {
    private func listen(
      _ deadlines: Deadlines, _ prepare: @escaping @Sendable (Reactor, Recorder) -> Void
    ) -> @Sendable (Reactor) throws -> (SocketAddress, Recorder) {
      { reactor in
        let recorder = Recorder()
        prepare(reactor, recorder)
        let listener = try reactor.listen(on: .loopback(), deadlines: deadlines, endpoint: recorder)
        return (listener.address, recorder)
      }
    }

    @Test("a silent connection is closed, a busy one is not", arguments: backends)
    func idle(io: ReactorConfiguration.IO) async throws {
      let end = try await withReactor(
        .on(io), setUp: listen(Deadlines(idle: .milliseconds(500))) { _, _ in }
      ) { made, _ in
        let silent = try BlockingClient(made.0)
        let busy = try BlockingClient(made.0)
        let start = ContinuousClock.now
        while ContinuousClock.now - start < .milliseconds(1200) {
          try busy.send([1])
          try await Task.sleep(for: .milliseconds(10))
        }
        #expect(made.1.log.value.closed == [.timedOut])
        #expect(silent.seesEnd())
        #expect(await made.1.log.wait { $0.closed.count == 2 })
      }
      #expect(end.idleTimeouts == 2)
    }

    @Test("a request that dribbles in is cut off, whole ones are not", arguments: backends)
    func header(io: ReactorConfiguration.IO) async throws {
      let end = try await withReactor(
        .on(io),
        setUp: listen(Deadlines(header: .milliseconds(500))) { _, recorder in
          recorder.onReceived = { _, bytes in
            Progress(consumed: bytes.firstOffset(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0)
          }
        }
      ) { made, _ in
        let dribbler = try BlockingClient(made.0)
        let honest = try BlockingClient(made.0)
        let start = ContinuousClock.now
        var isCut = false
        while ContinuousClock.now - start < .milliseconds(1200) {
          if !isCut { isCut = (try? dribbler.send([UInt8(ascii: "x")])) == nil }
          try honest.send(Array("ping\n".utf8))
          try await Task.sleep(for: .milliseconds(10))
        }
        #expect(made.1.log.value.closed == [.timedOut])
      }
      #expect(end.headerTimeouts == 1)
    }

    @Test(
      "an announced length, a pause and an idle keep-alive are no dribbling", arguments: backends)
    func headerExceptions(io: ReactorConfiguration.IO) async throws {
      let end = try await withReactor(
        .on(io),
        setUp: listen(Deadlines(header: .milliseconds(100))) { reactor, recorder in
          recorder.onReceived = { connection, bytes in
            switch bytes.byte(at: 0) {
            case 1:  // A large value of which the size is known.
              bytes.byteCount < 1000
                ? Progress(consumed: 0, needs: 1000) : Progress(consumed: bytes.byteCount)
            case 2:
              pauseAndConsume(reactor, connection, 1)
            default:
              Progress(consumed: bytes.byteCount)
            }
          }
        }
      ) { made, _ in
        let announced = try BlockingClient(made.0)
        let paused = try BlockingClient(made.0)
        let done = try BlockingClient(made.0)
        try announced.send([1, 0, 0])
        try paused.send([2, 2, 2])
        try done.send([3])
        try await Task.sleep(for: .milliseconds(400))
        #expect(made.1.log.value.closed == [])
        try announced.send([UInt8](repeating: 1, count: 997))
        #expect(await made.1.log.wait { $0.received == 1002 })
      }
      #expect(end.headerTimeouts == 0)
    }

    @Test("a peer that takes nothing is cut off, a slow one is not", arguments: backends)
    func writeStall(io: ReactorConfiguration.IO) async throws {
      let size = 8 << 20
      var configuration = ReactorConfiguration.on(io)
      // The kernel asks for more when a third of the buffer is free: a small one shows progress.
      configuration.socketSendBufferBytes = 64 << 10
      let end = try await withReactor(
        configuration,
        setUp: listen(Deadlines(writeStall: .seconds(2))) { reactor, recorder in
          recorder.onOpened = { reactor.send($0, copying: pattern(size)) }
        }
      ) { made, _ in
        let deaf = try BlockingClient(made.0, receiveBuffer: 4096)
        let slow = try BlockingClient(made.0)
        var received = 0
        while received < size {
          let part = try slow.receive(128 << 10).count
          guard part > 0 else { break }
          received += part
          if received < 2 << 20 { try await Task.sleep(for: .milliseconds(20)) }
        }
        #expect(received == size)
        #expect(await made.1.log.wait { $0.closed == [.timedOut] })
        #expect(deaf.descriptor >= 0)
      }
      #expect(end.stallTimeouts == 1)
    }

    @Test("timers far and near, moved and taken back by the thousand, fire in order and on time")
    func wheel() async throws {
      let fired = Shared<[(due: UInt64, at: UInt64)]>([])
      _ = try await withReactor { reactor in
        var random = SystemRandomNumberGenerator()
        for i in 0..<6000 {
          let delay = Duration.microseconds(Int.random(in: 0..<900_000, using: &random))
          let due = reactor.now + delay
          let timer = reactor.schedule(after: delay) {
            fired.update { $0.append((due.nanoseconds, reactor.now.nanoseconds)) }
          }
          // The far ones cross levels of the wheel when they are taken back.
          let far = reactor.schedule(after: .seconds(1 << (i % 40))) { fired.set([]) }
          if i % 2 == 0 { reactor.cancel(timer) }
          reactor.cancel(far)
        }
        return 0
      } body: { _, _ in
        #expect(await fired.wait { $0.count == 3000 })
        let dues = fired.value.map(\.due)
        #expect(dues == dues.sorted())
        #expect(fired.value.allSatisfy { $0.at >= $0.due })
      }
    }
  }
}

private func pauseAndConsume(
  _ reactor: Reactor, _ connection: ConnectionID, _ count: Int
) -> Progress {
  reactor.pauseReading(connection)
  return Progress(consumed: count)
}
