import CycladesPaxos
import CycladesSimulator
import Testing

/// Whole groups through one story each. Times are virtual milliseconds.
@Suite struct ScenarioTests {
  private static func cluster(_ count: Int = 3) -> Cluster {
    let options = SimulationOptions(scenario: .calm, nodes: count...count, operations: 0)
    return Cluster(seed: 1, options: options)
  }

  private func run(_ cluster: Cluster, _ milliseconds: UInt64) {
    cluster.run(until: cluster.now + milliseconds * 1_000_000)
  }

  private func isolate(_ cluster: Cluster, _ node: Int) {
    for other in cluster.nodes.indices where other != node {
      cluster.cutLink(from: node, to: other)
      cluster.cutLink(from: other, to: node)
    }
  }

  @Test("the preferred node leads, and everybody applies what it proposes")
  func normalCase() throws {
    let cluster = Self.cluster()
    run(cluster, 300)
    #expect(cluster.leader == 0)
    for slot in 2...100 as ClosedRange<Slot> {
      #expect(cluster.propose(on: 0) == slot)
      run(cluster, 5)
    }
    run(cluster, 100)
    #expect(cluster.haveConverged([0, 1, 2]))
    #expect(cluster.nodes[2].applied == 100)
    #expect(cluster.failure == nil)
  }

  @Test("entries that a dead leader got accepted by one follower survive it")
  func leaderCrash() throws {
    let cluster = Self.cluster()
    run(cluster, 300)
    // Only node 2 hears of the next entries.
    cluster.cutLink(from: 0, to: 2)
    for _ in 0..<3 { _ = cluster.propose(on: 0) }
    run(cluster, 10)
    #expect(cluster.nodes[1].core?.last == 4)
    #expect(cluster.nodes[2].core?.last == 1)
    cluster.crash(0)
    run(cluster, 1_500)
    let leader = try #require(cluster.leader)
    #expect(leader != 0)
    #expect(cluster.propose(on: leader) == 6, "three entries and a no-op came before")
    run(cluster, 200)
    #expect(cluster.haveConverged([1, 2]))
    cluster.start(0)
    cluster.healLinks([0, 1, 2])
    run(cluster, 500)
    #expect(cluster.haveConverged([0, 1, 2]))
    #expect(cluster.failure == nil)
  }

  @Test("candidates that stand at the same time agree on one leader soon")
  func duel() throws {
    let cluster = Self.cluster(5)
    run(cluster, 300)
    let leader = try #require(cluster.leader)
    cluster.crash(leader)
    // Nobody hears anybody until all have lost patience.
    for node in cluster.nodes.indices { isolate(cluster, node) }
    run(cluster, 2_000)
    #expect(cluster.leader == nil)
    cluster.healLinks(Array(cluster.nodes.indices))
    run(cluster, 2_000)
    let next = try #require(cluster.leader)
    #expect(cluster.propose(on: next) != nil)
    run(cluster, 200)
    #expect(cluster.failure == nil)
    #expect(cluster.haveConverged(cluster.nodes.indices.filter { $0 != leader }))
  }

  @Test("one node that hears a quorum is enough, though the leader lost it")
  func constrained() throws {
    let cluster = Self.cluster(5)
    run(cluster, 300)
    #expect(cluster.leader == 0)
    // All links but those of node 4 are cut; it still hears the old leader.
    for a in cluster.nodes.indices {
      for b in cluster.nodes.indices where a != b && a != 3 && b != 3 {
        cluster.cutLink(from: a, to: b)
      }
    }
    run(cluster, 4_000)
    #expect(cluster.leader == 3)
    #expect(cluster.propose(on: 3) != nil)
    run(cluster, 300)
    #expect(cluster.haveConverged([0, 1, 2, 3, 4]))
    #expect(cluster.failure == nil)
  }

  @Test("in a chain the leader in reach of a quorum stays, and the far end does not disturb it")
  func chain() {
    let cluster = Self.cluster()
    run(cluster, 300)
    cluster.cutLink(from: 0, to: 2)
    cluster.cutLink(from: 2, to: 0)
    let ballot = cluster.nodes[0].core?.ballot
    run(cluster, 5_000)
    #expect(cluster.leader == 0)
    #expect(cluster.nodes[1].core?.ballot == ballot)
    for _ in 0..<20 {
      _ = cluster.propose(on: 0)
      run(cluster, 5)
    }
    run(cluster, 3_000)
    #expect(cluster.haveConverged([0, 1, 2]), "the far end learns from its neighbour")
    #expect(cluster.failure == nil)
  }

  @Test("a follower that was away for long catches up while the leader goes on")
  func catchUp() {
    let cluster = Self.cluster()
    run(cluster, 300)
    cluster.crash(2)
    for _ in 0..<1_000 {
      _ = cluster.propose(on: 0)
      run(cluster, 2)
    }
    cluster.start(2)
    for _ in 0..<300 {
      _ = cluster.propose(on: 0)
      run(cluster, 2)
    }
    run(cluster, 200)
    #expect(cluster.haveConverged([0, 1, 2]))
    #expect(cluster.nodes[2].applied == 1_301)
    #expect(cluster.failure == nil)
  }

  @Test("all nodes restart at once, and everything decided is there")
  func restartOfAll() throws {
    let cluster = Self.cluster()
    run(cluster, 300)
    for _ in 0..<50 {
      _ = cluster.propose(on: 0)
      run(cluster, 2)
    }
    run(cluster, 100)
    for node in 0..<3 { cluster.crash(node) }
    for node in 0..<3 { cluster.start(node) }
    run(cluster, 2_000)
    let leader = try #require(cluster.leader)
    #expect(cluster.nodes[leader].applied == 52, "fifty, and a no-op of each ballot")
    #expect(cluster.haveConverged([0, 1, 2]))
    #expect(cluster.failure == nil)
  }
}
