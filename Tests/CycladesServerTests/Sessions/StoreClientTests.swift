import CycladesClient
import CycladesPaxos
import Logging
import Synchronization
import Testing

@testable import CycladesServer

extension ServerTests {
  @Suite("StoreClient", .timeLimit(.minutes(3)))
  struct StoreClientTests {
    private func connect(
      _ cluster: TestCluster, _ configuration: StoreClientConfiguration = .init()
    ) async throws -> StoreClient {
      try await StoreClient.connect(
        to: TestCluster.nodes.map { "127.0.0.1:\(cluster.clusterPort(of: $0))" },
        configuration: configuration, logger: Logger(label: "test") { _ in Silent() })
    }

    @Test("commands of every kind, to shards on all nodes")
    func commands() async throws {
      let cluster = try TestCluster()
      try await cluster.start()
      let client = try await connect(cluster)
      for number in 0..<200 { try await client.set("key-\(number)", "value-\(number)") }
      for number in 0..<200 {
        #expect(try await client.getString("key-\(number)") == "value-\(number)")
      }
      #expect(try await client.get("none") == nil)
      #expect(try await client.increment("n", by: 5) == 5)
      #expect(try await client.increment("n") == 6)
      #expect(try await client.setIfAbsent("n", "x") == false)
      #expect(try await client.exists("n"))
      #expect(try await client.delete("n"))
      #expect(try await client.exists("n") == false)
      #expect(try await client.send("HSET", "h", "a", 1, "b", 2.5).integer == 2)
      #expect(try await client.send("HGETALL", "h")["b"]?.double == 2.5)
      #expect(try await client.send("ZADD", "z", 1.5, "m").integer == 1)
      #expect(try await client.send("ZUNION", 2, "{z}1", "z{z}").array == [])
      #expect(try await client.send("PING").string == "PONG")
      try await client.set("short", "x", lifetime: .seconds(100))
      #expect(try await client.send("TTL", "short").integer ?? 0 > 90)
      let results = await client.sendAll(
        (0..<500).map { StoreCommand("INCR", "many-\($0 % 50)") })
      #expect(results.allSatisfy { (try? $0.get()) != nil })
      for number in 0..<50 {
        #expect(try await client.getString("many-\(number)") == "10")
      }
      let both = try await client.transaction([
        StoreCommand("INCR", "{t}a"), StoreCommand("LPUSH", "{t}a", "x"),
        StoreCommand("SET", "{t}b", "y"),
      ])
      #expect(both.first == .integer(1) && both.last == .status("OK"))
      guard case .error(let error) = both[1] else { throw TestClient.Failure("no error") }
      #expect(error.kind == "WRONGTYPE")
      await client.close()
      await cluster.stop()
    }

    @Test("errors say what happened, and what did not")
    func errors() async throws {
      let cluster = try TestCluster()
      try await cluster.start()
      let client = try await connect(cluster)
      func failure(_ command: StoreCommand) async -> StoreClientError? {
        do throws(StoreClientError) {
          _ = try await client.send(command)
          return nil
        } catch { return error }
      }
      try await client.set("text", "x")
      let wrong = await failure(StoreCommand("INCR", "text"))
      #expect(wrong?.code == .server && wrong?.outcome == .notDone)
      #expect(wrong?.serverError?.kind == "ERR")
      #expect(await failure(StoreCommand("NOSUCH", "a"))?.code == .server)
      #expect(await failure(StoreCommand("MGET", "a", "b"))?.code == .crossSlot)
      for name in ["MULTI", "SUBSCRIBE", "BLPOP", "select"] {
        #expect(await failure(StoreCommand(name, "a", "0"))?.code == .unsupported, "\(name)")
      }
      do throws(StoreClientError) {
        _ = try await client.transaction([StoreCommand("GET", "a"), StoreCommand("GET", "b")])
        Issue.record("a transaction over two slots")
      } catch { #expect(error.code == .crossSlot) }
      await client.close()
      #expect(await failure(StoreCommand("GET", "a"))?.code == .closed)
      await client.close()
      await cluster.stop()
    }

    @Test(
      "without a majority a write is not done or unknown, in time, and a cancelled task goes on")
    func noMajority() async throws {
      let cluster = try TestCluster(patience: .milliseconds(300))
      try await cluster.start()
      var configuration = StoreClientConfiguration()
      configuration.patience = .seconds(1)
      let client = try await connect(cluster, configuration)
      try await client.set("k", "v")
      await cluster.stop(1)
      await cluster.stop(2)
      let begun = ContinuousClock.now
      do throws(StoreClientError) {
        try await client.set("k", "w")
        Issue.record("written without a majority")
      } catch {
        #expect(error.code == .timedOut)
        #expect(error.outcome != .done)
      }
      #expect(ContinuousClock.now - begun < .seconds(5))
      let waiting = Task { try await client.set("k", "x") }
      try await Task.sleep(for: .milliseconds(50))
      waiting.cancel()
      do {
        try await waiting.value
        Issue.record("a cancelled write was done")
      } catch let error as StoreClientError { #expect(error.code == .cancelled) }
      await client.close()
      await cluster.stop()
    }

    @Test("nobody there: the error names the servers")
    func unreachable() async throws {
      var configuration = StoreClientConfiguration()
      configuration.patience = .milliseconds(300)
      do throws(StoreClientError) {
        _ = try await StoreClient.connect(to: ["127.0.0.1:1"], configuration: configuration)
        Issue.record("connected to nobody")
      } catch {
        #expect(error.code == .unreachable)
        #expect(error.message.contains("127.0.0.1:1"))
      }
      do throws(StoreClientError) {
        _ = try await StoreClient.connect(to: ["nowhere"])
        Issue.record("connected to nowhere")
      } catch { #expect(error.message.contains("host:port")) }
    }

    @Test("a node that was away is used again, however many others can be reached")
    func nodeReturns() async throws {
      let cluster = try TestCluster()
      try await cluster.start()
      let client = try await connect(cluster)
      func writeEverywhere() async throws {
        for key in 0..<100 { try await client.set("returns-\(key)", key) }
      }
      try await writeEverywhere()
      let node = TestCluster.nodes[0]
      await cluster.stop(node)
      // The client finds out that it is gone.
      try await writeEverywhere()
      try cluster.start(node)
      try await cluster.settle()
      // Leadership goes back to those that the plan prefers.
      for _ in 0..<500 {
        let report = try await cluster.status(of: node)
        if report.shards.contains(where: { $0.leader == node.rawValue }) { break }
        try await Task.sleep(for: .milliseconds(20))
      }
      let begun = ContinuousClock.now
      try await writeEverywhere()
      #expect(ContinuousClock.now - begun < .seconds(5))
      await client.close()
      await cluster.stop()
    }

    @Test("increments are counted exactly once while connections are cut and nodes restarted")
    func exactlyOnce() async throws {
      let cluster = try TestCluster()
      try await cluster.start()
      let client = try await connect(cluster)
      let isOver = Flag()
      let counters = 40
      let tasks = (0..<16).map { worker in
        Task {
          var acknowledged = [Int](repeating: 0, count: counters)
          var step = worker
          while !isOver.value.load(ordering: .relaxed) {
            step += 7
            // A sum that was seen before would be a command carried out twice, or not at all.
            try await client.increment("counter-\(step % counters)")
            acknowledged[step % counters] += 1
          }
          return acknowledged
        }
      }
      let ports = TestCluster.nodes.map { cluster.plainPort(of: $0) }
      let cutting = Task.detached {
        var cuts = 0
        while !isOver.value.load(ordering: .relaxed) {
          let port = ports[cuts % ports.count]
          // A node may be away just now.
          if let admin = try? TestClient(port: port) {
            _ = try? admin.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
          }
          cuts += 1
          try? await Task.sleep(for: .milliseconds(7))
        }
        return cuts
      }
      try await Task.sleep(for: .milliseconds(1000))
      for node in TestCluster.nodes {
        await cluster.stop(node)
        try await Task.sleep(for: .milliseconds(300))
        try cluster.start(node)
        try await cluster.settle()
      }
      isOver.value.store(true, ordering: .relaxed)
      #expect(await cutting.value > 20)
      var expected = [Int](repeating: 0, count: counters)
      for task in tasks {
        for (counter, count) in try await task.value.enumerated() { expected[counter] += count }
      }
      #expect(expected.reduce(0, +) > 100)
      let statistics = await client.statistics
      #expect(statistics.repetitions > 20 && statistics.redirections > 0)
      for counter in 0..<counters {
        let value = try await client.getString("counter-\(counter)") ?? "0"
        #expect(value == "\(expected[counter])", "counter-\(counter)")
      }
      await client.close()
      await cluster.stop()
    }
  }
}

private final class Flag: Sendable {
  let value = Atomic(false)
}
