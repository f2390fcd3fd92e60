import CycladesPaxos
import CycladesSimulator
import Foundation
import Testing

/// Whole stories as text, compared with what they were: `Tests/Traces` is there to be read.
///
/// `CYCLADES_RECORD=1 swift test --filter Golden` writes the files anew; read the difference.
@Suite struct GoldenTests {
  private static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Traces")

  private func compare(_ cluster: Cluster, _ name: String) throws {
    #expect(cluster.failure == nil)
    // Heartbeats would hide the rest.
    let lines = cluster.traceLines.filter { !$0.contains("heartbeat") }
    let trace = lines.joined(separator: "\n") + "\n"
    let file = Self.folder.appendingPathComponent(name + ".txt")
    if ProcessInfo.processInfo.environment["CYCLADES_RECORD"] != nil {
      try trace.write(to: file, atomically: true, encoding: .utf8)
    }
    #expect(try String(contentsOf: file, encoding: .utf8) == trace)
  }

  private func cluster(spares: Int = 0) -> Cluster {
    var options = SimulationOptions(scenario: .calm, nodes: 3...3, operations: 0)
    options.isTracing = true
    options.spares = spares
    options.window = 4
    return Cluster(seed: 1, options: options)
  }

  private func run(_ cluster: Cluster, _ milliseconds: UInt64) {
    cluster.run(until: cluster.now + milliseconds * 1_000_000)
  }

  @Test("an election, and two entries in one pipeline")
  func election() throws {
    let cluster = cluster()
    run(cluster, 170)
    for _ in 0..<2 { _ = cluster.propose(on: 0) }
    run(cluster, 60)
    try compare(cluster, "election")
  }

  @Test("a leader dies, and what one follower had accepted survives it")
  func leaderChange() throws {
    let cluster = cluster()
    run(cluster, 170)
    cluster.cutLink(from: 0, to: 2)
    _ = cluster.propose(on: 0)
    run(cluster, 5)
    cluster.crash(0)
    run(cluster, 900)
    try compare(cluster, "leader-change")
  }

  @Test("a learner joins, is made a voter, and the first leader is removed")
  func membership() throws {
    let cluster = cluster(spares: 1)
    run(cluster, 170)
    var members = try #require(cluster.nodes[0].core?.schedule.current.members)
    members.append(cluster.member(3, .learner))
    #expect(cluster.propose(membership: members, on: 0))
    run(cluster, 1_000)
    members = try #require(cluster.nodes[0].core?.schedule.current.members)
    #expect(members.allSatisfy { $0.kind == .voter })
    members.removeFirst()
    #expect(cluster.propose(membership: members, on: 0))
    run(cluster, 1_000)
    #expect(cluster.leader != 0)
    try compare(cluster, "membership")
  }

  @Test("the preferred node comes back and is handed the leadership")
  func leadershipReturns() throws {
    let cluster = cluster()
    run(cluster, 170)
    cluster.crash(0)
    run(cluster, 1_000)
    cluster.start(0)
    cluster.healLinks([0, 1, 2])
    run(cluster, 3_300)
    #expect(cluster.leader == 0)
    try compare(cluster, "leadership-returns")
  }

  @Test("a node with a damaged record says so, and gets it from the others")
  func damage() throws {
    let cluster = cluster()
    run(cluster, 170)
    for _ in 0..<4 { _ = cluster.propose(on: 0) }
    run(cluster, 100)
    cluster.crash(2)
    cluster.damage(2, slots: [3])
    cluster.crash(0)
    cluster.start(2)
    cluster.healLinks([1, 2])
    run(cluster, 1_500)
    #expect(cluster.haveConverged([1, 2]))
    try compare(cluster, "damage")
  }
  @Test("replicas that each lost another decided record repair each other before anybody leads")
  func disjointDamage() throws {
    let cluster = cluster()
    run(cluster, 170)
    for _ in 0..<6 {
      _ = cluster.propose(on: 0)
      run(cluster, 30)
    }
    for index in 0..<3 { cluster.crash(index) }
    for (index, slot) in [2, 3, 4].enumerated() { cluster.damage(index, slots: [Slot(slot)]) }
    for index in 0..<3 { cluster.start(index) }
    cluster.healLinks([0, 1, 2])
    run(cluster, 2_500)
    #expect(cluster.haveConverged([0, 1, 2]))
    #expect(cluster.leader != nil)
    try compare(cluster, "disjoint-damage")
  }
}
