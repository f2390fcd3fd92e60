import CycladesPaxos
import CycladesStore
import Testing

@testable import CycladesServer

extension ServerTests {
  @Suite("Publish and subscribe")
  struct PubSubTests {
    private func withServer(
      configure: @Sendable (inout StoreServerConfiguration) -> Void = { _ in },
      _ body: (FakeServer) throws -> Void
    ) throws {
      let server = try FakeServer(configure: configure)
      defer { server.stop() }
      try body(server)
    }

    @Test("a message reaches who listens to its channel or to a pattern, and nobody else")
    func deliver() throws {
      try withServer { server in
        let (one, two, publisher) = (
          try server.client(), try server.client(), try server.client()
        )
        #expect(
          try one.ask("SUBSCRIBE", "news")
            == .array([.bulk("subscribe"), .bulk("news"), .integer(1)]))
        #expect(
          try two.ask("PSUBSCRIBE", "n*s")
            == .array([.bulk("psubscribe"), .bulk("n*s"), .integer(1)])
        )
        #expect(try publisher.ask("PUBLISH", "news", "first") == .integer(2))
        #expect(try publisher.ask("PUBLISH", "other", "lost") == .integer(0))
        #expect(try publisher.ask("SPUBLISH", "news", "of another kind") == .integer(0))
        #expect(try publisher.ask("PUBLISH", "nuts", "second") == .integer(1))
        #expect(try one.read() == .array([.bulk("message"), .bulk("news"), .bulk("first")]))
        #expect(
          try two.read()
            == .array([.bulk("pmessage"), .bulk("n*s"), .bulk("news"), .bulk("first")]))
        #expect(
          try two.read()
            == .array([.bulk("pmessage"), .bulk("n*s"), .bulk("nuts"), .bulk("second")]))
        // Nothing else is under way to the first.
        #expect(try one.ask("PING", "x") == .array([.bulk("pong"), .bulk("x")]))
      }
    }

    @Test("confirmations count channels and patterns together, and sharded channels apart")
    func confirmations() throws {
      try withServer { server in
        let client = try server.client()
        try client.send(["SUBSCRIBE", "a", "b", "a"], ["PSUBSCRIBE", "c"], ["SSUBSCRIBE", "d"])
        let counts = try (0..<5).map { _ in try client.read().elements[2] }
        #expect(counts == [.integer(1), .integer(2), .integer(2), .integer(3), .integer(1)])
        try client.send(["UNSUBSCRIBE", "b", "nosuch"], ["UNSUBSCRIBE"], ["UNSUBSCRIBE"])
        #expect(
          try client.read() == .array([.bulk("unsubscribe"), .bulk("b"), .integer(2)]))
        #expect(
          try client.read() == .array([.bulk("unsubscribe"), .bulk("nosuch"), .integer(2)]))
        #expect(
          try client.read() == .array([.bulk("unsubscribe"), .bulk("a"), .integer(1)]))
        #expect(try client.read() == .array([.bulk("unsubscribe"), .null, .integer(1)]))
        try client.send(["PUNSUBSCRIBE"], ["SUNSUBSCRIBE"], ["GET", "a"])
        #expect(try client.read().elements[2] == .integer(0))
        #expect(try client.read().elements[2] == .integer(0))
        #expect(try client.read() == .null)
      }
    }

    @Test("a RESP2 client that listens is refused other commands; a RESP3 client is not")
    func modes() throws {
      try withServer { server in
        let client = try server.client()
        _ = try client.ask("SUBSCRIBE", "a")
        #expect(try client.ask("GET", "a").isError("ERR Can't execute 'get':"))
        #expect(try client.ask("PING") == .array([.bulk("pong"), .bulk("")]))
        #expect(try client.ask("RESET") == .simple("RESET"))
        #expect(try client.ask("GET", "a") == .null)
        #expect(try client.ask("PUBLISH", "a", "x") == .integer(0))
        _ = try client.ask("HELLO", "3")
        _ = try client.ask("SUBSCRIBE", "a")
        try client.send(["SET", "a", "1"], ["PUBLISH", "a", "x"], ["GET", "a"])
        #expect(try client.read() == .ok)
        #expect(try client.read() == .array([.bulk("message"), .bulk("a"), .bulk("x")]))
        #expect(try client.read() == .integer(1))
        #expect(try client.read() == .bulk("1"))
      }
    }

    @Test("a message never overtakes the reply that a client waits for")
    func order() throws {
      try withServer { server in
        let (client, publisher) = (try server.client(), try server.client())
        for round in 0..<100 {
          // The GET is answered a turn later than the SUBSCRIBE is carried out.
          try client.send(["GET", "a"], ["SUBSCRIBE", "a"])
          _ = try publisher.ask("PUBLISH", "a", "\(round)")
          #expect(try client.read() == .null)
          #expect(try client.read().elements.first == .bulk("subscribe"))
          try client.send(["UNSUBSCRIBE", "a"])
          var reply = try client.read()
          if reply.elements.first == .bulk("message") { reply = try client.read() }
          #expect(reply.elements.first == .bulk("unsubscribe"))
        }
      }
    }

    @Test("PUBSUB tells who is listened to, and forgets a client that left")
    func introspection() throws {
      try withServer { server in
        let asker = try server.client()
        do {
          let client = try server.client()
          try client.send(["SUBSCRIBE", "ab", "cd"], ["PSUBSCRIBE", "x*"], ["SSUBSCRIBE", "s"])
          for _ in 0..<4 { _ = try client.read() }
          #expect(try asker.ask("PUBSUB", "CHANNELS") == .array([.bulk("ab"), .bulk("cd")]))
          #expect(try asker.ask("PUBSUB", "CHANNELS", "a*") == .array([.bulk("ab")]))
          #expect(
            try asker.ask("PUBSUB", "NUMSUB", "ab", "no")
              == .array([.bulk("ab"), .integer(1), .bulk("no"), .integer(0)]))
          #expect(try asker.ask("PUBSUB", "NUMPAT") == .integer(1))
          #expect(try asker.ask("PUBSUB", "SHARDCHANNELS") == .array([.bulk("s")]))
          #expect(
            try asker.ask("PUBSUB", "SHARDNUMSUB", "s") == .array([.bulk("s"), .integer(1)]))
          #expect(try asker.ask("PUBSUB", "NOSUCH").isError("ERR"))
          #expect(try asker.ask("PUBSUB", "NUMPAT", "1").isError("ERR"))
        }
        for _ in 0..<100 where try asker.ask("PUBSUB", "CHANNELS") != .array([]) {
          asker.pause(milliseconds: 10)
        }
        #expect(try asker.ask("PUBSUB", "CHANNELS") == .array([]))
        #expect(try asker.ask("PUBSUB", "NUMPAT") == .integer(0))
      }
    }

    @Test("PUBLISH may be part of a transaction, and SUBSCRIBE may not")
    func inTransaction() throws {
      try withServer { server in
        let (listener, client) = (try server.client(), try server.client())
        _ = try listener.ask("SUBSCRIBE", "a")
        try client.send(["MULTI"], ["SET", "k", "1"], ["PUBLISH", "a", "x"], ["EXEC"])
        _ = (try client.read(), try client.read(), try client.read())
        #expect(try client.read() == .array([.ok, .integer(1)]))
        #expect(try listener.read() == .array([.bulk("message"), .bulk("a"), .bulk("x")]))
        try client.send(["MULTI"], ["SUBSCRIBE", "a"], ["EXEC"])
        #expect(try client.read() == .ok)
        #expect(try client.read().isError("ERR"))
        #expect(try client.read().isError("EXECABORT"))
      }
    }

    @Test("a listener that does not read is closed before it takes much memory; others go on")
    func slowListener() throws {
      try withServer(configure: { $0.listenerBytesMax = 1 << 20 }) { server in
        let (slow, listener, publisher) = (
          try server.client(), try server.client(), try server.client()
        )
        _ = try slow.ask("SUBSCRIBE", "a")
        _ = try listener.ask("SUBSCRIBE", "a")
        let text = String(repeating: "m", count: 100_000)
        var reached = 2
        for round in 0..<1000 where reached == 2 {
          guard case .integer(let count) = try publisher.ask("PUBLISH", "a", text) else {
            Issue.record("round \(round)")
            return
          }
          reached = count
          #expect(try listener.read().elements.last == .bulk(text))
        }
        #expect(reached == 1)
        #expect(try publisher.ask("PING") == .simple("PONG"))
      }
    }

    @Test("what peers pass on is a message or nothing")
    func encoding() throws {
      func read(_ bytes: [UInt8]) -> PublishedMessage? { PublishedMessage(bytes.rawSpan) }
      let message = PublishedMessage(.shardChannel, channel: [1, 0, 255], payload: [])
      let bytes = message.bytes
      let same = try #require(read(bytes))
      #expect(same.kind == .shardChannel && same.channel == [1, 0, 255] && same.payload.isEmpty)
      for count in 0..<bytes.count {
        #expect(read(Array(bytes[..<count])) == nil)
      }
      for kind in [UInt8(1), 3, 255] {
        #expect(read([kind] + bytes.dropFirst()) == nil)
      }
    }
  }

  @Suite("Publish and subscribe over three nodes")
  struct PubSubClusterTests {
    @Test("a listener of any node gets the messages of every node, each publisher's in order")
    func acrossNodes() async throws {
      let cluster = try TestCluster()
      do {
        try await cluster.start()
        let listeners = try TestCluster.nodes.map { try cluster.client(of: $0) }
        for listener in listeners {
          _ = try listener.ask("SUBSCRIBE", "c")
          _ = try listener.ask("SSUBSCRIBE", "s")
        }
        for node in TestCluster.nodes {
          let publisher = try cluster.client(of: node)
          for round in 0..<50 {
            #expect(try publisher.ask("PUBLISH", "c", "\(node) \(round)") == .integer(1))
            #expect(try publisher.ask("SPUBLISH", "s", "\(node) \(round)") == .integer(1))
          }
        }
        for listener in listeners {
          var next: [String: Int] = [:]
          for _ in 0..<300 {
            let fields = try listener.read().elements.compactMap(\.text)
            let words = fields[2].split(separator: " ")
            let source = "\(fields[0]) \(words[0])"
            #expect(Int(words[1]) == next[source, default: 0])
            next[source, default: 0] += 1
          }
          #expect(next.count == 6 && next.values.allSatisfy { $0 == 50 })
        }
      } catch {
        await cluster.stop()
        throw error
      }
      await cluster.stop()
    }
  }
}
