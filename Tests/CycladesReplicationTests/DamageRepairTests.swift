import CycladesPaxos
import CycladesTransport
import Glibc
import Testing

@testable import CycladesReplication

/// Replicas over real files and sockets, whose folders are spoiled between two starts.
@Suite("Damage repaired from peers", .serialized, .timeLimit(.minutes(3)))
struct DamageRepairTests {
  private func overwrite(_ path: String, _ range: Range<Int>) throws {
    let descriptor = try Files.open(path, O_RDWR)
    defer { Files.close(descriptor) }
    try Files.write(
      (0..<range.count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ 1) }, to: descriptor, path,
      at: range.lowerBound)
  }

  /// How far the first segment is used.
  private func used(_ path: String) throws -> Int {
    let descriptor = try Files.open(path, O_RDONLY)
    defer { Files.close(descriptor) }
    let bytes = try Files.read(descriptor, path, at: 0, count: Files.size(descriptor, path))
    return bytes.lastIndex { $0 != 0 }! + 1
  }

  private func segment(_ configuration: ReplicaConfiguration) -> String {
    configuration.directory + "/" + LogSegment.name(1)
  }

  /// A cluster that counted to 400 and was stopped.
  private func counted() async throws -> CounterCluster {
    let cluster = try CounterCluster()
    let replicas = try await cluster.startAll()
    for _ in 0..<400 { _ = try await replicas[0].propose(bytes(1)) }
    #expect(integer(try await replicas[1].read([])) == 400)
    #expect(integer(try await replicas[2].read([])) == 400)
    for replica in replicas { await replica.stop() }
    return cluster
  }

  private func expectCount(_ cluster: CounterCluster) async throws -> RecoveryCounts {
    let replicas = try await cluster.startAll()
    for replica in replicas { #expect(integer(try await replica.read([])) == 400) }
    #expect(integer(try await replicas[2].propose(bytes(0))) == 400)
    var counts = RecoveryCounts()
    for replica in replicas {
      if let found = await replica.logStatus()?.recovery { counts.add(found) }
    }
    for replica in replicas { await replica.stop() }
    return counts
  }

  @Test("replicas that each lost another third of their logs repair each other")
  func disjoint() async throws {
    let cluster = try await counted()
    for (node, configuration) in cluster.configurations.enumerated() {
      let path = segment(configuration)
      let end = try used(path)
      try overwrite(path, end * node / 3..<end * (node + 1) / 3)
    }
    let counts = try await expectCount(cluster)
    #expect(counts[.slotUnknown] > 300 && counts[.bytesLost] > 0)
    // What was repaired stays repaired.
    #expect(try await expectCount(cluster)[.slotUnknown] < counts[.slotUnknown])
  }

  @Test("a replica without a readable byte in its log gets everything back")
  func everything() async throws {
    let cluster = try await counted()
    let path = segment(cluster.configurations[1])
    try overwrite(path, 0..<used(path))
    let counts = try await expectCount(cluster)
    #expect(counts[.slotUnknown] >= 400)
  }

  @Test("of a group of one any sector may be damaged")
  func alone() async throws {
    let cluster = try CounterCluster(1)
    var replica = try await cluster.start(0)
    for _ in 0..<20 { _ = try await replica.propose(bytes(3)) }
    await replica.stop()
    let path = segment(cluster.configurations[0])
    let end = try used(path)
    for sector in stride(from: 0, to: end, by: 512) {
      try overwrite(path, sector..<sector + 512)
      replica = try await cluster.start(0)
      #expect(integer(try await replica.read([])) == 60)
      #expect(await replica.logStatus()?.recovery.isClean == false)
      await replica.stop()
    }
  }

  @Test("a replica whose snapshot is damaged beyond repair is given another")
  func snapshot() async throws {
    let cluster = try CounterCluster()
    let configurations = cluster.configurations.map {
      var configuration = $0
      configuration.limits.segmentBytes = 16 << 10
      configuration.limits.logBytesTarget = 64 << 10
      return configuration
    }
    func start() async throws -> [Replica] {
      var replicas: [Replica] = []
      for configuration in configurations {
        replicas.append(
          try await Replica.start(configuration, logger: quietLogger()) { Counter() })
      }
      return replicas
    }
    func snapshots(_ node: Int) throws -> [String] {
      try Files.names(in: configurations[node].directory)
        .filter { SnapshotFormat.parse($0) != nil }
    }
    var replicas = try await start()
    var count: UInt64 = 0
    for _ in 0..<2000 where try snapshots(1).isEmpty {
      for _ in 0..<20 { _ = try await replicas[0].propose(bytes(1)) }
      count += 20
    }
    for replica in replicas { await replica.stop() }
    let name = try #require(try snapshots(1).first)
    let path = configurations[1].directory + "/" + name
    try overwrite(path, 0..<140)
    replicas = try await start()
    for replica in replicas { #expect(integer(try await replica.read([])) == count) }
    #expect(integer(try await replicas[1].propose(bytes(1))) == count + 1)
    for replica in replicas { await replica.stop() }
  }
}
