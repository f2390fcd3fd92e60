import CCycladesTesting
import CycladesTransport
import Glibc
import Logging
import Testing

extension TransportTests {
  @Suite("many connections", .serialized)
  struct LoadTests {
    @Test("100,000 connections come and go, and nothing is left of them", arguments: backends)
    func comeAndGo(io: ReactorConfiguration.IO) async throws {
      let count: UInt32 = 100_000
      let everywhere = try SocketAddress(host: "0.0.0.0", port: 0)
      let end = try await withReactor(.on(io)) { reactor in
        let counter = Counter()
        let listener = try reactor.listen(on: everywhere, backlog: 4096, endpoint: counter)
        return (listener.address.port, counter)
      } body: { made, _ in
        let connected = cyc_testing_come_and_go(made.0, count)
        #expect(connected == count)
        // One that reset while it waited to be accepted may never have been seen.
        let (opened, closed) = await made.1.settled()
        #expect(opened == closed && opened > Int(count) / 2)
      }
      #expect(end.accepted == end.closes)
      #expect(end.refusedAccepts == 0)
    }

    @Test("15,000 idle connections cost at most 512 bytes each, with io_uring")
    func idleRing() async {
      await #expect(processExitsWith: .success) {
        if backends.contains(.uring) { try await holdIdle(.uring) }
      }
    }

    @Test("15,000 idle connections cost at most 512 bytes each, with epoll")
    func idleEpoll() async {
      await #expect(processExitsWith: .success) { try await holdIdle(.epoll) }
    }

    @Test("once it runs, an echo allocates nothing and copies nothing", arguments: backends)
    func steadyState(io: ReactorConfiguration.IO) async throws {
      final class SharingEcho: Endpoint {
        let reactor: Reactor
        init(_ reactor: Reactor) { self.reactor = reactor }
        func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
          reactor.send(connection, received: 0..<bytes.byteCount)
          return Progress(consumed: bytes.byteCount)
        }
      }
      struct Figures {
        var allocations: Int64
        var statistics: ReactorStatistics
      }
      let rounds = 300
      _ = try await withReactor(.on(io)) { reactor in
        try reactor.listen(on: .loopback(), endpoint: SharingEcho(reactor)).address
      } body: { address, thread in
        let clients = try (0..<20).map { _ in try BlockingClient(address) }
        let message = pattern(64)
        func exchange() throws {
          for client in clients { try client.send(message) }
          for client in clients { #expect(try client.receive(64) == message) }
        }
        func figures() async throws -> Figures {
          try await onReactor(of: thread) {
            Figures(allocations: cyc_testing_allocations(), statistics: $0.statistics)
          }
        }
        for _ in 0..<50 { try exchange() }
        // What asking costs by itself, so that it is not taken for a message's cost.
        let first = try await figures()
        let before = try await figures()
        for _ in 0..<rounds { try exchange() }
        let after = try await figures()
        let messages = UInt64(rounds * clients.count)
        #expect(after.statistics.receives - before.statistics.receives >= messages)
        #expect(after.statistics.copiedInBytes == before.statistics.copiedInBytes)
        #expect(after.statistics.copiedOutBytes == before.statistics.copiedOutBytes)
        // Negative: a sanitizer owns malloc. Never 0: the thread allocated when it started.
        #expect(before.allocations != 0)
        if before.allocations > 0 {
          let cost = after.allocations - before.allocations
          #expect(cost <= before.allocations - first.allocations + 4, "\(cost) for \(messages)")
        }
      }
    }
  }
}

/// Counts, and closes when the peer does.
private final class Counter: Endpoint, Sendable {
  private let counts = Shared((opened: 0, closed: 0))

  func opened(_ connection: ConnectionID) { counts.update { $0.opened += 1 } }
  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    counts.update { $0.closed += 1 }
  }

  var value: (opened: Int, closed: Int) { counts.value }

  /// Waits until everything that was opened is closed, and nothing more comes; but not for ever, as
  /// a connection may be lost.
  func settled() async -> (Int, Int) {
    var last = -1
    for _ in 0..<400 where counts.value.closed != last || counts.value.opened != last {
      last = counts.value.opened
      try? await Task.sleep(for: .milliseconds(50))
    }
    return counts.value
  }
}

/// Holds 15,000 connections from another process and looks at what this one has grown by.
private func holdIdle(_ io: ReactorConfiguration.IO) async throws {
  let count: UInt32 = 15_000
  try #require(cyc_testing_raise_descriptor_limit(UInt64(count) + 100))
  let everywhere = try SocketAddress(host: "0.0.0.0", port: 0)
  var configuration = ReactorConfiguration.on(io)
  // The clients are killed, so that their ends come all at once.
  configuration.flushTimeout = .seconds(20)
  let end = try await withReactor(configuration) { reactor in
    let counter = Counter()
    let deadlines = Deadlines(idle: .seconds(600), header: .seconds(600))
    let listener = try reactor.listen(
      on: everywhere, backlog: 4096, deadlines: deadlines, endpoint: counter)
    return (listener.address.port, counter)
  } body: { made, _ in
    let (port, counter) = made
    var held: UInt32 = 0
    let first = unsafe cyc_testing_hold(port, 500, &held)
    try #require(first > 0 && held == 500)
    while counter.value.opened < 500 { usleep(1000) }
    let before = residentBytes()
    let second = unsafe cyc_testing_hold(port, count - 500, &held)
    try #require(second > 0 && held == count - 500, "\(held) connections")
    while counter.value.opened < Int(count) { usleep(1000) }
    let each = (residentBytes() - before) / Int(count - 500)
    print("idle connection with \(io): \(each) bytes")
    // A sanitizer keeps much more beside each allocation.
    let isSanitized = cyc_testing_allocations() < 0
    try #require(isSanitized || each <= 512, "\(each) bytes for each idle connection")
    cyc_testing_let_go(first)
    cyc_testing_let_go(second)
    let (opened, closed) = await counter.settled()
    try #require(opened == Int(count) && closed == Int(count))
  }
  try #require(end.closes == UInt64(count))
}
