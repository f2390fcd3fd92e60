import CycladesPaxos
import CycladesSimulator
import Testing

/// Whole groups through one story each. Times are virtual milliseconds.
@Suite struct ScenarioTests {
  private static func cluster(_ count: Int = 3, tracing: Bool = false) -> Cluster {
    var options = SimulationOptions(scenario: .calm, nodes: count...count, operations: 0)
    options.isTracing = tracing
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

  @Test("the trace of an election and of two entries in one pipeline")
  func goldenTrace() {
    let cluster = Self.cluster(tracing: true)
    run(cluster, 170)
    for _ in 0..<2 { _ = cluster.propose(on: 0) }
    run(cluster, 60)
    let expected = """
         148140 us  1 -> 3  canvass commit 0
         148367 us  1 -> 2  canvass commit 0
         148402 us  3 -> 1  canvass yes promised 0.0 commit 0
         148402 us  1 is candidate in 1.1, leader unknown
         148702 us  2 -> 1  canvass yes promised 0.0 commit 0
         149085 us  1 -> 2  prepare 1.1 from 1
         149085 us  2 is follower in 1.1, leader unknown
         149097 us  1 -> 3  prepare 1.1 from 1
         149097 us  3 is follower in 1.1, leader unknown
         149676 us  3 -> 1  promise 1.1 commit 0 []
         149676 us  1 is leader in 1.1, leader 1
         149998 us  1 -> 2  accept 1@1.1 commit 0
         149998 us  2 is follower in 1.1, leader 1
         150031 us  1 -> 3  accept 1@1.1 commit 0
         150031 us  3 is follower in 1.1, leader 1
         150031 us  1 -> 3  heartbeat 1.1 commit 0 last 1 round 1
         150091 us  2 -> 1  promise 1.1 commit 0 []
         150123 us  1 -> 2  heartbeat 1.1 commit 0 last 1 round 1
         150375 us  2 -> 1  heartbeat reply 1.1 through 0 round 1
         150375 us  2 -> 1  accepted 1.1 through 1
         150375 us  1 applies 1@1.1 no-op
         150505 us  3 -> 1  heartbeat reply 1.1 through 0 round 1
         151087 us  3 -> 1  accepted 1.1 through 1
         170000 us  1 proposes in slot 2
         170000 us  1 proposes in slot 3
         170131 us  1 -> 2  accept 2@1.1 commit 1
         170131 us  2 applies 1@1.1 no-op
         170210 us  1 -> 2  accept 3@1.1 commit 1
         170267 us  1 -> 3  accept 2@1.1 commit 1
         170267 us  3 applies 1@1.1 no-op
         170267 us  1 -> 3  accept 3@1.1 commit 1
         170575 us  2 -> 1  accepted 1.1 through 2
         170639 us  1 applies 2@1.1
         171288 us  3 -> 1  accepted 1.1 through 2
         171944 us  2 -> 1  accepted 1.1 through 3
         171944 us  1 applies 3@1.1
         172090 us  3 -> 1  accepted 1.1 through 3
         208222 us  1 -> 3  heartbeat 1.1 commit 3 last 3 round 2
         208222 us  3 applies 2@1.1
         208222 us  3 applies 3@1.1
         208660 us  3 -> 1  heartbeat reply 1.1 through 3 round 2
         210932 us  1 -> 2  heartbeat 1.1 commit 3 last 3 round 2
         210932 us  2 applies 2@1.1
         210932 us  2 applies 3@1.1
         211425 us  2 -> 1  heartbeat reply 1.1 through 3 round 2
      """
    #expect(cluster.traceLines.dropFirst(3).joined(separator: "\n") == expected)
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
