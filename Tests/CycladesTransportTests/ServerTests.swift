import CycladesTransport
import Glibc
import Logging
import Testing

extension TransportTests {
  @Suite("servers of the async tier")
  struct ServerTests {
    @Test("a graceful shutdown lets handlers read what has arrived, answer, and return")
    func graceful() async throws {
      try await withTidyReactors { group in
        let isEntered = Shared(false)
        try await withServer(on: group) { connection in
          isEntered.set(true)
          var count = 0
          while let bytes = try await connection.next() { count += bytes.byteCount }
          try await connection.write("got \(count)")
        } _: { address, server in
          let client = try BlockingClient(address)
          try client.send(pattern(777))
          #expect(await isEntered.wait { $0 })
          try await Task.sleep(for: .milliseconds(30))
          server.shutDown()
          server.shutDown()
          let answer = try await blocking { try client.receive(100) }
          #expect(answer == Array("got 777".utf8))
        }
      }
    }

    @Test("a handler that does not return in time loses its connection, and the server ends")
    func drainTimeout() async throws {
      try await withTidyReactors { group in
        let code = Shared<TransportError.Code?>(nil)
        try await withServer(on: group, drainTimeout: .milliseconds(100)) { connection in
          while try await connection.next() != nil {}
          do {
            // It ignores that nothing more comes, and goes on writing to one who does not read.
            while true { try await connection.write(pattern(1 << 20)) }
          } catch let failure as TransportError {
            code.set(failure.code)
          }
        } _: { address, server in
          let client = try BlockingClient(address, receiveBuffer: 4096)
          try await Task.sleep(for: .milliseconds(50))
          server.shutDown()
          #expect(await code.wait { $0 != nil })
          #expect(code.value == .closed)
          withExtendedLifetime(client) {}
        }
      }
    }

    @Test("cancelling the task of run ends all connections at once")
    func cancelled() async throws {
      try await withTidyReactors(count: 2) { group in
        let server = try await ConnectionServer.bind(
          to: .loopback(), on: group, logger: Logger(label: "test"))
        let running = Task { try await server.run(echo) }
        let clients = try (0..<8).map { _ in try BlockingClient(server.address) }
        for client in clients { try client.send([1, 2, 3]) }
        for client in clients {
          #expect(try await blocking { try client.receive(3) } == [1, 2, 3])
        }
        running.cancel()
        try await running.value
        for client in clients { #expect(try await blocking { client.seesEnd() }) }
      }
    }

    @Test("what one handler throws ends its connection and no other")
    func throwing() async throws {
      struct Unwilling: Error {}
      try await withTidyReactors { group in
        try await withServer(on: group) { connection in
          guard let bytes = try await connection.next() else { return }
          guard bytes.span.byte(at: 0) != 0 else { throw Unwilling() }
          try await connection.write(bytes)
          try await echo(&connection)
        } _: { address, _ in
          let good = try BlockingClient(address)
          let bad = try BlockingClient(address)
          try good.send([1])
          try bad.send([0])
          #expect(try await blocking { bad.seesEnd() })
          try good.send([2])
          #expect(try await blocking { try good.receive(2) } == [1, 2])
        }
      }
    }

    @Test("an address in use is refused, also where each server shares its own", arguments: [1, 2])
    func inUse(reactors: Int) async throws {
      try await withTidyReactors(count: reactors) { group in
        try await withServer(on: group, echo) { address, _ in
          let failure = await error {
            _ = try await ConnectionServer.bind(
              to: address, on: group, logger: Logger(label: "test"))
          }
          #expect(failure?.code == .listenFailed)
          #expect(failure?.errno == EADDRINUSE)
          #expect(failure?.address == address)
          #expect(failure?.description.contains("\(address)") == true)
        }
      }
    }

    @Test("several reactors share one port, and each gets connections")
    func spread() async throws {
      try await withTidyReactors(count: 2) { group in
        try await withServer(on: group, echo) { address, _ in
          let clients = try (0..<64).map { _ in try BlockingClient(address) }
          for client in clients { try client.send([7]) }
          for client in clients { #expect(try await blocking { try client.receive(1) } == [7]) }
          let accepted = await group.statistics().map(\.accepted)
          #expect(accepted.reduce(0, +) == 64)
          #expect(accepted.allSatisfy { $0 > 0 })
        }
      }
    }

    @Test("a server that never runs closes what has connected")
    func neverRun() async throws {
      try await withTidyReactors { group in
        var server: ConnectionServer? = try await ConnectionServer.bind(
          to: .loopback(), on: group, logger: Logger(label: "test"))
        let client = try BlockingClient(try #require(server).address)
        try await Task.sleep(for: .milliseconds(30))
        server = nil
        #expect(try await blocking { client.seesEnd() })
      }
    }

    @Test("stopping the reactors ends what tasks wait for")
    func stoppedBelow() async throws {
      let group = try ReactorGroup(logger: Logger(label: "test"))
      let server = try await ConnectionServer.bind(
        to: .loopback(), on: group, logger: Logger(label: "test"))
      let running = Task { try await server.run(echo) }
      let executor = group.next()
      let reading = Task {
        var connection = try await Connection.connect(to: [server.address], on: executor)
        // The server finishes first, so this is the end and no error.
        while try await connection.next() != nil {}
      }
      let sleeping = Task { await error { try await executor.sleep(for: .seconds(60)) }?.code }
      try await Task.sleep(for: .milliseconds(50))
      server.shutDown()
      try await running.value
      await group.shutdown()
      try await reading.value
      #expect(await sleeping.value == .closed)
      let late = await error {
        _ = try await Connection.connect(to: [server.address], on: executor)
      }
      #expect(late?.code == .closed)
    }
  }
}
