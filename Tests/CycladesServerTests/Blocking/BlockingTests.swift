import CycladesPaxos
import CycladesReplication
import Testing

@testable import CycladesServer

extension ServerTests {
  @Suite("Pops that wait")
  struct BlockingTests {
    private func withServer(
      _ script: FakeHost.Script = .init(), _ body: (FakeServer) throws -> Void
    ) throws {
      let server = try FakeServer(script)
      defer { server.stop() }
      try body(server)
    }

    /// Waits until that many clients of a server wait for something to pop.
    private func awaitBlocked(_ count: Int, _ asker: TestClient) throws {
      for _ in 0..<500 {
        let info = try asker.ask("INFO", "clients").text ?? ""
        if info.contains("blocked_clients:\(count)\r\n") { return }
        asker.pause(milliseconds: 5)
      }
      Issue.record("\(count) clients do not wait")
    }

    @Test("a pop that finds something answers at once, and one that does not when it comes")
    func popsWhatComes() throws {
      try withServer { server in
        let (waiter, pusher) = (try server.client(), try server.client())
        #expect(try pusher.ask("RPUSH", "l", "1") == .integer(1))
        #expect(try waiter.ask("BLPOP", "l", "5") == .array([.bulk("l"), .bulk("1")]))
        let cases: [(pop: [String], push: [String], reply: Value)] = [
          (["BLPOP", "l", "0"], ["RPUSH", "l", "2"], .array([.bulk("l"), .bulk("2")])),
          (["BRPOP", "{l}x", "l", "5"], ["RPUSH", "l", "3"], .array([.bulk("l"), .bulk("3")])),
          (["BLMOVE", "l", "{l}to", "LEFT", "RIGHT", "5"], ["RPUSH", "l", "4"], .bulk("4")),
          (["BRPOPLPUSH", "l", "{l}to", "5"], ["RPUSH", "l", "5"], .bulk("5")),
          (
            ["BLMPOP", "5", "1", "l", "LEFT", "COUNT", "2"], ["RPUSH", "l", "6", "7", "8"],
            .array([.bulk("l"), .array([.bulk("6"), .bulk("7")])])
          ),
          (
            ["BZPOPMIN", "z", "5"], ["ZADD", "z", "1", "a"],
            .array([.bulk("z"), .bulk("a"), .bulk("1")])
          ),
        ]
        for (pop, push, reply) in cases {
          try waiter.send(pop)
          try awaitBlocked(1, pusher)
          try pusher.send(push)
          guard case .integer = try pusher.read() else {
            Issue.record("\(push) failed")
            continue
          }
          #expect(try waiter.read() == reply, "\(pop)")
          try awaitBlocked(0, pusher)
        }
        #expect(try pusher.ask("LRANGE", "l", "0", "-1") == .array([.bulk("8")]))
      }
    }

    @Test("a wait ends at its timeout with a null array, not before")
    func timeout() throws {
      try withServer { server in
        let client = try server.client()
        let start = ContinuousClock.now
        try client.send(["BLPOP", "l", "0.2"], ["PING"])
        #expect(try client.read() == .null)
        #expect(ContinuousClock.now - start >= .milliseconds(200))
        #expect(try client.read() == .simple("PONG"))
        #expect(try client.ask("BLPOP", "l", "never").isError("ERR timeout"))
        #expect(try client.ask("BLPOP", "l", "-1").isError("ERR timeout"))
        #expect(try client.ask("SET", "s", "1") == .ok)
        #expect(try client.ask("BLPOP", "s", "1").isError("WRONGTYPE"))
      }
    }

    @Test("who waits longest pops first, one element each")
    func order() throws {
      try withServer { server in
        let pusher = try server.client()
        var waiters: [TestClient] = []
        for index in 0..<5 {
          let waiter = try server.client()
          try waiter.send(["BLPOP", "l", "10"])
          try awaitBlocked(index + 1, pusher)
          waiters.append(waiter)
        }
        #expect(try pusher.ask("RPUSH", "l", "0", "1", "2") == .integer(3))
        for index in 0..<3 {
          #expect(try waiters[index].read() == .array([.bulk("l"), .bulk("\(index)")]))
        }
        try awaitBlocked(2, pusher)
        #expect(try pusher.ask("RPUSH", "l", "3", "4", "5") == .integer(3))
        for index in 3..<5 {
          #expect(try waiters[index].read() == .array([.bulk("l"), .bulk("\(index)")]))
        }
        #expect(try pusher.ask("LRANGE", "l", "0", "-1") == .array([.bulk("5")]))
      }
    }

    @Test("commands behind a pop that waits are carried out after it")
    func pipeline() throws {
      try withServer { server in
        let (waiter, pusher) = (try server.client(), try server.client())
        try waiter.send(["SET", "a", "1"], ["BLPOP", "l", "10"], ["GET", "a"])
        #expect(try waiter.read() == .ok)
        try awaitBlocked(1, pusher)
        #expect(try pusher.ask("SET", "a", "2") == .ok)
        #expect(try pusher.ask("LPUSH", "l", "x") == .integer(1))
        #expect(try waiter.read() == .array([.bulk("l"), .bulk("x")]))
        #expect(try waiter.read() == .bulk("2"))
      }
    }

    @Test("a client that leaves while it waits pops nothing")
    func left() throws {
      try withServer { server in
        let pusher = try server.client()
        for isAbrupt in [true, false] {
          do {
            let waiter = try server.client()
            try waiter.send(["BLPOP", "l", "10"])
            try awaitBlocked(1, pusher)
            if !isAbrupt {
              waiter.finishSending()
              try awaitBlocked(0, pusher)
            }
          }
          try awaitBlocked(0, pusher)
          #expect(try pusher.ask("RPUSH", "l", "x") == .integer(1))
          #expect(try pusher.ask("LPOP", "l") == .bulk("x"))
        }
      }
    }

    @Test("what is popped for a client that leaves during the try is put back where it was")
    func putBack() throws {
      let cases: [(fill: [String], pop: [String], show: [String])] = [
        (["RPUSH", "l", "1", "2", "3"], ["BLPOP", "l", "10"], ["LRANGE", "l", "0", "-1"]),
        (["RPUSH", "l", "1", "2", "3"], ["BRPOP", "l", "10"], ["LRANGE", "l", "0", "-1"]),
        (
          ["RPUSH", "l", "1", "2", "3"], ["BLMPOP", "10", "1", "l", "RIGHT", "COUNT", "2"],
          ["LRANGE", "l", "0", "-1"]
        ),
        (
          ["ZADD", "z", "1.5", "a", "2", "b"], ["BZPOPMIN", "z", "10"],
          ["ZRANGE", "z", "0", "-1", "WITHSCORES"]
        ),
        (
          ["ZADD", "z", "1", "a", "2", "b"], ["BZMPOP", "10", "1", "z", "MAX", "COUNT", "2"],
          ["ZRANGE", "z", "0", "-1", "WITHSCORES"]
        ),
      ]
      for (fill, pop, show) in cases {
        for version in ["2", "3"] {
          try withServer(FakeHost.Script(writeDelay: .milliseconds(100))) { server in
            let other = try server.client()
            try other.send(fill, show)
            _ = try other.read()
            let before = try other.read()
            #expect(before.elements.count >= 3)
            do {
              let waiter = try server.client()
              _ = try waiter.ask("HELLO", version)
              try waiter.send(pop)
              waiter.pause(milliseconds: 30)
            }
            for _ in 0..<200 {
              if try other.ask("INFO", "stats").text?.contains("pops_put_back:1") == true { break }
              other.pause(milliseconds: 5)
            }
            var after = Value.null
            for _ in 0..<200 where after != before {
              try other.send(show)
              after = try other.read()
            }
            #expect(after == before, "\(pop), RESP\(version)")
          }
        }
      }
    }

    @Test("a timeout during a try waits for its outcome")
    func timeoutDuringTry() throws {
      try withServer(FakeHost.Script(writeDelay: .milliseconds(150))) { server in
        let client = try server.client()
        #expect(try client.ask("RPUSH", "l", "x") == .integer(1))
        #expect(try client.ask("BLPOP", "l", "0.02") == .array([.bulk("l"), .bulk("x")]))
        #expect(try client.ask("BLPOP", "l", "0.02") == .null)
      }
    }

    @Test("CLIENT UNBLOCK ends a wait, as a timeout or with an error")
    func unblock() throws {
      try withServer { server in
        let (waiter, other) = (try server.client(), try server.client())
        guard case .integer(let id) = try waiter.ask("CLIENT", "ID") else { return }
        #expect(try other.ask("CLIENT", "UNBLOCK", "\(id)") == .integer(0))
        try waiter.send(["BLPOP", "l", "0"])
        try awaitBlocked(1, other)
        #expect(try other.ask("CLIENT", "LIST").text?.contains("flags=b") == true)
        #expect(try other.ask("CLIENT", "UNBLOCK", "\(id)") == .integer(1))
        #expect(try waiter.read() == .null)
        try waiter.send(["BLPOP", "l", "0"])
        try awaitBlocked(1, other)
        #expect(try other.ask("CLIENT", "UNBLOCK", "\(id)", "ERROR") == .integer(1))
        #expect(try waiter.read().isError("UNBLOCKED"))
        #expect(try other.ask("CLIENT", "UNBLOCK", "x").isError("ERR"))
        #expect(try other.ask("CLIENT", "UNBLOCK", "\(id)", "x").isError("ERR"))
      }
    }

    @Test("in a transaction nothing waits")
    func inTransaction() throws {
      try withServer { server in
        let client = try server.client()
        try client.send(["MULTI"], ["BLPOP", "l", "0"], ["EXEC"])
        _ = (try client.read(), try client.read())
        #expect(try client.read() == .array([.null]))
      }
    }

    @Test("a pop whose outcome is not known says so, and a missing leader is waited for")
    func outcomes() throws {
      try withServer(FakeHost.Script(outcome: .unknown)) { server in
        let client = try server.client()
        #expect(try client.ask("BLPOP", "l", "5").isError("UNKNOWNOUTCOME"))
      }
      try withServer(FakeHost.Script(outcome: .notDone(.noLeader))) { server in
        let client = try server.client()
        #expect(try client.ask("BLPOP", "l", "0.3") == .null)
      }
    }

    @Test("a server that drains lets go of those who wait")
    func drain() throws {
      let server = try FakeServer()
      let (waiter, other) = (try server.client(), try server.client())
      try waiter.send(["BLPOP", "l", "0"])
      try awaitBlocked(1, other)
      server.stop()
      #expect(try waiter.read().isError("UNBLOCKED"))
      #expect(waiter.isClosed())
    }
  }

  @Suite("Pops that wait over three nodes")
  struct BlockingClusterTests {
    @Test("every element pushed through any node is popped once, by clients of all nodes")
    func everyElementOnce() async throws {
      let cluster = try TestCluster()
      do {
        try await cluster.start()
        let count = 60
        let popped = try await withThrowingTaskGroup(of: [String].self) { group in
          for node in TestCluster.nodes {
            let port = cluster.plainPort(of: node)
            for _ in 0..<2 { group.addTask { try Self.popAll(on: port) } }
          }
          let pusher = try cluster.client(of: NodeID(2))
          for element in 0..<count {
            guard case .integer = try pusher.ask("RPUSH", "queue", "\(element)") else {
              throw TestClient.Failure("no push")
            }
          }
          return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(popped.count == count)
        #expect(Set(popped).count == count)
      } catch {
        await cluster.stop()
        throw error
      }
      await cluster.stop()
    }

    /// Pops until nothing comes for a second.
    private static func popAll(on port: UInt16) throws -> [String] {
      let client = try TestClient(port: port)
      var popped: [String] = []
      while true {
        let reply = try client.ask("BLPOP", "queue", "1")
        if reply == .null { return popped }
        popped.append(reply.elements[1].text ?? "?")
      }
    }
  }
}
