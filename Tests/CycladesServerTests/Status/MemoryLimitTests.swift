import CycladesPaxos
import Testing

@testable import CycladesServer

extension ServerTests {
  @Suite("Memory limit", .timeLimit(.minutes(2)))
  struct MemoryLimitTests {
    @Test("a full node refuses what may need more, and takes it again when there is room")
    func limit() async throws {
      let cluster = try TestCluster()
      try await cluster.start()
      let client = try cluster.client(of: 1)
      let other = try cluster.client(of: 2)
      let value = String(repeating: "x", count: 10_000)
      for number in 0..<20 { #expect(try client.ask("SET", "k\(number)", value) == .ok) }
      // A copy that does not lead may lag behind what was acknowledged.
      func used() async throws -> Int { try await cluster.status(of: 1).memory?.usedBytes ?? 0 }
      for _ in 0..<100 where try await used() <= 150_000 {
        try await Task.sleep(for: .milliseconds(20))
      }
      #expect(try await used() > 150_000)
      #expect(try client.ask("CONFIG", "SET", "maxmemory", "100kb") == .ok)
      #expect(
        try client.ask("CONFIG", "GET", "maxmemory")
          == .array([.bulk("maxmemory"), .bulk("102400")]))
      let refusal = "OOM command not allowed when used memory > 'maxmemory'."
      #expect(try client.ask("SET", "k", "v") == .error(refusal))
      #expect(try client.ask("INFO", "memory").text?.contains("maxmemory:102400") == true)
      #expect(try client.ask("CYCLADES", "ONCE", "1", "1", "1", "INCR", "n") == .error(refusal))
      #expect(try client.ask("GET", "k1") == .bulk(value))
      #expect(try client.ask("MULTI") == .ok)
      #expect(try client.ask("SET", "k", "v") == .error(refusal))
      #expect(try client.ask("EXEC").isError("EXECABORT"))
      // The others hear of it.
      for _ in 0..<100 where try other.ask("SET", "k", "v") == .ok {
        try await Task.sleep(for: .milliseconds(20))
      }
      #expect(try other.ask("SET", "k", "v") == .error(refusal))
      for number in 0..<15 { #expect(try client.ask("DEL", "k\(number)") == .integer(1)) }
      for client in [client, other] {
        for _ in 0..<200 where try client.ask("SET", "k", "v") != .ok {
          try await Task.sleep(for: .milliseconds(20))
        }
        #expect(try client.ask("SET", "k", "v") == .ok)
      }
      #expect(try client.ask("CONFIG", "SET", "maxmemory", "0", "maxclients", "77") == .ok)
      #expect(try await cluster.status(of: 1).memory?.limitBytes == nil)
      #expect(try client.ask("INFO", "clients").text?.contains("maxclients:77") == true)
      for words in [
        ["maxmemory", "x"], ["maxmemory", "1", "maxclients", "0"], ["maxclients", "-1"],
      ] {
        #expect(try client.ask(all: ["CONFIG", "SET"] + words).isError("ERR CONFIG SET failed"))
      }
      #expect(try await cluster.status(of: 1).memory?.limitBytes == nil)
      await cluster.stop()
    }

    @Test("sizes are read as Redis reads them")
    func sizes() {
      #expect(MemoryLimit.parse("0") == 0)
      #expect(MemoryLimit.parse("1k") == 1000)
      #expect(MemoryLimit.parse("1KB") == 1024)
      #expect(MemoryLimit.parse("2gb") == 2 << 30)
      for text in ["", "-1", "1x", "1 kb", "99999999999999999999", "9223372036854775807gb"] {
        #expect(MemoryLimit.parse(text) == nil, "\(text)")
      }
    }

    @Test("the keys of a slot are counted and listed, from any node and port")
    func slots() async throws {
      let cluster = try TestCluster()
      try await cluster.start()
      let client = try cluster.client(of: 1)
      for number in 0..<10 { _ = try client.ask("SET", "{tag}\(number)", "x") }
      _ = try client.ask("SET", "elsewhere", "x")
      guard case .integer(let slot) = try client.ask("CLUSTER", "KEYSLOT", "tag") else {
        throw TestClient.Failure("no slot")
      }
      for node in TestCluster.nodes {
        for port in [cluster.plainPort(of: node), cluster.clusterPort(of: node)] {
          let client = try TestClient(port: port)
          #expect(try client.ask("CLUSTER", "COUNTKEYSINSLOT", "\(slot)") == .integer(10))
          guard case .array(let keys) = try client.ask("CLUSTER", "GETKEYSINSLOT", "\(slot)", "4")
          else { throw TestClient.Failure("no keys") }
          #expect(keys.count == 4)
          #expect(keys.allSatisfy { $0.text?.hasPrefix("{tag}") == true })
        }
      }
      for words in [
        ["COUNTKEYSINSLOT", "16384"], ["COUNTKEYSINSLOT", "x"], ["GETKEYSINSLOT", "1", "-1"],
        ["GETKEYSINSLOT", "1", "x"], ["GETKEYSINSLOT", "1"],
      ] {
        #expect(try client.ask(all: ["CLUSTER"] + words).isError("ERR"), "\(words)")
      }
      await cluster.stop()
    }
  }
}
