import CycladesTransport
import Testing

extension TransportTests {
  @Suite("sending", .serialized)
  struct SendTests {
    @Test("a peer that does not read is closed at the cap, and only that one")
    func cap() async throws {
      var configuration = ReactorConfiguration()
      configuration.sendHighWatermark = 64 << 10
      configuration.sendLowWatermark = 16 << 10
      configuration.sendCap = 2 << 20
      let end = try await withReactor(configuration) { reactor in
        let recorder = Recorder()
        recorder.onReceived = { connection, bytes in
          // A byte 0 asks for more than any peer will take unread.
          let isGreedy = bytes.array == [0]
          let chunk = isGreedy ? pattern(16 << 20) : bytes.array
          reactor.send(connection, copying: chunk)
          return Progress(consumed: bytes.byteCount)
        }
        return (try reactor.listen(on: .loopback(), endpoint: recorder).address, recorder)
      } body: { made, _ in
        let slow = try BlockingClient(made.0, receiveBuffer: 4096)
        let good = try BlockingClient(made.0)
        try slow.send([0])
        #expect(await made.1.log.wait { $0.closed == [.sendOverflow] })
        try good.send([5, 6])
        #expect(try good.receive(2) == [5, 6])
      }
      #expect(end.sendOverflows == 1)
    }

    @Test("drained paces a producer, so that its queue stays small")
    func drained() async throws {
      let total = 32 << 20
      let chunk = pattern(128 << 10)
      let largest = Shared(0)
      _ = try await withReactor { reactor in
        let recorder = Recorder()
        var produced = 0
        func produce(_ connection: ConnectionID) {
          while produced < total, reactor.queuedBytes(connection) <= 1 << 20 {
            reactor.send(connection, copying: chunk)
            produced += chunk.count
          }
          let queued = reactor.queuedBytes(connection)
          largest.update { $0 = max($0, queued) }
          if produced == total { reactor.close(connection, flush: true) }
        }
        recorder.onOpened = { produce($0) }
        recorder.onDrained = { produce($0) }
        return (try reactor.listen(on: .loopback(), endpoint: recorder).address, recorder)
      } body: { made, _ in
        let client = try BlockingClient(made.0)
        var received = 0
        while received < total {
          let part = try client.receive(chunk.count)
          guard Blob(part) == Blob(chunk) else { break }
          received += part.count
        }
        #expect(received == total)
        #expect(client.seesEnd())
        #expect(made.1.log.value.drained > 3)
      }
      #expect(largest.value <= (1 << 20) + chunk.count)
    }

    @Test("references, copies and writes in place leave in the order they were queued")
    func order() async throws {
      let pieces = (0..<500).map { pattern(1 + $0 * 37 % 3000, seed: UInt64($0 + 1)) }
      let end = try await withReactor { reactor in
        let recorder = Recorder()
        recorder.onOpened = { connection in
          for (i, piece) in pieces.enumerated() {
            switch i % 3 {
            case 0:
              let bytes = try? Bytes(copying: piece, in: reactor.pool)
              reactor.send(connection, bytes!)
            case 1:
              reactor.send(connection, copying: piece)
            default:
              reactor.write(connection, atMost: piece.count + 100) { output in
                for byte in piece { output.append(byte) }
              }
            }
          }
          reactor.close(connection, flush: true)
        }
        return try reactor.listen(on: .loopback(), endpoint: recorder).address
      } body: { address, _ in
        let expected = pieces.flatMap { $0 }
        let client = try BlockingClient(address)
        #expect(Blob(try client.receive(expected.count + 1)) == Blob(expected))
      }
      // At most 64 pieces in one send, and many in each.
      #expect(end.sends < 30)
    }

    @Test("a thousand small copies of one turn leave in one send")
    func coalescing() async throws {
      let end = try await withReactor { reactor in
        let recorder = Recorder()
        recorder.onOpened = { connection in
          for _ in 0..<1000 {
            reactor.send(connection, copying: [1, 2, 3])
          }
        }
        return try reactor.listen(on: .loopback(), endpoint: recorder).address
      } body: { address, _ in
        let client = try BlockingClient(address)
        #expect(try client.receive(3000).count == 3000)
      }
      #expect(end.sends == 1)
      #expect(end.copiedOutBytes == 3000)
    }

    @Test("what a turn observer queues leaves with the turn it ends")
    func observer() async throws {
      final class Finisher: TurnObserver {
        let reactor: Reactor
        var waiting: [ConnectionID] = []
        init(_ reactor: Reactor) { self.reactor = reactor }
        func turnEnding() {
          for connection in waiting {
            reactor.send(connection, copying: [9])
          }
          waiting = []
        }
      }
      let end = try await withReactor { reactor in
        let finisher = Finisher(reactor)
        reactor.addTurnObserver(finisher)
        let recorder = Recorder()
        recorder.onReceived = { connection, bytes in
          reactor.send(connection, copying: bytes)
          finisher.waiting.append(connection)
          return Progress(consumed: bytes.byteCount)
        }
        return try reactor.listen(on: .loopback(), endpoint: recorder).address
      } body: { address, _ in
        let client = try BlockingClient(address)
        try client.send([1, 2])
        #expect(try client.receive(3) == [1, 2, 9])
      }
      #expect(end.sends == 1)
    }
  }
}
