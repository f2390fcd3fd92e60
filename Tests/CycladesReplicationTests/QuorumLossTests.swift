import CycladesPaxos
import CycladesTransport
import Testing

@testable import CycladesReplication

/// Two of three data folders are gone for good, and the third has to do.
@Suite(.serialized, .timeLimit(.minutes(1))) struct QuorumLossTests {
  private let configurations: [ReplicaConfiguration]
  private let folders: CounterCluster

  init() throws {
    folders = try CounterCluster(4)
    configurations = folders.configurations.map {
      var configuration = $0
      configuration.founders = [1, 2, 3]
      return configuration
    }
  }

  private func start(_ position: Int) async throws -> Replica {
    try await Replica.start(configurations[position], logger: quietLogger()) { Counter() }
  }

  /// The first replica's folder, to be looked at offline.
  private func loss(lost: Set<NodeID> = [2, 3]) throws -> QuorumLoss {
    let configuration = configurations[0]
    var host = HostConfiguration(
      cluster: configuration.cluster, node: 1, peers: configuration.peers,
      peerListen: configuration.peers[1]!, directory: configuration.directory,
      groups: [GroupConfiguration(id: 0, members: configuration.founders)])
    host.timing = configuration.timing
    return try QuorumLoss(host, lost: lost, logger: quietLogger()) { _ in Counter() }
  }

  /// Three replicas count to 30, and stop.
  private func countAndStop() async throws {
    var replicas: [Replica] = []
    for position in 0..<3 { replicas.append(try await start(position)) }
    for _ in 0..<30 { _ = try await replicas[0].propose(bytes(1)) }
    for replica in replicas { await replica.stop() }
  }

  private func voters(_ status: GroupStatus?) -> [NodeID] {
    (status?.membership?.members ?? []).filter { $0.kind == .voter }.map(\.id)
  }

  @Test("the survivor reads and writes again, and the group grows from it")
  func survivor() async throws {
    try await countAndStop()
    for position in 1...2 { TemporaryFolder.remove(configurations[position].directory) }
    var loss = try loss()
    #expect(loss.groups[0].fate == .goesOn)
    #expect(loss.groups[0].last >= 30)
    try loss.recover()
    // Done again it finds nothing to do.
    _ = consume loss
    #expect(try self.loss().groups[0].fate == .isAlone)

    var survivor = try await start(0)
    #expect(integer(try await survivor.read([])) == 30)
    #expect(integer(try await survivor.propose(bytes(1))) == 31)
    #expect(await voters(survivor.status()) == [1])
    await survivor.stop()
    survivor = try await start(0)
    #expect(integer(try await survivor.propose(bytes(1))) == 32)

    let fourth = try await start(3)
    try await survivor.addLearner(4, at: configurations[3].peers[4]!)
    for _ in 0..<500 where await voters(survivor.status()) != [1, 4] {
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(await voters(survivor.status()) == [1, 4])
    #expect(integer(try await fourth.propose(bytes(1))) == 33)
    #expect(integer(try await fourth.read([])) == 33)
    await fourth.stop()
    await survivor.stop()
  }

  @Test("those who were given up are refused, whatever they have")
  func givenUp() async throws {
    try await countAndStop()
    var loss = try loss()
    try loss.recover()
    _ = consume loss
    // Nodes 2 and 3 were not lost at all: they go on by themselves, and the survivor by itself.
    let replicas = [try await start(1), try await start(2)]
    #expect(integer(try await replicas[0].propose(bytes(100))) == 130)
    let survivor = try await start(0)
    #expect(integer(try await survivor.propose(bytes(1))) == 31)
    try await Task.sleep(for: .milliseconds(500))
    #expect(integer(try await survivor.read([])) == 31)
    #expect(integer(try await replicas[1].read([])) == 130)
    for replica in replicas + [survivor] { await replica.stop() }
  }

  @Test("nothing is done while a quorum is left, another survivor has a claim, or the node runs")
  func refusals() async throws {
    try await countAndStop()
    func code(_ body: () throws -> Void) -> ReplicationError.Code? {
      do {
        try body()
        return nil
      } catch { return (error as? ReplicationError)?.code }
    }
    func recover(_ lost: Set<NodeID>) -> ReplicationError.Code? {
      code {
        var loss = try loss(lost: lost)
        try loss.recover()
      }
    }
    #expect(recover([3]) == .notDone)
    #expect(recover([1]) == .badConfiguration)
    let replica = try await start(0)
    #expect(recover([2, 3]) == .folderBusy)
    await replica.stop()
    let again = try await start(1)
    await again.stop()
    #expect(try loss(lost: [3]).groups[0].fate == .hasQuorum)
  }
}
