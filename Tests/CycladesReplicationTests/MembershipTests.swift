import CycladesPaxos
import CycladesTransport
import Glibc
import Testing

@testable import CycladesReplication

@Suite("Membership", .serialized, .timeLimit(.minutes(3)))
struct MembershipTests {
  /// Three founders, and configurations for two more nodes that know only the founders.
  private func configurations() throws -> [ReplicaConfiguration] {
    let founders: [NodeID] = [1, 2, 3]
    return try CounterCluster(5).configurations.map {
      var configuration = $0
      configuration.founders = founders
      configuration.peers = configuration.peers.filter {
        founders.contains($0.key) || $0.key == configuration.node
      }
      return configuration
    }
  }

  private func start(_ configuration: ReplicaConfiguration) async throws -> Replica {
    try await Replica.start(configuration, logger: quietLogger()) { Counter() }
  }

  /// Waits until `replica` sees what `isDone` wants of its group.
  private func wait(
    _ replica: Replica, _ what: String, _ isDone: (GroupStatus) -> Bool
  ) async throws {
    for _ in 0..<1000 {
      if let status = await replica.status(), isDone(status) { return }
      try await Task.sleep(for: .milliseconds(10))
    }
    let status = await replica.status()
    Issue.record("\(what) did not come: \(status.map { "\($0)" } ?? "stopped")")
  }

  private func isVoter(_ node: NodeID, _ status: GroupStatus) -> Bool {
    status.membership?.members.contains { $0.id == node && $0.kind == .voter } == true
  }

  /// Has the leader make a change, as soon as it can: it has to know that enough members keep up.
  private func change(
    _ replicas: [Replica], _ body: (Replica) async throws(ReplicationError) -> Void
  ) async throws {
    for attempt in 1... {
      do {
        return try await body(leader(replicas))
      } catch let error as ReplicationError where error.code == .notDone && attempt < 300 {
        try await Task.sleep(for: .milliseconds(20))
      }
    }
  }

  private func leader(_ replicas: [Replica]) async throws -> Replica {
    try await wait(replicas[0], "a leader") { $0.leader != nil }
    for replica in replicas where await replica.status()?.role == .leader { return replica }
    return try await leader(replicas)
  }

  @Test("a node joins, becomes a voter by itself, and replaces one that is removed")
  func joins() async throws {
    let configurations = try configurations()
    var replicas: [Replica] = []
    for configuration in configurations[..<3] { replicas.append(try await start(configuration)) }
    for _ in 0..<20 { _ = try await replicas[0].propose(bytes(1)) }
    let fourth = try await start(configurations[3])
    #expect(await fourth.status()?.membership == nil)
    try await change(replicas) { (leader) throws(ReplicationError) in
      try await leader.addLearner(4, at: configurations[3].peers[4]!)
    }
    try await wait(fourth, "the vote") { isVoter(4, $0) }
    #expect(integer(try await fourth.propose(bytes(1))) == 21)
    try await change(replicas) { (leader) throws(ReplicationError) in try await leader.remove(1) }
    try await wait(replicas[0], "the farewell") { $0.role == nil }
    // Of the three that are left, two decide: the new one is needed when another stops.
    try await wait(fourth, "a leader of the rest") { $0.leader != nil && $0.leader != 1 }
    await replicas[1].stop()
    #expect(integer(try await fourth.propose(bytes(1))) == 22)
    #expect(integer(try await replicas[2].read([])) == 22)
    // The one that left still carries commands to those that stayed.
    #expect(integer(try await replicas[0].propose(bytes(1))) == 23)
    for replica in [replicas[0], replicas[2], fourth] { await replica.stop() }
  }

  @Test("a node that left stays away after a restart, and can come back")
  func comesBack() async throws {
    let configurations = try configurations()
    var replicas: [Replica] = []
    for configuration in configurations[..<3] { replicas.append(try await start(configuration)) }
    for _ in 0..<10 { _ = try await replicas[0].propose(bytes(1)) }
    try await change(replicas) { (leader) throws(ReplicationError) in try await leader.remove(3) }
    try await wait(replicas[2], "the farewell") { $0.role == nil }
    await replicas[2].stop()
    replicas[2] = try await start(configurations[2])
    try await wait(replicas[2], "the farewell once more") { $0.role == nil }
    for _ in 0..<10 { _ = try await replicas[0].propose(bytes(1)) }
    try await change(Array(replicas[..<2])) { (leader) throws(ReplicationError) in
      try await leader.addLearner(3, at: configurations[2].peers[3]!)
    }
    try await wait(replicas[2], "the vote") { isVoter(3, $0) }
    await replicas[2].stop()
    replicas[2] = try await start(configurations[2])
    await replicas[0].stop()
    #expect(integer(try await replicas[2].propose(bytes(1))) == 21)
    await replicas[1].stop()
    await replicas[2].stop()
  }

  @Test("a node that lost its folder does not vote, is made a member anew, and then does")
  func wipedFolder() async throws {
    let configurations = try configurations()
    var replicas: [Replica] = []
    for configuration in configurations[..<3] { replicas.append(try await start(configuration)) }
    for _ in 0..<10 { _ = try await replicas[0].propose(bytes(1)) }
    try await wait(replicas[0], "the folders of all") {
      $0.membership?.members.allSatisfy { $0.incarnation != 0 } == true
    }
    func folder(_ status: GroupStatus?) -> UInt64? {
      status?.membership?.members.first { $0.id == 3 }?.incarnation
    }
    let lost = folder(await replicas[0].status())
    await replicas[2].stop()
    _ = try await replicas[0].propose(bytes(1))
    TemporaryFolder.remove(configurations[2].directory)
    replicas[2] = try await start(configurations[2])
    // With the first stopped, the second and the forgetful third are no majority.
    await replicas[0].stop()
    var impatient = configurations[1]
    impatient.limits.patienceNanoseconds = 1_000_000_000
    await replicas[1].stop()
    replicas[1] = try await start(impatient)
    let lonely = await #expect(throws: ReplicationError.self) {
      try await replicas[1].propose(bytes(1))
    }
    #expect(lonely?.code == .notDone)
    // The first is back: now the third is given a new membership, and all there is.
    replicas[0] = try await start(configurations[0])
    try await wait(replicas[2], "the vote") { isVoter(3, $0) && folder($0) != lost }
    await replicas[0].stop()
    #expect(integer(try await replicas[2].propose(bytes(1))) == 12)
    await replicas[1].stop()
    await replicas[2].stop()
  }

  @Test("leadership moves to whom it is given")
  func transfer() async throws {
    let configurations = try configurations()
    var replicas: [Replica] = []
    for configuration in configurations[..<3] { replicas.append(try await start(configuration)) }
    _ = try await replicas[0].propose(bytes(1))
    let old = try await leader(replicas)
    let target: NodeID = await old.status()?.leader == 2 ? 3 : 2
    try await change(replicas) { (leader) throws(ReplicationError) in
      try await leader.transferLeadership(to: target)
    }
    try await wait(replicas[0], "the new leader") { $0.leader == target }
    #expect(integer(try await replicas[0].propose(bytes(1))) == 2)
    let error = await #expect(throws: ReplicationError.self) {
      try await old.transferLeadership(to: 1)
    }
    #expect(error?.code == .notDone)
    for replica in replicas { await replica.stop() }
  }

  @Test("changes that cannot be made are refused with the reason")
  func refusals() async throws {
    let configurations = try configurations()
    var replicas: [Replica] = []
    for configuration in configurations[..<3] { replicas.append(try await start(configuration)) }
    _ = try await replicas[0].propose(bytes(1))
    let leader = try await leader(replicas)
    for replica in replicas where await replica.status()?.role != .leader {
      let error = await #expect(throws: ReplicationError.self) { try await replica.remove(1) }
      #expect(error?.code == .notDone)
    }
    await leader.stop()
    let error = await #expect(throws: ReplicationError.self) { try await leader.remove(1) }
    #expect(error?.code == .notDone)
    for replica in replicas { await replica.stop() }
  }
}
