import CycladesTransport
import Testing

extension TransportTests {
  @Suite("stream connections", .serialized)
  struct StreamTests {
    private func echo(_ reactor: Reactor) throws -> SocketAddress {
      try reactor.listen(on: .loopback(), endpoint: Echo(reactor)).address
    }

    private func record(
      _ prepare: @escaping @Sendable (Reactor, Recorder) -> Void
    ) -> @Sendable (Reactor) throws -> (SocketAddress, Recorder) {
      { reactor in
        let recorder = Recorder()
        prepare(reactor, recorder)
        return (try reactor.listen(on: .loopback(), endpoint: recorder).address, recorder)
      }
    }

    @Test(
      "bytes come back as they were sent, and none is copied on the way in",
      arguments: [1, 2, 63, 4096, 16_383, 16_384, 16_385, 100_000, 1 << 20, 8 << 20])
    func echoes(size: Int) async throws {
      let end = try await withReactor(setUp: echo) { address, _ in
        let client = try BlockingClient(address)
        let bytes = pattern(size)
        // Both directions at once: neither side could hold 8 MiB back.
        async let sent: Void = Task.detached { try client.send(bytes) }.value
        let back = try client.receive(size)
        try await sent
        #expect(Blob(back) == Blob(bytes))
      }
      #expect(end.copiedInBytes == 0)
      #expect(end.sentBytes == UInt64(size))
    }

    @Test("a client that dribbles single bytes is understood")
    func dribble() async throws {
      let end = try await withReactor { reactor in
        let endpoint = HandlerEndpoint(on: reactor) { _ in LineEcho() }
        return try reactor.listen(on: .loopback(), endpoint: endpoint).address
      } body: { address, thread in
        let client = try BlockingClient(address)
        let text = (0..<40).map { "line \($0)\n" }.joined()
        for (i, byte) in text.utf8.enumerated() {
          try client.send([byte])
          // At first let every byte arrive alone.
          guard i < 20 else { continue }
          for _ in 0..<1000 {
            let received = try await onReactor(of: thread) { $0.statistics.receivedBytes }
            if received == i + 1 { break }
          }
        }
        #expect(String(decoding: try client.receive(text.utf8.count), as: UTF8.self) == text)
      }
      #expect(end.copiedInBytes > 0)
    }

    @Test("pipelined messages of many sizes are answered in order")
    func pipelining() async throws {
      _ = try await withReactor { reactor in
        let endpoint = HandlerEndpoint(on: reactor) { _ in LineEcho() }
        return try reactor.listen(on: .loopback(), endpoint: endpoint).address
      } body: { address, _ in
        let client = try BlockingClient(address)
        let lines = (0..<3000).map { String(repeating: "x", count: $0 * 7 % 300) + "\($0)\n" }
        let bytes = Array(lines.joined().utf8)
        async let sent: Void = Task.detached { try client.send(bytes) }.value
        let back = try client.receive(bytes.count)
        try await sent
        #expect(Blob(back) == Blob(bytes))
      }
    }

    @Test("a large value is looked at twice and gathered once when its size is known")
    func largeValue() async throws {
      let size = 5 << 20
      let end = try await withReactor(
        setUp: record { _, recorder in
          recorder.onReceived = { _, bytes in
            bytes.byteCount < size
              ? Progress(consumed: 0, needs: size) : Progress(consumed: size)
          }
        }
      ) { made, _ in
        let (address, recorder) = made
        let client = try BlockingClient(address)
        let bytes = pattern(size)
        try client.send(bytes)
        #expect(await recorder.log.wait { $0.received == size })
        #expect(Blob(recorder.log.value.bytes) == Blob(bytes))
        #expect(recorder.log.value.calls == 2)
      }
      #expect(end.copiedInBytes == UInt64(size))
    }

    @Test("whatever an endpoint leaves unconsumed, it sees every byte once and in order")
    func oddConsumption() async throws {
      _ = try await withReactor(
        setUp: record { _, recorder in
          var turn = 0
          recorder.onReceived = { _, bytes in
            turn += 1
            let leave = min([0, 1, 3, 1000, 20_000][turn % 5], bytes.byteCount)
            let needs = turn % 3 == 0 ? leave + 1 + turn % 5000 : 0
            return Progress(consumed: bytes.byteCount - leave, needs: needs)
          }
        }
      ) { made, _ in
        let (address, recorder) = made
        let client = try BlockingClient(address)
        let bytes = pattern(2 << 20)
        try client.send(bytes)
        client.finishSending()
        #expect(await recorder.log.wait { $0.inputEnds == 1 })
        let seen = recorder.log.value.bytes
        #expect(seen.count >= bytes.count - 25_000)
        #expect(Blob(seen) == Blob(Array(bytes.prefix(seen.count))))
      }
    }

    @Test("asking for more than the input limit closes only that connection")
    func inputLimit() async throws {
      var configuration = ReactorConfiguration()
      configuration.inputLimit = 1000
      let end = try await withReactor(
        configuration,
        setUp: record { reactor, recorder in
          recorder.onReceived = { connection, bytes in
            if bytes.array.first == 0 { return Progress(consumed: 0, needs: 1001) }
            reactor.send(connection, copying: bytes)
            return Progress(consumed: bytes.byteCount)
          }
        }
      ) { made, _ in
        let (address, recorder) = made
        let bystander = try BlockingClient(address)
        let greedy = try BlockingClient(address)
        try greedy.send([0])
        #expect(greedy.seesEnd())
        #expect(await recorder.log.wait { $0.closed == [.inputOverflow] })
        try bystander.send([1, 2])
        #expect(try bystander.receive(2) == [1, 2])
      }
      #expect(end.inputOverflows == 1)
    }

    @Test("input that is never consumed ends at the input limit")
    func unconsumedInput() async throws {
      var configuration = ReactorConfiguration()
      configuration.inputLimit = 100_000
      _ = try await withReactor(
        configuration,
        setUp: record { _, recorder in recorder.onReceived = { _, _ in Progress(consumed: 0) } }
      ) { made, _ in
        let client = try BlockingClient(made.0)
        Task.detached { try client.send(pattern(4 << 20)) }
        #expect(await made.1.log.wait { $0.closed == [.inputOverflow] })
      }
    }

    @Test("pausing loses nothing, whatever is on its way")
    func pausing() async throws {
      let end = try await withReactor(
        setUp: record { reactor, recorder in
          recorder.onReceived = { connection, bytes in
            reactor.pauseReading(connection)
            reactor.schedule(after: .milliseconds(1)) { reactor.resumeReading(connection) }
            return Progress(consumed: min(bytes.byteCount, 50_000))
          }
        }
      ) { made, _ in
        let (address, recorder) = made
        let client = try BlockingClient(address)
        let bytes = pattern(4 << 20)
        try client.send(bytes)
        client.finishSending()
        #expect(await recorder.log.wait { $0.closed == [.endOfInput] })
        #expect(Blob(recorder.log.value.bytes) == Blob(bytes))
        #expect(client.seesEnd())
      }
      #expect(end.receivedBytes == 4 << 20)
    }

    @Test("nothing is shown while paused, and the rest is shown on resume without new input")
    func resuming() async throws {
      let consumes = Shared(0)
      _ = try await withReactor(
        setUp: record { reactor, recorder in
          recorder.onReceived = { connection, bytes in
            if consumes.value == 0 { reactor.pauseReading(connection) }
            return Progress(consumed: min(consumes.value, bytes.byteCount))
          }
        }
      ) { made, thread in
        let (address, recorder) = made
        let client = try BlockingClient(address)
        try client.send([1, 2, 3])
        #expect(await recorder.log.wait { $0.calls == 1 })
        try client.send([4, 5])
        try await Task.sleep(for: .milliseconds(50))
        #expect(recorder.log.value.calls == 1)
        consumes.set(100)
        let connection = recorder.log.value.opened[0]
        thread.mailbox.post { $0.resumeReading(connection) }
        #expect(await recorder.log.wait { $0.bytes == [1, 2, 3, 4, 5] })
      }
    }

    @Test("starved connections all recover when four blocks serve thirty of them")
    func starvation() async throws {
      var configuration = ReactorConfiguration()
      configuration.receiveBlocks = 4
      configuration.receiveBlockSize = 1024
      let end = try await withReactor(configuration, setUp: echo) { address, thread in
        let clients = try (0..<30).map { _ in try BlockingClient(address) }
        let inputs = clients.indices.map { pattern(40_000, seed: UInt64($0 + 1)) }
        // All clients send while the reactor looks away, so that it finds them ready together.
        let sent = try await onReactor(of: thread) { _ in
          zip(clients, inputs).allSatisfy { (try? $0.send(Array($1[..<4000]))) != nil }
        }
        #expect(sent)
        for (client, input) in zip(clients, inputs) { try client.send(Array(input[4000...])) }
        for (i, client) in clients.enumerated() {
          let back = try client.receive(40_000)
          #expect(Blob(back) == Blob(pattern(40_000, seed: UInt64(i + 1))))
        }
      }
      #expect(end.starved > 0)
    }

    @Test("shared input stays as it was, and receiving goes on when it is released")
    func sharing() async throws {
      var configuration = ReactorConfiguration()
      configuration.receiveBlocks = 4
      configuration.poolBudgetBytes = 2 << 20
      configuration.receiveBlockSize = 16 << 10
      let kept = Kept()
      _ = try await withReactor(
        configuration,
        setUp: record { reactor, recorder in
          recorder.onReceived = { connection, bytes in
            kept.views.append(reactor.share(0..<bytes.byteCount))
            return Progress(consumed: bytes.byteCount)
          }
        }
      ) { made, thread in
        let (address, recorder) = made
        let client = try BlockingClient(address)
        let bytes = pattern(6 << 20)
        async let sent: Void = Task.detached { try client.send(bytes) }.value
        // The budget is 128 blocks. When views hold all of them, the kernel has none to fill.
        #expect(await recorder.log.wait { $0.calls == 128 })
        try await Task.sleep(for: .milliseconds(50))
        #expect(recorder.log.value.calls == 128)
        for _ in 0..<2000 where recorder.log.value.received < bytes.count {
          let views = try await onReactor(of: thread) { _ in kept.release() }
          #expect(Blob(views) == Blob(Array(bytes[kept.offset..<kept.offset + views.count])))
          kept.offset += views.count
          try await Task.sleep(for: .milliseconds(5))
        }
        #expect(recorder.log.value.received == bytes.count)
        try await sent
        _ = try await onReactor(of: thread) { _ in kept.release() }
        #expect(Blob(recorder.log.value.bytes) == Blob(bytes))
      }
    }
  }
}

/// Views that a test holds on to, on the reactor's thread.
private final class Kept: @unchecked Sendable {
  var views: [Bytes] = []
  var offset = 0
  func release() -> [UInt8] {
    defer { views = [] }
    return Blob(views.map { $0.span.array }).bytes
  }
}

/// Answers each line with itself, as a handler.
struct LineEcho: ConnectionHandler {
  mutating func received(_ bytes: RawSpan, _ io: inout ConnectionIO) -> Progress {
    var consumed = 0
    while let end = bytes.firstOffset(of: UInt8(ascii: "\n"), from: consumed) {
      io.send(copying: bytes.extracting(consumed..<end + 1))
      consumed = end + 1
    }
    return Progress(consumed: consumed)
  }
}
