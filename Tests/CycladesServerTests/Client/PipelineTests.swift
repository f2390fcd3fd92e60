import CycladesReplication
import CycladesTransport
import Testing

@testable import CycladesServer

extension ServerTests {
  @Suite("Pipelines and outcomes")
  struct PipelineTests {
    @Test("a pipeline of reads and writes sees its own writes in the order sent")
    func programOrder() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let client = try server.client()
      var generator = Generator(seed: 1)
      var commands: [[String]] = []
      var expected: [Value] = []
      var model: [String: Int] = [:]
      for step in 0..<2000 {
        let key = "k\(Int.random(in: 0..<40, using: &generator))"
        switch Int.random(in: 0..<5, using: &generator) {
        case 0, 1:
          commands.append(["GET", key])
          expected.append(model[key].map { .bulk("\($0)") } ?? .null)
        case 2:
          model[key] = step
          commands.append(["SET", key, "\(step)"])
          expected.append(.ok)
        case 3:
          model[key, default: 0] += 1
          commands.append(["INCR", key])
          expected.append(.integer(model[key]!))
        default:
          commands.append(["PING", "\(step)"])
          expected.append(.bulk("\(step)"))
        }
      }
      try client.send(pipeline: commands)
      for (index, value) in expected.enumerated() {
        let reply = try client.read()
        #expect(reply == value, "command \(index): \(commands[index])")
      }
    }

    @Test("commands over all shards keep their place in a pipeline")
    func gathersInOrder() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let client = try server.client()
      try client.send(
        ["MSET", "a", "1", "b", "2", "c", "3"], ["DBSIZE"], ["GET", "b"], ["FLUSHALL"],
        ["MGET", "a", "b"], ["SET", "a", "4"], ["MGET", "b", "a"], ["PING"])
      #expect(try client.read() == .ok)
      #expect(try client.read() == .integer(3))
      #expect(try client.read() == .bulk("2"))
      #expect(try client.read() == .ok)
      #expect(try client.read() == .array([.null, .null]))
      #expect(try client.read() == .ok)
      #expect(try client.read() == .array([.null, .bulk("4")]))
      #expect(try client.read() == .simple("PONG"))
    }

    @Test("a client that sends all and then closes its side gets all its replies")
    func halfClose() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let client = try server.client()
      // GET then SET of one key: the SET waits, unparsed, while the input ends.
      try client.send(["GET", "a"], ["SET", "a", "1"], ["GET", "a"])
      client.finishSending()
      #expect(try client.read() == .null)
      #expect(try client.read() == .ok)
      #expect(try client.read() == .bulk("1"))
      #expect(client.isClosed())
    }

    @Test("a pipeline deeper than the window is answered whole")
    func deepPipeline() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let client = try server.client()
      let count = 20_000
      try client.send(pipeline: (0..<count).map { ["SET", "k\($0 % 100)", "\($0)"] })
      for index in 0..<count {
        let reply = try client.read()
        guard reply == .ok else {
          Issue.record("reply \(index) is \(reply)")
          return
        }
      }
    }

    @Test("megabyte values pass a slow client without loss")
    func largeReplies() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let client = try server.client()
      let value = String(repeating: "v", count: 3 << 20)
      #expect(try client.ask("SET", "large", value) == .ok)
      try client.send(pipeline: Array(repeating: ["GET", "large"], count: 40))
      for _ in 0..<40 {
        guard try client.read() == .bulk(value) else {
          Issue.record("a value came back changed")
          return
        }
      }
    }

    @Test("a command that was refused is answered with why, and never with OK")
    func refusals() throws {
      let cases: [(Outcome, String)] = [
        (.notDone(.noLeader), "CLUSTERDOWN"), (.notDone(.overloaded), "TRYAGAIN"),
        (.notDone(.stopping), "TRYAGAIN"), (.notDone(.tooLarge), "ERR"),
        (.unknown, "UNKNOWNOUTCOME"),
      ]
      for (outcome, code) in cases {
        let server = try FakeServer(FakeHost.Script(outcome: outcome))
        defer { server.stop() }
        let client = try server.client()
        #expect(try client.ask("SET", "a", "1").isError(code))
        #expect(try client.ask("GET", "a").isError(code))
        #expect(try client.ask("MSET", "a", "1", "b", "2", "c", "3").isError(code))
        #expect(try client.ask("DBSIZE").isError(code))
        #expect(try client.ask("PING") == .simple("PONG"))
      }
    }

    @Test("a write that half the shards refused has an unknown outcome")
    func partlyRefused() throws {
      let server = try FakeServer(
        FakeHost.Script(outcome: .notDone(.noLeader), groups: Set(0..<8)))
      defer { server.stop() }
      let client = try server.client()
      #expect(try client.ask("FLUSHALL").isError("UNKNOWNOUTCOME"))
      #expect(try client.ask("DBSIZE").isError("CLUSTERDOWN"))
    }

    @Test("clients that do not read leave buffers to those that do, and lose nothing")
    func slowReaders() throws {
      let server = try FakeServer(configure: { $0.reactor.poolBudgetBytes = 64 << 20 })
      defer { server.stop() }
      let client = try server.client()
      let value = String(repeating: "v", count: 256 << 10)
      #expect(try client.ask("SET", "large", value) == .ok)
      // Together they ask for 30 times the budget, more than sockets take off the server's hands.
      let (slow, each) = (40, 200)
      let readers = try (0..<slow).map { _ in try server.client() }
      for reader in readers {
        try reader.send(pipeline: Array(repeating: ["GET", "large"], count: each))
        #expect(try client.ask("SET", "small", "1") == .ok)
      }
      for round in 0..<200 {
        #expect(try client.ask("INCR", "small") == .integer(round + 2))
        guard try client.ask("GET", "large") == .bulk(value) else {
          Issue.record("a value came back changed")
          return
        }
      }
      for reader in readers.prefix(3) {
        for _ in 0..<each {
          guard try reader.read() == .bulk(value) else {
            Issue.record("a value came back changed")
            return
          }
        }
      }
    }
  }
}
