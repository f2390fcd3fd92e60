import CycladesPaxos
import CycladesTransport
import Logging
import Testing

@testable import CycladesServer

extension ServerTests {
  @Suite("Three nodes")
  struct ClusterTests {
    /// Runs a test against a fresh cluster and stops it whatever happens.
    private func withCluster(
      patience: Duration = .seconds(10), _ body: (TestCluster) async throws -> Void
    ) async throws {
      let cluster = try TestCluster(patience: patience)
      do {
        try await cluster.start()
        try await body(cluster)
      } catch {
        await cluster.stop()
        throw error
      }
      await cluster.stop()
    }

    @Test("a write through any node is read through every other at once")
    func forwarding() async throws {
      try await withCluster { cluster in
        for (index, writer) in TestCluster.nodes.enumerated() {
          let client = try cluster.client(of: writer)
          for key in 0..<40 {
            #expect(try client.ask("SET", "k\(key)", "\(index)-\(key)") == .ok)
          }
          for reader in TestCluster.nodes {
            let client = try cluster.client(of: reader)
            for key in 0..<40 {
              #expect(try client.ask("GET", "k\(key)") == .bulk("\(index)-\(key)"))
            }
          }
        }
        #expect(try cluster.client(of: NodeID(2)).ask("DBSIZE") == .integer(40))
      }
    }

    @Test("one pipeline of mixed commands over all shards keeps its order on every node")
    func pipeline() async throws {
      try await withCluster { cluster in
        for node in TestCluster.nodes {
          let client = try cluster.client(of: node)
          var commands: [[String]] = []
          var expected: [Value] = []
          for step in 0..<300 {
            let key = "n\(node)k\(step % 30)"
            commands += [["GET", key], ["INCR", key], ["GET", key], ["APPEND", key, ""]]
            let before = step / 30
            expected += [
              before == 0 ? .null : .bulk("\(before)"), .integer(before + 1),
              .bulk("\(before + 1)"), .integer("\(before + 1)".count),
            ]
          }
          try client.send(pipeline: commands)
          for (command, value) in zip(commands, expected) {
            #expect(try client.read() == value, "\(command)")
          }
        }
      }
    }

    @Test("MOVED on the cluster port leads to the leader in one step")
    func moved() async throws {
      try await withCluster { cluster in
        let client = try TestClient(port: cluster.clusterPort(of: NodeID(1)))
        var moves = 0
        for key in 0..<100 {
          var reply = try client.ask("SET", "k\(key)", "v")
          if reply.isError("MOVED") {
            moves += 1
            let port = reply.text?.split(separator: ":").last.flatMap { UInt16($0) }
            let leader = try TestClient(port: try #require(port))
            reply = try leader.ask("SET", "k\(key)", "v")
          }
          #expect(reply == .ok)
        }
        #expect(moves > 0 && moves < 100)
      }
    }

    @Test("when a leader goes, writes go on through the others within three seconds")
    func failover() async throws {
      try await withCluster { cluster in
        let report = try await cluster.status(of: NodeID(1))
        let leader = NodeID(try #require(report.shards[0].leader))
        let other = try #require(TestCluster.nodes.first { $0 != leader })
        let client = try cluster.client(of: other)
        for key in 0..<100 { #expect(try client.ask("SET", "k\(key)", "before") == .ok) }
        await cluster.stop(leader)
        let start = ContinuousClock.now
        for key in 0..<100 {
          // Forwarded commands wait for the new leader; at worst they are refused and tried again.
          var reply = try client.ask("SET", "k\(key)", "after")
          while reply != .ok, ContinuousClock.now - start < .seconds(3) {
            reply = try client.ask("SET", "k\(key)", "after")
          }
          #expect(reply == .ok)
        }
        #expect(ContinuousClock.now - start < .seconds(3))
        for key in 0..<100 { #expect(try client.ask("GET", "k\(key)") == .bulk("after")) }
        try cluster.start(leader)
        try await cluster.settle()
        let returned = try cluster.client(of: leader)
        for key in 0..<100 { #expect(try returned.ask("GET", "k\(key)") == .bulk("after")) }
      }
    }

    @Test("with one node of three nothing is acknowledged, and all goes on when a second returns")
    func majorityLost() async throws {
      try await withCluster(patience: .seconds(1)) { cluster in
        let client = try cluster.client(of: NodeID(1))
        #expect(try client.ask("SET", "a", "1") == .ok)
        await cluster.stop(NodeID(2))
        await cluster.stop(NodeID(3))
        let reply = try client.ask("SET", "a", "2")
        #expect(reply.isError("CLUSTERDOWN") || reply.isError("UNKNOWNOUTCOME"), "\(reply)")
        try cluster.start(NodeID(2))
        try await cluster.settle()
        let value = try cluster.client(of: NodeID(2)).ask("GET", "a")
        #expect(value == .bulk("1") || (reply.isError("UNKNOWNOUTCOME") && value == .bulk("2")))
      }
    }

    @Test("what was acknowledged is there after all nodes have stopped and started")
    func restart() async throws {
      try await withCluster { cluster in
        let client = try cluster.client(of: NodeID(3))
        try client.send(pipeline: (0..<1000).map { ["SET", "k\($0)", "v\($0)"] })
        for _ in 0..<1000 { #expect(try client.read() == .ok) }
        for node in TestCluster.nodes { await cluster.stop(node) }
        try await cluster.start()
        let after = try cluster.client(of: NodeID(1))
        for key in 0..<1000 { #expect(try after.ask("GET", "k\(key)") == .bulk("v\(key)")) }
      }
    }

    @Test("a value of many megabytes is stored and forwarded whole")
    func largeValue() async throws {
      try await withCluster { cluster in
        let value = String(repeating: "0123456789abcdef", count: 1 << 20)
        for (index, node) in TestCluster.nodes.enumerated() {
          let reply = try cluster.client(of: node).ask("SET", "large\(index)", value)
          #expect(reply == .ok, "\(reply)")
        }
        for node in TestCluster.nodes {
          for index in 0..<3 {
            guard try cluster.client(of: node).ask("GET", "large\(index)") == .bulk(value) else {
              Issue.record("value \(index) came back changed on node \(node)")
              return
            }
          }
        }
      }
    }

    @Test("a second server on a busy port, or on a folder in use, says so in one line")
    func startFailures() async throws {
      try await withCluster { cluster in
        let peers = [NodeID(1): try cluster.unusedPeerAddress()]
        var configuration = StoreServerConfiguration(
          node: NodeID(1), peers: peers, directory: cluster.folder + "/other")
        configuration.plainListen = .loopback(port: cluster.plainPort(of: NodeID(1)))
        expectFailure(configuration, saying: "listen")
        configuration.plainListen = .loopback()
        configuration.directory = cluster.folder + "/node-1"
        expectFailure(configuration, saying: "node-1")
        configuration.directory = cluster.folder
        expectFailure(configuration, saying: cluster.folder)
      }
    }

    private func expectFailure(_ configuration: StoreServerConfiguration, saying words: String) {
      do {
        try StoreServer(configuration, logger: .init(label: "test") { _ in Silent() }).start()
        Issue.record("the server started")
      } catch {
        #expect(error.description.contains(words), "\(error)")
        #expect(!error.description.contains("\n"))
      }
    }
  }
}
