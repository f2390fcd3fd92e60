@testable import CycladesTransport
import Glibc
import Logging
import Testing

extension TransportTests {
  @Suite("connecting and pools")
  struct ClientTests {
    @Test("nobody listens: refused, with the address and the error number")
    func refused() async throws {
      try await withTidyReactors { group in
        let address = try unusedAddress()
        let failure = await error {
          _ = try await Connection.connect(to: [address], on: group.next())
        }
        #expect(failure?.code == .refused)
        #expect(failure?.address == address)
        #expect(failure?.errno == 111)
        #expect(failure?.description == "cannot connect to \(address): Connection refused")
      }
    }

    @Test("no way there: unreachable, with the address and the error number")
    func unreachable() async throws {
      try await withTidyReactors { group in
        // TCP does not go to a group of hosts: the system says so without asking the network.
        let address = try SocketAddress(host: "224.0.0.1", port: 9)
        let failure = await error {
          _ = try await Connection.connect(to: [address], on: group.next())
        }
        #expect(failure?.code == .unreachable)
        #expect(failure?.address == address)
        #expect(failure?.errno == ENETUNREACH)
        #expect(failure?.description == "cannot connect to \(address): Network is unreachable")
      }
    }

    @Test("a name that does not resolve, an address that is none, no address at all")
    func unresolved() async throws {
      try await withTidyReactors { group in
        let unknown = await error {
          _ = try await Connection.connect(host: "nowhere.invalid", port: 1, on: group.next())
        }
        #expect(unknown?.code == .addressUnresolved)
        #expect(unknown?.description.contains("nowhere.invalid") == true)
        let malformed = await error {
          _ = try await Connection.connect(host: "127.0.0.1", port: 70_000, on: group.next())
        }
        #expect(malformed?.code == .addressMalformed)
        let none = await error { _ = try await Connection.connect(to: [], on: group.next()) }
        #expect(none?.code == .addressUnresolved)
      }
    }

    @Test("who does not answer: timed out, and not before the limit")
    func timedOut() async throws {
      try await withTidyReactors { group in
        let deaf = try DeafListener()
        defer { deaf.close() }
        // Fill its queue, so that the next one is not even accepted by the system.
        let first = try BlockingClient(deaf.address)
        let second = Task {
          _ = try? await Connection.connect(to: [deaf.address], on: group.next())
        }
        try await Task.sleep(for: .milliseconds(20))
        let start = Instant.current()
        let failure = await error {
          _ = try await Connection.connect(
            to: [deaf.address], on: group.next(), timeout: .milliseconds(150))
        }
        #expect(failure?.code == .timedOut)
        #expect(failure?.address == deaf.address)
        #expect(failure?.errno == ETIMEDOUT)
        #expect(Instant.current() - start >= .milliseconds(149))
        second.cancel()
        _ = await second.value
        withExtendedLifetime(first) {}
      }
    }

    @Test("the first address that answers wins; one that refuses costs no waiting")
    func race() async throws {
      try await withTidyReactors { group in
        try await withServer(on: group, echo) { address, _ in
          let start = Instant.current()
          var connection = try await Connection.connect(
            to: [try unusedAddress(), try unusedAddress(), address], on: group.next())
          #expect(connection.peerAddress == address)
          #expect(Instant.current() - start < .milliseconds(200))
          try await connection.write("hello")
          let answer = try await connection.next()
          #expect(answer?.string == "hello")
          await connection.close()
        }
      }
    }

    @Test("an address that does not answer is overtaken after a quarter of a second")
    func overtaken() async throws {
      try await withTidyReactors { group in
        let deaf = try DeafListener()
        defer { deaf.close() }
        let first = try BlockingClient(deaf.address)
        let filler = Task {
          _ = try? await Connection.connect(to: [deaf.address], on: group.next())
        }
        try await Task.sleep(for: .milliseconds(20))
        try await withServer(on: group, echo) { address, _ in
          let start = Instant.current()
          let connection = try await Connection.connect(
            to: [deaf.address, address], on: group.next())
          let took = Instant.current() - start
          #expect(connection.peerAddress == address)
          #expect(took >= .milliseconds(240) && took < .seconds(3))
          await connection.close()
        }
        filler.cancel()
        _ = await filler.value
        withExtendedLifetime(first) {}
      }
    }

    @Test("a cancelled connect throws and leaves nothing behind")
    func cancelled() async throws {
      try await withTidyReactors { group in
        let deaf = try DeafListener()
        defer { deaf.close() }
        let clients = try [BlockingClient(deaf.address)]
        let tasks = (0..<3).map { _ in
          Task {
            await error { _ = try await Connection.connect(to: [deaf.address], on: group.next()) }
          }
        }
        try await Task.sleep(for: .milliseconds(30))
        for task in tasks { task.cancel() }
        let codes = await tasks.asyncCodes()
        #expect(codes.contains(.cancelled))
        withExtendedLifetime(clients) {}
      }
    }

    @Test("families take turns, the system's first choice first")
    func interleaving() throws {
      let four = try (1...3).map { try SocketAddress(host: "127.0.0.\($0)", port: 1) }
      let six = try ["::1", "::2"].map { try SocketAddress(host: $0, port: 1) }
      #expect(
        SocketAddress.interleaved(six + four) == [six[0], four[0], six[1], four[1], four[2]])
      #expect(SocketAddress.interleaved(four) == four)
      #expect(SocketAddress.interleaved([]) == [])
    }

    @Test("a name resolves to addresses with the port")
    func resolve() async throws {
      let addresses = try await SocketAddress.resolve(host: "localhost", port: 4711)
      #expect(!addresses.isEmpty)
      #expect(addresses.allSatisfy { $0.port == 4711 })
    }

    @Test("a pool uses a connection again, and the last one first")
    func reuse() async throws {
      try await withTidyReactors { group in
        try await withServer(on: group, echo) { address, _ in
          let pool = ConnectionPool(to: [address], on: group.next())
          for number in 0..<10 {
            let answer = try await pool.withConnection { connection in
              try await connection.write("\(number)")
              return try await connection.next()?.string
            }
            #expect(answer == "\(number)")
          }
          #expect(await pool.connectionCount == 1)
          #expect(await group.statistics().first?.connects == 1)
          await pool.shutDown()
        }
      }
    }

    @Test("users wait in order when all connections are in use, and never share one")
    func waiting() async throws {
      try await withTidyReactors { group in
        try await withServer(on: group, echo) { address, _ in
          var configuration = ConnectionPool.Configuration()
          configuration.connectionsMax = 2
          let pool = ConnectionPool(to: [address], on: group.next(), configuration: configuration)
          let inUse = Shared(0)
          let most = Shared(0)
          try await withThrowingTaskGroup(of: Bool.self) { users in
            for number in 0..<20 {
              users.addTask {
                try await pool.withConnection { connection in
                  inUse.update { $0 += 1 }
                  most.update { $0 = max($0, inUse.value) }
                  try await connection.write("user \(number)")
                  let answer = try await connection.next()?.string
                  try await connection.executor.sleep(for: .milliseconds(2))
                  inUse.update { $0 -= 1 }
                  return answer == "user \(number)"
                }
              }
            }
            for try await isRight in users { #expect(isRight) }
          }
          #expect(most.value == 2)
          #expect(await pool.connectionCount == 2)
          await pool.shutDown()
        }
      }
    }

    @Test("a connection that broke, or whose user threw, is not used again")
    func broken() async throws {
      struct Trouble: Error {}
      try await withTidyReactors { group in
        try await withServer(on: group) { connection in
          // Serves one message, then closes.
          if let bytes = try await connection.next() { try await connection.write(bytes) }
        } _: { address, _ in
          let pool = ConnectionPool(to: [address], on: group.next())
          for _ in 0..<3 {
            let answer = try await pool.withConnection { connection in
              try await connection.write("once")
              return try await connection.next()?.string
            }
            #expect(answer == "once")
            try await Task.sleep(for: .milliseconds(30))
          }
          #expect(await group.statistics().first?.connects == 3)
          await #expect(throws: Trouble.self) {
            try await pool.withConnection { _ in throw Trouble() }
          }
          #expect(await pool.connectionCount == 0)
          await pool.shutDown()
        }
      }
    }

    @Test("a server that comes back is found by the attempts that follow")
    func reconnect() async throws {
      try await withTidyReactors { group in
        let address = try unusedAddress()
        var configuration = ConnectionPool.Configuration()
        configuration.attempts = 40
        configuration.firstPause = .milliseconds(10)
        configuration.longestPause = .milliseconds(50)
        let pool = ConnectionPool(to: [address], on: group.next(), configuration: configuration)
        let user = Task {
          try await pool.withConnection { connection in
            try await connection.write("patience")
            return try await connection.next()?.string
          }
        }
        try await Task.sleep(for: .milliseconds(60))
        let server = try await ConnectionServer.bind(
          to: address, on: group, logger: Logger(label: "test"))
        let running = Task { try await server.run(echo) }
        #expect(try await user.value == "patience")
        await pool.shutDown()
        server.shutDown()
        try await running.value
      }
    }

    @Test("idle connections are closed after a while")
    func idling() async throws {
      try await withTidyReactors { group in
        try await withServer(on: group, echo) { address, _ in
          var configuration = ConnectionPool.Configuration()
          configuration.idleTimeout = .milliseconds(40)
          let pool = ConnectionPool(to: [address], on: group.next(), configuration: configuration)
          try await pool.withConnection { _ in }
          #expect(await pool.idleCount == 1)
          try await Task.sleep(for: .milliseconds(150))
          #expect(await pool.connectionCount == 0)
        }
      }
    }

    @Test("a pool that is shut down refuses users, those that wait too")
    func shutDown() async throws {
      try await withTidyReactors { group in
        try await withServer(on: group, echo) { address, _ in
          var configuration = ConnectionPool.Configuration()
          configuration.connectionsMax = 1
          let pool = ConnectionPool(to: [address], on: group.next(), configuration: configuration)
          let isHeld = Shared(false)
          let mayGo = Shared(false)
          let holder = Task {
            try await pool.withConnection { connection in
              isHeld.set(true)
              while !mayGo.value { try await connection.executor.sleep(for: .milliseconds(2)) }
            }
          }
          #expect(await isHeld.wait { $0 })
          let waiter = Task { await error { try await pool.withConnection { _ in } }?.code }
          let cancelled = Task { await error { try await pool.withConnection { _ in } }?.code }
          try await Task.sleep(for: .milliseconds(30))
          cancelled.cancel()
          #expect(await cancelled.value == .cancelled)
          await pool.shutDown()
          #expect(await waiter.value == .closed)
          mayGo.set(true)
          try await holder.value
          #expect(await error { try await pool.withConnection { _ in } }?.code == .closed)
          #expect(await pool.connectionCount == 0)
        }
      }
    }
  }
}

extension [Task<TransportError?, Never>] {
  fileprivate func asyncCodes() async -> [TransportError.Code] {
    var codes: [TransportError.Code] = []
    for task in self { if let code = await task.value?.code { codes.append(code) } }
    return codes
  }
}
