import CycladesPaxos
import CycladesTransport
import Testing

@testable import CycladesServer

extension ServerTests {
  @Suite("Cluster port")
  struct ClusterCommandTests {
    @Test("topology replies agree with each other and name the leader")
    func topology() throws {
      let server = try FakeServer(FakeHost.Script(leader: NodeID(2)))
      defer { server.stop() }
      let client = try server.clusterClient()
      let slots = try client.ask("CLUSTER", "SLOTS").elements
      #expect(slots.count == 16)
      #expect(slots.first?.elements.first == .integer(0))
      #expect(slots.last?.elements[1] == .integer(16_383))
      for range in slots {
        // Only the leader: a node must not be filed as a replica by clients.
        let nodes = range.elements.dropFirst(2).map(\.elements)
        #expect(nodes.count == 1)
        #expect(nodes.first?.prefix(2) == [.bulk("10.0.0.2"), .integer(7002)])
      }
      let shards = try client.ask("CLUSTER", "SHARDS").elements
      #expect(shards.count == 2)
      #expect(shards.first?.elements[1] == .array([]))
      #expect(shards.last?.elements[1] == .array([.integer(0), .integer(16_383)]))
      let nodes = try client.ask("CLUSTER", "NODES").text ?? ""
      let lines = nodes.split(separator: "\n")
      #expect(lines.count == 2)
      #expect(lines.first?.contains("myself,master") == true)
      #expect(lines.last?.hasSuffix("connected 0-16383") == true)
      let id = try client.ask("CLUSTER", "MYID").text ?? ""
      #expect(id.count == 40)
      #expect(lines.first?.hasPrefix(id) == true)
      let info = try client.ask("CLUSTER", "INFO").text ?? ""
      #expect(info.contains("cluster_state:ok\r\n"))
      #expect(try client.ask("CLUSTER", "KEYSLOT", "foo") == .integer(12_182))
      #expect(try client.ask("CLUSTER", "FROB").isError("ERR"))
    }

    @Test("keys that another node leads are answered with MOVED")
    func moved() throws {
      let server = try FakeServer(FakeHost.Script(leader: NodeID(2)))
      defer { server.stop() }
      let client = try server.clusterClient()
      #expect(try client.ask("SET", "foo", "1") == .error("MOVED 12182 10.0.0.2:7002"))
      #expect(try client.ask("GET", "foo") == .error("MOVED 12182 10.0.0.2:7002"))
      // After READONLY any node answers reads, and only reads.
      #expect(try client.ask("READONLY") == .ok)
      #expect(try client.ask("GET", "foo") == .null)
      #expect(try client.ask("SET", "foo", "1") == .error("MOVED 12182 10.0.0.2:7002"))
    }

    @Test("keys in several slots are refused on the cluster port and split on the plain one")
    func crossSlot() throws {
      let server = try FakeServer()
      defer { server.stop() }
      let (cluster, plain) = (try server.clusterClient(), try server.client())
      #expect(try cluster.ask("MSET", "a", "1", "b", "2").isError("CROSSSLOT"))
      #expect(try cluster.ask("MSET", "{t}a", "1", "{t}b", "2") == .ok)
      #expect(try plain.ask("MSET", "a", "1", "b", "2", "c", "3") == .ok)
      #expect(
        try plain.ask("MGET", "a", "nothing", "c", "b", "a")
          == .array([.bulk("1"), .null, .bulk("3"), .bulk("2"), .bulk("1")]))
      #expect(try plain.ask("EXISTS", "a", "b", "nothing", "a") == .integer(3))
      #expect(try plain.ask("DBSIZE") == .integer(5))
      #expect(try plain.ask("DEL", "a", "b", "nothing") == .integer(2))
      #expect(try plain.ask("MSETNX", "a", "1", "b", "2").isError("CROSSSLOT"))
      #expect(try plain.ask("FLUSHALL") == .ok)
      #expect(try plain.ask("DBSIZE") == .integer(0))
    }

    @Test("without a leader the cluster port says so, and the topology has no gaps")
    func noLeader() throws {
      let server = try FakeServer(FakeHost.Script(leader: nil))
      defer { server.stop() }
      let client = try server.clusterClient()
      #expect(try client.ask("GET", "foo").isError("CLUSTERDOWN"))
      #expect(try client.ask("CLUSTER", "SLOTS").elements.count == 16)
      let info = try client.ask("CLUSTER", "INFO").text ?? ""
      #expect(info.contains("cluster_state:fail\r\n"))
    }

    @Test("CYCLADES STATUS is the report that the status command fetches")
    func status() async throws {
      let server = try FakeServer()
      defer { server.stop() }
      let json = try server.client().ask("CYCLADES", "STATUS").text ?? ""
      let report = try StatusReport(json: Array(json.utf8))
      #expect(report.shards.count == 16)
      #expect(report.isEveryShardLed)
      #expect(
        report.nodes.map(\.plainAddress) == ["127.0.0.1:\(server.ports.plain)", "10.0.0.2:7102"])
      let fetched = try await StatusReport.fetch(from: .loopback(port: server.ports.plain))
      #expect(fetched.shards == report.shards)
      #expect(try server.client().ask("CYCLADES", "FROB").isError("ERR"))
    }
  }
}
