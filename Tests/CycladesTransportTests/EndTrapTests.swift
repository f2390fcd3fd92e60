import CCycladesTesting
import CycladesTransport
import Glibc
import Logging
import Testing

extension TransportTests {
  /// Where sending, ending and tearing down go wrong. Each on every backend.
  @Suite("traps of sending and ending", .serialized)
  struct EndTrapTests {
    private static func recording(
      _ prepare: @escaping @Sendable (Reactor, Recorder) -> Void = { _, _ in }
    ) -> @Sendable (Reactor) throws -> (SocketAddress, Recorder) {
      { reactor in
        let recorder = Recorder()
        prepare(reactor, recorder)
        return (try reactor.listen(on: .loopback(), endpoint: recorder).address, recorder)
      }
    }

    @Test("sends that a tiny buffer cuts short go on where they stopped", arguments: backends)
    func shortSends(io: ReactorConfiguration.IO) async throws {
      var configuration = ReactorConfiguration.on(io)
      configuration.socketSendBufferBytes = 1
      let pieces = (0..<400).map { pattern(1 + $0 * 977 % 9000, seed: UInt64($0 + 1)) }
      let end = try await withReactor(
        configuration,
        setUp: Self.recording { reactor, recorder in
          recorder.onOpened = { connection in
            for (i, piece) in pieces.enumerated() {
              if i.isMultiple(of: 2), let bytes = try? Bytes(copying: piece, in: reactor.pool) {
                reactor.send(connection, bytes)
              } else {
                reactor.send(connection, copying: piece)
              }
            }
            reactor.close(connection, flush: true)
          }
        }
      ) { made, _ in
        let expected = pieces.flatMap { $0 }
        let client = try BlockingClient(made.0, receiveBuffer: 4096)
        #expect(Blob(try client.receive(expected.count + 1)) == Blob(expected))
      }
      #expect(end.shortSends > 0)
    }

    @Test(
      "a slow consumer is held back, then cut off, and the reason is counted", arguments: backends)
    func slowConsumer(io: ReactorConfiguration.IO) async throws {
      var configuration = ReactorConfiguration.on(io)
      configuration.sendHighWatermark = 100_000
      configuration.sendLowWatermark = 50_000
      configuration.sendCap = 8 << 20
      let end = try await withReactor(
        configuration,
        setUp: Self.recording { reactor, recorder in
          recorder.onOpened = { connection in
            func push() {
              guard reactor.isOpen(connection) else { return }
              reactor.send(connection, copying: pattern(1 << 20))
              reactor.schedule(after: .zero) { push() }
            }
            push()
          }
        }
      ) { made, _ in
        let client = try BlockingClient(made.0, receiveBuffer: 4096)
        #expect(await made.1.log.wait { $0.closed == [.sendOverflow] })
        #expect(client.descriptor >= 0)
      }
      #expect(end.sendOverflows == 1 && end.heldBack >= 1)
    }

    @Test("the peer's end first: what is owed is still sent", arguments: backends)
    func peerEndsFirst(io: ReactorConfiguration.IO) async throws {
      _ = try await withReactor(.on(io)) { reactor in
        try reactor.listen(on: .loopback(), endpoint: Echo(reactor)).address
      } body: { address, _ in
        let client = try BlockingClient(address)
        let bytes = pattern(100_000)
        async let back = Task.detached { try client.receive(bytes.count + 1) }.value
        try client.send(bytes)
        client.finishSending()
        #expect(Blob(try await back) == Blob(bytes))
      }
    }

    @Test("our end first: what the peer still sends is received", arguments: backends)
    func ourEndFirst(io: ReactorConfiguration.IO) async throws {
      _ = try await withReactor(
        .on(io),
        setUp: Self.recording { reactor, recorder in
          recorder.onOpened = { connection in
            reactor.send(connection, copying: pattern(300_000))
            reactor.finishSending(connection)
            reactor.send(connection, copying: "too late")
          }
          recorder.end = .keepSending
        }
      ) { made, _ in
        let client = try BlockingClient(made.0)
        #expect(Blob(try client.receive(400_000)) == Blob(pattern(300_000)))
        let bytes = pattern(200_000, seed: 2)
        try client.send(bytes)
        #expect(await made.1.log.wait { $0.received == bytes.count })
        #expect(made.1.log.value.closed == [])
        client.finishSending()
        #expect(await made.1.log.wait { $0.closed == [.endOfInput] })
        #expect(Blob(made.1.log.value.bytes) == Blob(bytes))
        #expect(made.1.log.value.inputEnds == 1)
      }
    }

    @Test("both ends at once", arguments: backends)
    func bothEnd(io: ReactorConfiguration.IO) async throws {
      _ = try await withReactor(
        .on(io),
        setUp: Self.recording { reactor, recorder in
          recorder.end = .keepSending
          recorder.onReceived = { connection, bytes in
            reactor.finishSending(connection)
            return Progress(consumed: bytes.byteCount)
          }
        }
      ) { made, _ in
        for _ in 0..<100 {
          let client = try BlockingClient(made.0)
          try client.send([1])
          client.finishSending()
          #expect(client.seesEnd())
        }
        #expect(await made.1.log.wait { $0.closed.count == 100 })
        #expect(made.1.log.value.closed.allSatisfy { $0 == .endOfInput })
      }
    }

    @Test("a reset is one, also with output on its way", arguments: backends)
    func reset(io: ReactorConfiguration.IO) async throws {
      let end = try await withReactor(
        .on(io),
        setUp: Self.recording { reactor, recorder in
          recorder.onReceived = { connection, bytes in
            reactor.send(connection, copying: pattern(4 << 20))
            return Progress(consumed: bytes.byteCount)
          }
        }
      ) { made, _ in
        for _ in 0..<20 {
          let client = try BlockingClient(made.0)
          try client.send([1])
          _ = try client.receive(1000)
          client.resetOnClose()
        }
        #expect(await made.1.log.wait { $0.closed.count == 20 })
        #expect(made.1.log.value.closed.allSatisfy { $0 == .reset })
      }
      #expect(end.resets >= 20)
    }

    @Test("connects that are taken back at once leave nothing behind", arguments: backends)
    func cancelledConnects(io: ReactorConfiguration.IO) async throws {
      let deaf = try DeafListener()
      let end = try await withReactor(.on(io)) { reactor in
        let echo = try reactor.listen(on: .loopback(), endpoint: Echo(reactor)).address
        let recorder = Recorder()
        for i in 0..<200 {
          let target = i.isMultiple(of: 2) ? echo : deaf.address
          let connection = reactor.connect(to: target, endpoint: recorder)
          switch i % 3 {
          case 0: reactor.close(connection, flush: false)
          case 1: reactor.schedule(after: .zero) { reactor.close(connection, flush: false) }
          default:
            reactor.schedule(after: .milliseconds(2)) { reactor.close(connection, flush: false) }
          }
        }
        return recorder
      } body: { recorder, _ in
        #expect(await recorder.log.wait { $0.closed.count == 200 })
        #expect(recorder.log.value.closed.allSatisfy { $0 == .local })
        deaf.close()
      }
      #expect(end.connects == 200)
    }

    @Test("a reactor that stops under fire gives everything back", arguments: backends)
    func stopUnderFire(io: ReactorConfiguration.IO) async throws {
      var configuration = ReactorConfiguration.on(io)
      configuration.flushTimeout = .milliseconds(20)
      for _ in 0..<15 {
        let sender = Shared<Task<Void, Never>?>(nil)
        _ = try await withReactor(configuration) { reactor in
          try reactor.listen(on: .loopback(), endpoint: Echo(reactor)).address
        } body: { address, _ in
          let clients = try (0..<4).map { _ in try BlockingClient(address) }
          let task = Task.detached {
            // Nobody reads the echo, so that queues are full when the end comes.
            while clients.allSatisfy({ (try? $0.send(pattern(50_000))) != nil }) {}
          }
          sender.set(task)
          try await Task.sleep(for: .milliseconds(5))
        }
        await sender.value?.value
      }
    }

    @Test("more operations at once than the kernel's queues hold all end", arguments: backends)
    func manyOperations(io: ReactorConfiguration.IO) async throws {
      final class Counter: FileCompletion {
        let results = Shared(0)
        func completed(_ token: UInt64, result: Int) { results.update { $0 += result } }
      }
      let file = ScratchFile()
      let descriptor = file.descriptor
      _ = try await withReactor(.on(io)) { reactor in
        let counter = Counter()
        let bytes = try Bytes(copying: [1], in: reactor.pool)
        for i in 0..<12_000 as Range<Int64> {
          reactor.write(
            [bytes], to: descriptor, at: i, durable: false, completion: counter, token: 0)
        }
        return counter.results
      } body: { results, _ in
        #expect(await results.wait { $0 == 12_000 })
        #expect(contents(of: descriptor).count == 12_000)
      }
    }

    @Test("a reactor may be made on one thread and run on another", arguments: backends)
    func otherThread(io: ReactorConfiguration.IO) async throws {
      struct Box: @unchecked Sendable { let reactor: Reactor }
      let box = Box(reactor: try Reactor(.on(io), logger: Logger(label: "test")))
      let address = try box.reactor.listen(on: .loopback(), endpoint: Echo(box.reactor)).address
      let mailbox = box.reactor.mailbox
      let run = Task.detached { try box.reactor.run() }
      do {
        let client = try BlockingClient(address)
        try client.send([1, 2, 3])
        #expect(try client.receive(3) == [1, 2, 3])
      }
      mailbox.post { $0.stop() }
      try await run.value
      let end = box.reactor.statistics
      #expect([end.connections, end.listeners, end.operations, end.blocks] == [0, 0, 0, 0])
    }

    @Test("no descriptor of a reactor is inherited by a program it starts")
    func inheritance() async throws {
      await #expect(processExitsWith: .success) {
        for io in backends {
          let known = openDescriptors()
          _ = try await withReactor(.on(io)) { reactor in
            let echo = try reactor.listen(on: .loopback(), endpoint: Echo(reactor)).address
            let file = ScratchFile()
            reactor.sync(file.descriptor, completion: Forgetful(), token: 0)
            return (echo, file)
          } body: { made, _ in
            let client = try BlockingClient(made.0)
            try client.send([1])
            try #require(try client.receive(1) == [1])
            let inherited = openDescriptors().subtracting(known).filter {
              $0 != client.descriptor && isInherited($0)
            }
            try #require(inherited.isEmpty, "\(inherited)")
          }
        }
      }
    }
  }
}

private final class Forgetful: FileCompletion {
  func completed(_ token: UInt64, result: Int) {}
}
