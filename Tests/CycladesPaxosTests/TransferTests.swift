import CycladesPaxos
import CycladesSimulator
import Testing

@Suite struct TransferTests {
  @Test("a transfer stops proposals, waits until the target has everything, and tells it to stand")
  func transfer() throws {
    var node = try Driver()
    node.lead()
    _ = node.receive(.accepted(ballot(1, 1), through: 1), from: 2)
    _ = node.propose(1)
    #expect(try node.transfer(to: 2) == [])
    #expect(!node.core.canPropose)
    _ = node.sync()
    #expect(
      node.receive(.accepted(ballot(1, 1), through: 2), from: 2).suffix(2) == [
        "to 2: heartbeat 1.1 commit 2 last 2 round 1", "to 2: stand after 1.1",
      ])
    #expect(
      node.receive(.prepare(ballot(2, 2), from: 3), from: 2).contains(
        "to 2: promise 2.2 commit 2 [] after #4"))
  }

  @Test("who is told to stand does so at once, but only by the leader it follows")
  func stand() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    _ = node.receive(.heartbeat(ballot(1, 1), commit: 0, last: 0, round: 1), from: 1)
    _ = node.sync()
    #expect(node.receive(.stand(ballot(1, 1)), from: 3) == [])
    #expect(node.receive(.stand(ballot(0, 1)), from: 1) == [])
    #expect(node.receive(.stand(ballot(1, 1)), from: 1).contains("write promise 2.2 #2"))
    #expect(node.core.role == .candidate)
  }

  @Test("a transfer that comes to nothing ends after an election timeout")
  func failedTransfer() throws {
    var node = try Driver()
    node.lead()
    _ = node.sync()
    _ = node.receive(.accepted(ballot(1, 1), through: 1), from: 3)
    #expect(try node.transfer(to: 2) == [])
    for round in 2..<14 as Range<UInt64> {
      _ = node.wait(Driver.heartbeat)
      _ = node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: round), from: 3)
    }
    #expect(node.core.role == .leader)
    #expect(node.core.canPropose)
  }

  @Test("leadership goes only to another voter that is there")
  func refusals() throws {
    var node = try Driver()
    #expect(throws: PaxosError.self) { try node.transfer(to: 2) }
    node.lead()
    #expect(throws: PaxosError.self) { try node.transfer(to: 1) }
    #expect(throws: PaxosError.self) { try node.transfer(to: 9) }
    _ = node.wait(600_000_000)
    #expect(throws: PaxosError.self) { try node.transfer(to: 2) }
  }

  @Test("a restarted node gets its office back, once, and keeps it")
  func returnOfThePreferred() throws {
    let cluster = Cluster(
      seed: 1, options: SimulationOptions(scenario: .calm, nodes: 3...3, operations: 0))
    cluster.run(until: 300_000_000)
    #expect(cluster.leader == 0)
    cluster.crash(0)
    cluster.run(until: cluster.now + 2_000_000_000)
    #expect(cluster.leader != 0)
    cluster.start(0)
    cluster.healLinks([0, 1, 2])
    cluster.run(until: cluster.now + 2_000_000_000)
    #expect(cluster.leader != 0, "not before it was up for a while")
    cluster.run(until: cluster.now + 2_500_000_000)
    #expect(cluster.leader == 0)
    let ballot = cluster.nodes[0].core?.ballot
    cluster.run(until: cluster.now + 20_000_000_000)
    #expect(cluster.nodes[0].core?.ballot == ballot)
    #expect(cluster.failure == nil)
  }

  @Test("a leader whose disk stalls hands over to whoever has the most")
  func stalledDisk() throws {
    var node = try Driver()
    node.lead()
    _ = node.propose(1)
    _ = node.receive(.accepted(ballot(1, 1), through: 2), from: 3)
    var effects: [String] = []
    for round in 1..<43 as Range<UInt64> {
      _ = node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: round), from: 2)
      _ = node.receive(.heartbeatReply(ballot(1, 1), through: 2, round: round), from: 3)
      effects += node.wait(Driver.heartbeat)
    }
    #expect(effects.contains("to 3: stand after 1.1"))
    #expect(node.core.role == .follower)
  }
}
