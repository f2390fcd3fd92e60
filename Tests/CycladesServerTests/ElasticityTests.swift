import CycladesPaxos
import Synchronization
import Testing

@testable import CycladesServer

extension ServerTests {
  @Suite("Elasticity", .timeLimit(.minutes(3)))
  struct ElasticityTests {
    /// Waits until every node that is asked sees the shards where they are planned to be.
    private func settle(
      _ cluster: TestCluster, _ nodes: [NodeID], _ isDone: (StatusReport) -> Bool
    ) async throws {
      let deadline = ContinuousClock.now + .seconds(60)
      for node in nodes {
        while true {
          let report = try await cluster.status(of: node)
          // A node knows the members of the shards that it holds.
          let held = report.shards.filter { $0.members.contains(node.rawValue) }
          let isInPlace = held.allSatisfy { $0.planned == $0.members && $0.leader != nil }
          if isInPlace, isDone(report) { break }
          guard ContinuousClock.now < deadline else {
            throw TestClient.Failure("node \(node) does not see the plan carried out: \(report)")
          }
          try await Task.sleep(for: .milliseconds(50))
        }
      }
    }

    /// Writes keys in turn until told to stop; returns how many were acknowledged.
    private static func load(_ port: UInt16, _ isOver: Shared) throws -> Int {
      let client = try TestClient(port: port)
      var count = 0
      while !isOver.flag.load(ordering: .relaxed) {
        let reply = try client.ask("SET", "key-\(count)", "value-\(count)")
        guard reply == .simple("OK") else {
          throw TestClient.Failure("SET was answered with \(reply)")
        }
        count += 1
      }
      return count
    }

    @Test("a node joins and gets its share, another is drained and leaves, and nothing is lost")
    func joinAndDrain() async throws {
      let cluster = try TestCluster()
      try await cluster.start()
      let (port, isOver) = (cluster.plainPort(of: 2), Shared())
      let written = Task.detached { try Self.load(port, isOver) }
      try cluster.join(4)
      let four: [NodeID] = [1, 2, 3, 4]
      try await settle(cluster, four) { report in
        report.nodes.count == 4
          && report.shards.contains { $0.planned?.contains(4) == true }
      }
      let shares = try await cluster.status(of: 2).shards.compactMap(\.planned).joined()
      let newcomer = shares.count { $0 == 4 }
      #expect(newcomer >= 6 && newcomer <= 18, "4 of 48 replicas are \(newcomer)")
      // Not before it is drained.
      let admin = try cluster.client(of: 3)
      guard case .error = try admin.ask("CYCLADES", "NODES", "REMOVE", "1") else {
        throw TestClient.Failure("a node that holds shards was removed")
      }
      #expect(try admin.ask("CYCLADES", "NODES", "DRAIN", "1") == .simple("OK"))
      try await settle(cluster, [2, 3, 4]) { report in
        report.shards.allSatisfy { $0.planned?.contains(1) == false }
          && report.nodes.first { $0.id == 1 }?.isDraining == true
      }
      try await settle(cluster, [1]) { $0.shards.allSatisfy { $0.role == "none" } }
      #expect(try admin.ask("CYCLADES", "NODES", "REMOVE", "1") == .simple("OK"))
      try await settle(cluster, [2, 3, 4]) { $0.nodes.map(\.id) == [2, 3, 4] }
      await cluster.stop(1)
      isOver.flag.store(true, ordering: .relaxed)
      let count = try await written.value
      #expect(count > 0)
      let reader = try cluster.client(of: 4)
      for number in 0..<count {
        let reply = try reader.ask("GET", "key-\(number)")
        guard reply == .bulk("value-\(number)") else {
          throw TestClient.Failure("key-\(number) of \(count) is \(reply)")
        }
      }
      await cluster.stop()
    }

    @Test("a node that stays away is given up when enough are left, and gets its share when back")
    func eviction() async throws {
      let cluster = try TestCluster(evictionGrace: .milliseconds(1500))
      try await cluster.start()
      try cluster.join(4)
      let four: [NodeID] = [1, 2, 3, 4]
      try await settle(cluster, four) { report in
        report.nodes.count == 4 && report.shards.contains { $0.planned?.contains(4) == true }
      }
      let client = try cluster.client(of: 1)
      for number in 0..<200 { _ = try client.ask("SET", "key-\(number)", "\(number)") }
      await cluster.stop(3)
      try await settle(cluster, [1, 2, 4]) { report in
        report.nodes.first { $0.id == 3 }?.isAway == true
          && report.shards.allSatisfy { $0.planned?.sorted() == [1, 2, 4] }
      }
      // With three left, nobody else is given up: nobody could take over.
      await cluster.stop(4)
      try await Task.sleep(for: .milliseconds(2500))
      #expect(try await cluster.status(of: 1).nodes.first { $0.id == 4 }?.isAway == false)
      for number in 0..<200 {
        #expect(try client.ask("GET", "key-\(number)") == .bulk("\(number)"))
      }
      try cluster.start(4)
      try cluster.start(3)
      try await settle(cluster, four) { report in
        report.nodes.allSatisfy { $0.isAway == false }
          && report.shards.contains { $0.planned?.contains(3) == true }
      }
      await cluster.stop()
    }

    @Test("changes of the nodes that make no sense are refused with the reason")
    func refusals() async throws {
      let cluster = try TestCluster()
      try await cluster.start()
      let client = try cluster.client(of: 1)
      for words in [
        ["DRAIN", "9"], ["WEIGHT", "1", "many"], ["WEIGHT", "1", "20000"], ["REMOVE", "1"],
        ["JOIN", "5", "here:1"], ["PAINT", "1"], ["DRAIN", "one"],
        ["AWAY", "1"], ["BACK", "1"], ["REPLACE", "1", "1"], ["REPLACE", "1", "9"],
      ] {
        guard case .error(let text) = try client.ask(all: ["CYCLADES", "NODES"] + words) else {
          throw TestClient.Failure("\(words) was taken")
        }
        #expect(text.hasPrefix("ERR "))
      }
      await cluster.stop()
    }
  }
}

private final class Shared: Sendable {
  let flag = Atomic(false)
}
