import CycladesPaxos
import CycladesSimulator
import Testing

/// Replicas compare their states, and one that a quorum disagrees with is found out.
@Suite struct AuditTests {
  /// A leader of three whose no-op in slot 1 is decided, with digest 10 behind it, and asks.
  private func leader() throws -> Driver {
    var node = try Driver()
    node.lead()
    #expect(node.receive(.accepted(ballot(1, 1), through: 1), from: 2).contains("apply 1@1.1"))
    _ = node.note(10, behind: 1)
    let asked = node.wait(Driver.heartbeat)
    #expect(
      asked.contains("to 2: audit 1.1 behind 1") && asked.contains("to 3: audit 1.1 behind 1"))
    return node
  }

  private func reply(_ digest: UInt64) -> Message {
    .auditReply(ballot(1, 1), slot: 1, digest: digest)
  }

  @Test("who agrees is not asked again, and who does not hears the verdict until it does")
  func verdict() throws {
    var node = try leader()
    #expect(node.receive(reply(10), from: 2) == [])
    #expect(node.receive(reply(66), from: 3) == [])
    for _ in 0..<3 {
      let said = node.wait(Driver.heartbeat)
      #expect(said.contains("to 3: verdict 1.1 behind 1"))
      #expect(!said.contains { $0.hasPrefix("to 2: audit") || $0.hasPrefix("to 2: verdict") })
      _ = node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: 0), from: 2)
    }
    _ = node.receive(reply(10), from: 3)
    #expect(!node.wait(Driver.heartbeat).contains { $0.contains("verdict") })
  }

  @Test("a leader that is outvoted leaves its office and does not stand again")
  func outvotedLeader() throws {
    var node = try leader()
    _ = node.receive(reply(66), from: 2)
    #expect(
      node.receive(reply(66), from: 3)
        == ["state behind 1 outvoted", "follower in 1.1, leader unknown"])
    _ = node.wait(Driver.aeon)
    _ = node.receive(.canvassReply(granted: true, promised: .zero, commit: 1, token: 2), from: 2)
    #expect(node.core.role == .follower)
  }

  @Test("where no quorum agrees nobody is sent away, and it is reported")
  func undecided() throws {
    var node = try leader()
    _ = node.receive(reply(66), from: 2)
    _ = node.receive(reply(77), from: 3)
    var said: [String] = []
    for _ in 0..<30 {
      said += node.wait(Driver.heartbeat)
      _ = node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: 0), from: 2)
    }
    #expect(said.contains("state behind 1 differs"))
    #expect(!said.contains { $0.contains("outvoted") || $0.contains("verdict") })
    #expect(node.core.role == .leader)
  }

  @Test("a follower answers and judges itself when it has applied the slot")
  func follower() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    _ = node.receive(.accept(entry(1, ballot(1, 1))), from: 1)
    _ = node.sync()
    #expect(
      node.receive(.audit(ballot(1, 1), slot: 1, digest: 10, isVerdict: false), from: 1) == [])
    _ = node.receive(.heartbeat(ballot(1, 1), commit: 1, last: 1, round: 1), from: 1)
    #expect(node.note(66, behind: 1) == ["to 1: audit reply 1.1 behind 1"])
    #expect(
      node.receive(.audit(ballot(1, 1), slot: 1, digest: 66, isVerdict: true), from: 1)
        == ["to 1: audit reply 1.1 behind 1"])
    #expect(
      node.receive(.audit(ballot(1, 1), slot: 1, digest: 10, isVerdict: true), from: 1)
        .contains("state behind 1 outvoted"))
    #expect(
      node.receive(.audit(ballot(1, 1), slot: 2, digest: 10, isVerdict: true), from: 3) == [],
      "only the leader's word counts")
  }

  @Test("a state that goes wrong is found out and replaced, be it the leader's or not")
  func scripted() throws {
    for victim in 0..<3 {
      var options = SimulationOptions(scenario: .calm, nodes: 3...3, operations: 0)
      options.isTracing = true
      let cluster = Cluster(seed: 1, options: options)
      func run(_ milliseconds: UInt64) {
        cluster.run(until: cluster.now + milliseconds * 1_000_000)
      }
      run(400)
      for _ in 0..<5 {
        _ = cluster.propose(on: try #require(cluster.leader))
        run(10)
      }
      cluster.damageState(of: victim)
      _ = cluster.propose(on: try #require(cluster.leader))
      run(3_000)
      _ = cluster.propose(on: try #require(cluster.leader))
      run(500)
      #expect(cluster.failure == nil)
      #expect(cluster.begunAnew == 1, "\(cluster.traceLines.suffix(60))")
      #expect(cluster.haveConverged([0, 1, 2]))
      cluster.checkEnd()
      #expect(cluster.failure == nil)
    }
  }

  @Test("under faults, too, all replicas have the same state in the end")
  func isExercised() {
    var begunAnew = 0
    for seed in 1...100 as ClosedRange<UInt64> {
      let report = Simulation(seed: seed, options: SimulationOptions(scenario: .divergence)).run()
      #expect(report.failure == nil, "\(report)")
      begunAnew += report.statistics.begunAnew
    }
    #expect(begunAnew > 20)
  }
}
