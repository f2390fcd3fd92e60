import CycladesPaxos
import CycladesReplication
import Testing

@testable import CycladesServer

extension ServerTests {
  @Suite("Transactions")
  struct TransactionTests {
    private func withServer(
      _ script: FakeHost.Script = .init(),
      configure: @Sendable (inout StoreServerConfiguration) -> Void = { _ in },
      _ body: (FakeServer) throws -> Void
    ) throws {
      let server = try FakeServer(script, configure: configure)
      defer { server.stop() }
      try body(server)
    }

    @Test("EXEC answers the replies of what was queued, and DISCARD forgets it")
    func execute() throws {
      try withServer { server in
        let client = try server.client()
        #expect(try client.ask("MULTI") == .ok)
        #expect(try client.ask("SET", "{a}1", "x") == .simple("QUEUED"))
        #expect(try client.ask("INCR", "{a}1") == .simple("QUEUED"))
        #expect(try client.ask("GET", "{a}1") == .simple("QUEUED"))
        let reply = try client.ask("EXEC")
        #expect(reply.elements.count == 3)
        #expect(reply.elements[0] == .ok)
        // A command that fails when it is carried out does not undo the others.
        #expect(reply.elements[1].isError("ERR"))
        #expect(reply.elements[2] == .bulk("x"))
        #expect(try client.ask("MULTI") == .ok)
        #expect(try client.ask("SET", "{a}1", "y") == .simple("QUEUED"))
        #expect(try client.ask("DISCARD") == .ok)
        #expect(try client.ask("GET", "{a}1") == .bulk("x"))
        #expect(try client.ask("EXEC").isError("ERR EXEC without"))
        #expect(try client.ask("DISCARD").isError("ERR DISCARD without"))
      }
    }

    @Test("commands of the server take their places among those of the shard")
    func mixed() throws {
      try withServer { server in
        let client = try server.client()
        try client.send(
          ["GET", "a"], ["MULTI"], ["PING", "1"], ["SET", "a", "2"], ["ECHO", "3"], ["MGET", "a"],
          ["PING"], ["EXEC"], ["GET", "a"])
        #expect(try client.read() == .null)
        #expect(try client.read() == .ok)
        for _ in 0..<5 { #expect(try client.read() == .simple("QUEUED")) }
        #expect(
          try client.read()
            == .array([
              .bulk("1"), .ok, .bulk("3"), .array([.bulk("2")]), .simple("PONG"),
            ]))
        #expect(try client.read() == .bulk("2"))
        try client.send(["MULTI"], ["PING"], ["EXEC"], ["MULTI"], ["EXEC"])
        #expect(try client.read() == .ok)
        #expect(try client.read() == .simple("QUEUED"))
        #expect(try client.read() == .array([.simple("PONG")]))
        #expect(try client.read() == .ok)
        #expect(try client.read() == .array([]))
      }
    }

    @Test("a command that cannot be queued makes EXEC refuse the whole")
    func aborted() throws {
      try withServer { server in
        let wrong: [[String]] = [
          ["NOSUCH"], ["GET"], ["WATCH", "a"], ["MULTI"], ["SET", "b", "1"], ["DBSIZE"],
          ["MSET", "a", "1", "b", "2", "c", "3"],
        ]
        for command in wrong {
          let client = try server.client()
          #expect(try client.ask("MULTI") == .ok)
          #expect(try client.ask("SET", "a", "1") == .simple("QUEUED"))
          try client.send(command)
          let refusal = try client.read()
          guard case .error = refusal else {
            Issue.record("\(command) was answered \(refusal)")
            continue
          }
          let isHarmless = command[0] == "WATCH" || command[0] == "MULTI"
          let reply = try client.ask("EXEC")
          if isHarmless {
            #expect(reply == .array([.ok]), "\(command)")
          } else {
            #expect(reply.isError("EXECABORT"), "\(command)")
          }
          #expect(try client.ask("PING") == .simple("PONG"))
          #expect(try client.ask("DEL", "a") == .integer(isHarmless ? 1 : 0), "\(command)")
        }
      }
    }

    @Test("EXEC does nothing once a watched key changed, came, went, or got an expiry")
    func watch() throws {
      try withServer { server in
        let (client, other) = (try server.client(), try server.client())
        let changes: [(before: [String], change: [String])] = [
          (["SET", "k", "1"], ["SET", "k", "2"]), (["DEL", "k"], ["SET", "k", "1"]),
          (["SET", "k", "1"], ["DEL", "k"]), (["SET", "k", "1"], ["EXPIRE", "k", "100"]),
          (["SET", "k", "1"], ["APPEND", "k", "0"]),
        ]
        for (before, change) in changes {
          for isChanged in [false, true] {
            try other.send(before)
            _ = try other.read()
            #expect(try client.ask("WATCH", "k", "{k}2") == .ok)
            if isChanged {
              try other.send(change)
              _ = try other.read()
            }
            try client.send(["MULTI"], ["INCR", "{k}3"], ["EXEC"])
            #expect(try client.read() == .ok)
            #expect(try client.read() == .simple("QUEUED"))
            let reply = try client.read()
            if isChanged {
              #expect(reply == .null, "\(change)")
            } else {
              #expect(reply.elements.count == 1, "\(change): \(reply)")
            }
          }
        }
      }
    }

    @Test("UNWATCH, DISCARD, EXEC and RESET each end a WATCH")
    func unwatch() throws {
      try withServer { server in
        let (client, other) = (try server.client(), try server.client())
        let ends: [[[String]]] = [
          [["UNWATCH"]], [["MULTI"], ["DISCARD"]], [["MULTI"], ["EXEC"]], [["RESET"]],
        ]
        for (round, commands) in ends.enumerated() {
          #expect(try client.ask("WATCH", "k") == .ok)
          for command in commands {
            try client.send(command)
            _ = try client.read()
          }
          #expect(try other.ask("SET", "k", "\(round)") == .ok)
          try client.send(["MULTI"], ["GET", "k"], ["EXEC"])
          _ = (try client.read(), try client.read())
          #expect(try client.read() == .array([.bulk("\(round)")]))
        }
      }
    }

    @Test("what is pipelined behind a WATCH reads nothing older than what is watched")
    func watchInPipeline() throws {
      try withServer { server in
        let client = try server.client()
        for round in 0..<50 {
          try client.send(
            ["SET", "k", "\(round)"], ["WATCH", "k"], ["GET", "k"], ["MULTI"],
            ["APPEND", "k", "!"], ["EXEC"], ["GET", "k"])
          #expect(try client.read() == .ok)
          #expect(try client.read() == .ok)
          #expect(try client.read() == .bulk("\(round)"))
          #expect(try client.read() == .ok)
          #expect(try client.read() == .simple("QUEUED"))
          #expect(try client.read() == .array([.integer("\(round)".count + 1)]))
          #expect(try client.read() == .bulk("\(round)!"))
        }
      }
    }

    @Test("keys in another shard than those watched are refused")
    func crossShard() throws {
      try withServer { server in
        let client = try server.client()
        #expect(try client.ask("WATCH", "a", "b", "c").isError("CROSSSLOT"))
        #expect(try client.ask("WATCH", "a") == .ok)
        #expect(try client.ask("WATCH", "b").isError("CROSSSLOT"))
        #expect(try client.ask("MULTI") == .ok)
        #expect(try client.ask("GET", "b").isError("CROSSSLOT"))
        #expect(try client.ask("EXEC").isError("EXECABORT"))
      }
    }

    @Test("a transaction whose outcome is not known, or that was refused, says so once")
    func outcomes() throws {
      let cases: [(Outcome, String)] = [
        (.unknown, "UNKNOWNOUTCOME"), (.notDone(.noLeader), "CLUSTERDOWN"),
      ]
      for (outcome, code) in cases {
        try withServer(FakeHost.Script(outcome: outcome)) { server in
          let client = try server.client()
          #expect(try client.ask("WATCH", "a").isError(code))
          for middle in [["SET", "a", "1"], ["PING"]] {
            try client.send(["MULTI"], ["SET", "a", "1"], middle, ["EXEC"], ["PING"])
            #expect(try client.read() == .ok)
            #expect(try client.read() == .simple("QUEUED"))
            #expect(try client.read() == .simple("QUEUED"))
            #expect(try client.read().isError(code))
            #expect(try client.read() == .simple("PONG"))
          }
        }
      }
    }

    @Test("on the cluster port a transaction goes where its keys are led")
    func cluster() throws {
      try withServer { server in
        let client = try server.clusterClient()
        try client.send(["MULTI"], ["SET", "a", "1"], ["GET", "a"], ["EXEC"])
        _ = (try client.read(), try client.read(), try client.read())
        #expect(try client.read() == .array([.ok, .bulk("1")]))
      }
      try withServer(FakeHost.Script(leader: NodeID(2))) { server in
        let client = try server.clusterClient()
        #expect(try client.ask("WATCH", "a").isError("MOVED"))
        #expect(try client.ask("MULTI") == .ok)
        #expect(try client.ask("SET", "a", "1").isError("MOVED"))
        #expect(try client.ask("EXEC").isError("EXECABORT"))
      }
    }

    @Test("a transaction larger than an entry may be is refused while it is queued")
    func tooLarge() throws {
      try withServer(configure: { $0.maximumValueBytes = 1 << 20 }) { server in
        let client = try server.client()
        let value = String(repeating: "v", count: 700_000)
        #expect(try client.ask("MULTI") == .ok)
        #expect(try client.ask("SET", "a", value) == .simple("QUEUED"))
        #expect(try client.ask("SET", "a", value).isError("ERR the transaction"))
        #expect(try client.ask("EXEC").isError("EXECABORT"))
        #expect(try client.ask("EXISTS", "a") == .integer(0))
      }
    }

    @Test("RESP3 replies keep their types inside EXEC, and a failed WATCH is a RESP3 null")
    func version3() throws {
      try withServer { server in
        let (client, other) = (try server.client(), try server.client())
        #expect(try !client.ask("HELLO", "3").elements.isEmpty)
        try client.send(["MULTI"], ["CONFIG", "GET", "maxmemory"], ["GET", "a"], ["EXEC"])
        _ = (try client.read(), try client.read(), try client.read())
        #expect(
          try client.read() == .array([.map([.bulk("maxmemory"), .bulk("0")]), .null]))
        #expect(try client.ask("WATCH", "a") == .ok)
        #expect(try other.ask("SET", "a", "1") == .ok)
        try client.send(["MULTI"], ["PING"], ["GET", "a"], ["EXEC"])
        _ = (try client.read(), try client.read(), try client.read())
        #expect(try client.read() == .null)
      }
    }
  }

  @Suite("Transactions over three nodes")
  struct TransactionClusterTests {
    @Test("concurrent WATCH-and-EXEC increments through all nodes lose none")
    func increments() async throws {
      let cluster = try TestCluster()
      do {
        try await cluster.start()
        let rounds = 40
        try await withThrowingTaskGroup(of: Void.self) { group in
          for node in TestCluster.nodes {
            let port = cluster.plainPort(of: node)
            group.addTask { try Self.increment(rounds, on: port) }
          }
          try await group.waitForAll()
        }
        for node in TestCluster.nodes {
          let client = try cluster.client(of: node)
          try client.send(["MULTI"], ["INCR", "other"], ["INFO"], ["EXEC"])
          _ = (try client.read(), try client.read(), try client.read())
          #expect(try client.read().elements.count == 2)
        }
        let total = try cluster.client(of: NodeID(1)).ask("GET", "counter")
        #expect(total == .bulk("\(3 * rounds)"))
      } catch {
        await cluster.stop()
        throw error
      }
      await cluster.stop()
    }

    /// Adds one, as often as asked, by optimistic locking alone.
    private static func increment(_ rounds: Int, on port: UInt16) throws {
      let client = try TestClient(port: port)
      var done = 0
      while done < rounds {
        #expect(try client.ask("WATCH", "counter") == .ok)
        let value = Int(try client.ask("GET", "counter").text ?? "0") ?? 0
        try client.send(["MULTI"], ["SET", "counter", "\(value + 1)"], ["EXEC"])
        _ = (try client.read(), try client.read())
        let reply = try client.read()
        if reply == .array([.ok]) { done += 1 } else { #expect(reply == .null) }
      }
    }
  }
}
