import CycladesPaxos
import Testing

@testable import CycladesServer

extension ServerTests {
  @Suite("Numbered commands", .timeLimit(.minutes(2)))
  struct SessionCommandTests {
    @Test("one number is carried out once, whichever nodes it is sent through, in both protocols")
    func throughAllNodes() async throws {
      let cluster = try TestCluster()
      try await cluster.start()
      let clients = try TestCluster.nodes.map { try cluster.client(of: $0) }
      let slot = try clients[0].ask("CLUSTER", "KEYSLOT", "n")
      guard case .integer(let number) = slot,
        case .integer(let session) = try clients[0].ask("CYCLADES", "SESSION", "\(number)")
      else { throw TestClient.Failure("no session") }
      let words = ["CYCLADES", "ONCE", "\(session)", "1", "1", "INCR", "n"]
      for _ in 0..<3 {
        for client in clients { #expect(try client.ask(all: words) == .integer(1)) }
      }
      #expect(try clients[1].ask("GET", "n") == .bulk("1"))
      let both = [
        "CYCLADES", "ONCE", "\(session)", "2", "2", "EXEC", "2", "2", "INCR", "n", "3", "APPEND",
        "{n}s", "x",
      ]
      for client in clients {
        #expect(try client.ask(all: both) == .array([.integer(2), .integer(1)]))
      }
      guard case .error(let late) = try clients[2].ask(all: words) else {
        throw TestClient.Failure("a late command was carried out")
      }
      #expect(late.hasPrefix("STALESEQUENCE"))
      await cluster.stop()
    }

    @Test("what cannot be numbered is refused in words")
    func refusals() async throws {
      let cluster = try TestCluster()
      try await cluster.start()
      let client = try cluster.client(of: 1)
      for (words, text) in [
        (["SESSION"], "ERR a session begins"), (["SESSION", "16384"], "ERR a session begins"),
        (["SESSION", "x"], "ERR a session begins"), (["ONCE", "1", "1", "1"], "ERR wrong number"),
        (["ONCE", "1", "1", "1", "NOSUCH"], "ERR unknown command"),
        (["ONCE", "1", "1", "1", "GET"], "ERR wrong number"),
        (["ONCE", "1", "1", "1", "PING"], "ERR the command 'ping' cannot"),
        (["ONCE", "1", "1", "1", "BLPOP", "a", "0"], "ERR the command 'blpop' cannot"),
        (["ONCE", "1", "1", "1", "DBSIZE"], "ERR the command 'dbsize' cannot"),
        (["ONCE", "1", "1", "1", "MSET", "a", "1", "b", "2", "c", "3"], "CROSSSLOT"),
        (["ONCE", "1", "1", "1", "INCR", "n"], "NOSESSION"),
        (["ONCE", "1", "1", "1", "EXEC"], "ERR syntax"),
        (["ONCE", "1", "1", "1", "EXEC", "0"], "ERR syntax"),
        (["ONCE", "1", "1", "1", "EXEC", "1", "9", "GET", "a"], "ERR syntax"),
        (["ONCE", "1", "1", "1", "EXEC", "1", "1", "GET", "a"], "ERR wrong number"),
        (["ONCE", "1", "1", "1", "EXEC", "1", "2", "GET", "a", "b"], "ERR syntax"),
        (["ONCE", "1", "1", "1", "EXEC", "9223372036854775807", "2", "GET", "a"], "ERR syntax"),
        (
          ["ONCE", "1", "1", "1", "EXEC", "3", "2", "GET", "a", "2", "GET", "b", "2", "GET", "c"],
          "CROSSSLOT"
        ),
      ] {
        guard case .error(let answer) = try client.ask(all: ["CYCLADES"] + words) else {
          throw TestClient.Failure("\(words) was taken")
        }
        #expect(answer.hasPrefix(text), "\(words)")
      }
      await cluster.stop()
    }

    @Test("a session outlives the node that it was begun through, and every leader")
    func failover() async throws {
      let cluster = try TestCluster()
      try await cluster.start()
      var client = try cluster.client(of: 1)
      guard case .integer(let slot) = try client.ask("CLUSTER", "KEYSLOT", "n"),
        case .integer(let session) = try client.ask("CYCLADES", "SESSION", "\(slot)")
      else { throw TestClient.Failure("no session") }
      let words = ["CYCLADES", "ONCE", "\(session)", "1", "1", "INCR", "n"]
      #expect(try client.ask(all: words) == .integer(1))
      for node in TestCluster.nodes {
        await cluster.stop(node)
        try await cluster.settle()
        client = try cluster.client(of: node == 1 ? 2 : 1)
        #expect(try client.ask(all: words) == .integer(1))
        try cluster.start(node)
        try await cluster.settle()
      }
      #expect(try client.ask("GET", "n") == .bulk("1"))
      await cluster.stop()
    }
  }
}
