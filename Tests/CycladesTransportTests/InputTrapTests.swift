import CycladesTransport
import Glibc
import Testing

extension TransportTests {
  /// Where receiving goes wrong when it is written for the sunny day. Each on every backend, and each
  /// ends with nothing left behind, which `withReactor` demands. `Traps.md` of the documentation says
  /// which test stands for which trap.
  @Suite("traps of receiving", .serialized)
  struct InputTrapTests {
    @Test("out of receive blocks, nobody spins and nobody is forgotten", arguments: backends)
    func exhaustion(io: ReactorConfiguration.IO) async throws {
      var configuration = ReactorConfiguration.on(io)
      configuration.receiveBlocks = 4
      configuration.poolBudgetBytes = 2 << 20
      configuration.receiveBlockSize = 16 << 10
      let kept = Shelf()
      let end = try await withReactor(configuration) { reactor in
        let recorder = Recorder()
        recorder.onReceived = { _, bytes in
          kept.views.append(reactor.share(0..<bytes.byteCount))
          return Progress(consumed: bytes.byteCount)
        }
        return (try reactor.listen(on: .loopback(), endpoint: recorder).address, recorder)
      } body: { made, thread in
        let (address, recorder) = made
        let sender = try BlockingClient(address)
        let idle = try (0..<5).map { _ in try BlockingClient(address) }
        let bytes = pattern(6 << 20)
        async let sent: Void = Task.detached { try sender.send(bytes) }.value
        // The budget is 128 blocks of 16 KiB; the views hold all of them.
        #expect(await recorder.log.wait { $0.calls == 128 })
        for client in idle { try client.send([7]) }
        try await Task.sleep(for: .milliseconds(30))
        let before = try await onReactor(of: thread) { $0.statistics }
        try await Task.sleep(for: .milliseconds(100))
        let after = try await onReactor(of: thread) { $0.statistics }
        #expect(after.starved > 0)
        #expect(after.enters - before.enters < 20, "waiting for a block must not spin")
        for _ in 0..<4000 where recorder.log.value.received < bytes.count + 5 {
          _ = try await onReactor(of: thread) { _ in kept.clear() }
          usleep(500)
        }
        #expect(recorder.log.value.received == bytes.count + 5)
        try await sent
        _ = try await onReactor(of: thread) { _ in kept.clear() }
      }
      #expect(end.starved > 0)
    }

    @Test("a greedy sender does not keep others from their share of blocks", arguments: backends)
    func greed(io: ReactorConfiguration.IO) async throws {
      var configuration = ReactorConfiguration.on(io)
      configuration.receiveBlocks = 4
      configuration.receiveBlockSize = 1024
      let end = try await withReactor(configuration) { reactor in
        let sink = Recorder()
        sink.keepsBytes = false
        let echo = try reactor.listen(on: .loopback(), endpoint: Echo(reactor)).address
        return (try reactor.listen(on: .loopback(), endpoint: sink).address, echo, sink)
      } body: { made, _ in
        let greedy = try BlockingClient(made.0)
        let isOver = Shared(false)
        let bytes = pattern(1 << 20)
        let sender = Task.detached { while !isOver.value { try greedy.send(bytes) } }
        #expect(await made.2.log.wait { $0.received > 1 << 20 })
        let modest = try (0..<6).map { _ in try BlockingClient(made.1) }
        let clock = ContinuousClock()
        let duration = try clock.measure {
          for round in 0..<200 as Range<UInt8> {
            for client in modest { try client.send([round]) }
            for client in modest { #expect(try client.receive(1) == [round]) }
          }
        }
        #expect(duration < .seconds(10))
        isOver.set(true)
        try await sender.value
      }
      #expect(end.starved > 0 && end.capped > 0)
    }

    @Test(
      "pausing and resuming at any moment loses, doubles and reorders nothing", arguments: backends)
    func cancelRaces(io: ReactorConfiguration.IO) async throws {
      let clients = 6
      let size = 1 << 20
      let end = try await withReactor(.on(io)) { reactor in
        let recorders = (0..<clients).map { _ in Recorder() }
        let addresses = try recorders.enumerated().map { index, recorder in
          var turn = index
          recorder.onReceived = { connection, bytes in
            turn += 1
            reactor.pauseReading(connection)
            switch turn % 4 {
            case 0: reactor.resumeReading(connection)
            case 1: reactor.schedule(after: .zero) { reactor.resumeReading(connection) }
            case 2:
              // The cancellation is on its way when it is regretted, and asked for again.
              reactor.schedule(after: .zero) {
                reactor.resumeReading(connection)
                reactor.pauseReading(connection)
                reactor.schedule(after: .microseconds(300)) { reactor.resumeReading(connection) }
              }
            default:
              reactor.schedule(after: .microseconds(100)) { reactor.resumeReading(connection) }
            }
            let rest = bytes.byteCount > 200 ? turn % 100 : 0
            return Progress(consumed: bytes.byteCount - rest)
          }
          return try reactor.listen(on: .loopback(), endpoint: recorder).address
        }
        return (recorders, addresses)
      } body: { made, _ in
        let senders = made.1.enumerated().map { index, address in
          Task.detached {
            let client = try BlockingClient(address)
            try client.send(pattern(size, seed: UInt64(index + 1)))
            client.finishSending()
            _ = client.seesEnd()
          }
        }
        for (index, recorder) in made.0.enumerated() {
          #expect(await recorder.log.wait { $0.closed == [.endOfInput] })
          let expected = pattern(size, seed: UInt64(index + 1))
          #expect(Blob(recorder.log.value.bytes) == Blob(expected))
        }
        for sender in senders { try await sender.value }
      }
      #expect(end.receivedBytes == UInt64(clients * size))
    }

    @Test(
      "a connection closed while it receives hands nothing to the next one", arguments: backends)
    func closeWhileArmed(io: ReactorConfiguration.IO) async throws {
      final class Marks: Endpoint, @unchecked Sendable {
        let reactor: Reactor
        var marks: [ConnectionID: UInt8] = [:]
        let mixed = Shared(0)
        let closes = Shared(0)
        init(_ reactor: Reactor) { self.reactor = reactor }
        func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
          let seen = Set(bytes.array).union(marks[connection].map { [$0] } ?? [])
          if seen.count != 1 { mixed.update { $0 += 1 } }
          marks[connection] = seen.first
          // The peer is still sending, and the kernel still receiving.
          reactor.close(connection, flush: false)
          return Progress(consumed: bytes.byteCount)
        }
        func closed(_ connection: ConnectionID, _ reason: CloseReason) {
          marks[connection] = nil
          closes.update { $0 += 1 }
        }
      }
      let rounds = 300
      let end = try await withReactor(.on(io)) { reactor in
        let marks = Marks(reactor)
        return (try reactor.listen(on: .loopback(), endpoint: marks).address, marks)
      } body: { made, _ in
        for round in 0..<rounds {
          let client = try BlockingClient(made.0)
          // May end early: the connection is aborted meanwhile.
          try? client.send([UInt8](repeating: UInt8(round & 0xff), count: 100_000))
        }
        #expect(await made.1.closes.wait { $0 == rounds })
        #expect(made.1.mixed.value == 0)
      }
      #expect(end.closes == UInt64(rounds))
    }

    @Test(
      "hundreds of connections that become ready together are served together", arguments: backends)
    func burst(io: ReactorConfiguration.IO) async throws {
      let count = 300
      let turns = Shared<Set<UInt64>>([])
      _ = try await withReactor(.on(io)) { reactor in
        let recorder = Recorder()
        recorder.keepsBytes = false
        recorder.onReceived = { _, bytes in
          turns.update { $0.insert(reactor.statistics.turns) }
          return Progress(consumed: bytes.byteCount)
        }
        return (try reactor.listen(on: .loopback(), endpoint: recorder).address, recorder)
      } body: { made, thread in
        let clients = try (0..<count).map { _ in try BlockingClient(made.0) }
        #expect(await made.1.log.wait { $0.opened.count == count })
        // Not one turn for every twenty, as a single wait would hand them over.
        let sent = try await onReactor(of: thread) { _ in
          clients.allSatisfy { (try? $0.send([1, 2, 3])) != nil }
        }
        #expect(sent)
        #expect(await made.1.log.wait { $0.received == 3 * count })
        #expect(turns.value.count <= 4)
      }
    }

    @Test("single bytes are received one by one, and none is lost", arguments: backends)
    func singleBytes(io: ReactorConfiguration.IO) async throws {
      _ = try await withReactor(.on(io)) { reactor in
        let endpoint = HandlerEndpoint(on: reactor) { _ in LineEcho() }
        return try reactor.listen(on: .loopback(), endpoint: endpoint).address
      } body: { address, _ in
        let client = try BlockingClient(address)
        for round in 0..<200 {
          for byte in "round \(round)\n".utf8 { try client.send([byte]) }
          let answer = try client.receive("round \(round)\n".utf8.count)
          #expect(String(decoding: answer, as: UTF8.self) == "round \(round)\n")
        }
      }
    }
  }
}

/// Views that a test holds on to, on the reactor's thread.
private final class Shelf: @unchecked Sendable {
  var views: [Bytes] = []
  func clear() { views = [] }
}
