import CycladesPaxos
import CycladesTransport
import Testing

@testable import CycladesReplication

@Suite("Leases", .serialized, .timeLimit(.minutes(1)))
struct LeaseTests {
  private func start(
    _ configuration: ReplicaConfiguration, _ lease: Lease?
  ) async throws -> Replica {
    var configuration = configuration
    configuration.lease = lease
    configuration.timing.electionTimeout = 1_500_000_000
    configuration.limits.patienceNanoseconds = 2_000_000_000
    return try await Replica.start(configuration, logger: quietLogger()) { Counter() }
  }

  private func leader(_ replicas: [Replica]) async throws -> Int {
    for _ in 0..<1000 {
      for (position, replica) in replicas.enumerated()
      where await replica.status()?.role == .leader { return position }
      try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("no leader")
    return 0
  }

  @Test("a leader answers by its clock while its lease lasts, and no longer")
  func lasts() async throws {
    let cluster = try CounterCluster(2)
    let lease = Lease(duration: 1_200_000_000)
    var replicas: [Replica] = []
    for configuration in cluster.configurations {
      replicas.append(try await start(configuration, lease))
    }
    // Who has just started may have granted a lease before, and waits for its end.
    let leading = try await leader(replicas)
    _ = try await replicas[leading].propose(bytes(7))
    // Answered by a quorum once, the lease begins at the latest.
    #expect(integer(try await replicas[leading].read([])) == 7)
    await replicas[1 - leading].stop()
    // Nobody is left to ask, and a leader without its quorum soon leads no more.
    #expect(integer(try await replicas[leading].read([])) == 7)
    for _ in 0..<500 where await replicas[leading].status()?.role == .leader {
      try await Task.sleep(for: .milliseconds(10))
    }
    await #expect(throws: ReplicationError.self) { try await replicas[leading].read([]) }
    await replicas[leading].stop()
  }

  @Test("without a lease nobody answers who cannot ask a quorum")
  func without() async throws {
    let cluster = try CounterCluster(2)
    var replicas: [Replica] = []
    for configuration in cluster.configurations {
      replicas.append(try await start(configuration, nil))
    }
    _ = try await replicas[0].propose(bytes(7))
    let leading = try await leader(replicas)
    await replicas[1 - leading].stop()
    await #expect(throws: ReplicationError.self) { try await replicas[leading].read([]) }
    await replicas[leading].stop()
  }

  @Test("a node with another lease is kept out")
  func mismatch() async throws {
    let cluster = try CounterCluster(2)
    let one = try await start(cluster.configurations[0], Lease())
    let other = try await start(cluster.configurations[1], nil)
    await #expect(throws: ReplicationError.self) { try await one.propose(bytes(1)) }
    await #expect(throws: ReplicationError.self) { try await other.propose(bytes(1)) }
    await one.stop()
    await other.stop()
  }
}
