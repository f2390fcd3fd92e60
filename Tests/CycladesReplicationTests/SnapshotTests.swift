import CycladesPaxos
import CycladesTransport
import Glibc
import Testing

@testable import CycladesReplication

/// Keeps every command in full, so that a state has many parts; a query answers how many, and a
/// checksum of them in order.
private struct Journal: StateMachine {
  private(set) var commands: [[UInt8]] = []

  mutating func apply(_ command: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    commands.append([UInt8](copying: command))
    reply.append(littleEndian: UInt64(commands.count))
  }

  func read(_ query: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    var digest = UInt64(commands.count)
    for command in commands {
      for byte in command { digest = (digest ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }
    reply.append(littleEndian: UInt64(commands.count))
    reply.append(littleEndian: digest)
  }

  func snapshot() -> any SnapshotSource { Source(commands: commands[...]) }

  mutating func restore(_ part: RawSpan) throws {
    guard SizedItems.count(part) != nil else { throw ReplicationError(.damagedLog, "no journal") }
    _ = SizedItems.forEach(part) { commands.append([UInt8](copying: $0)) }
  }

  private struct Source: SnapshotSource {
    var commands: ArraySlice<[UInt8]>

    mutating func next(into part: inout Reply, byteCountTarget: Int) -> Bool {
      guard !commands.isEmpty else { return false }
      while part.byteCount < byteCountTarget, let command = commands.popFirst() {
        part.append(littleEndian: UInt32(command.count))
        part.append(contentsOf: command)
      }
      return true
    }
  }
}

@Suite("Snapshots", .serialized, .timeLimit(.minutes(3)))
struct SnapshotTests {
  /// A cluster whose log is cut after a few segments of 16 KiB.
  private func cluster(_ count: Int) throws -> [ReplicaConfiguration] {
    try CounterCluster(count).configurations.map {
      var configuration = $0
      configuration.limits.segmentBytes = 16 << 10
      configuration.limits.logBytesTarget = 64 << 10
      return configuration
    }
  }

  private func start(_ configuration: ReplicaConfiguration) async throws -> Replica {
    try await Replica.start(configuration, logger: quietLogger()) { Journal() }
  }

  private func command(_ number: Int) -> [UInt8] {
    bytes(UInt64(number)) + [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 3000)
  }

  /// Waits until the log was cut: snapshots are written while commands go on.
  private func untilCut(_ replica: Replica) async throws -> LogStatus {
    for _ in 0..<500 {
      if let status = await replica.logStatus(), status.snapshotsWritten > 0,
        status.byteCount <= max(64 << 10, 2 * status.snapshotBytes) + (16 << 10)
      {
        return status
      }
      try await Task.sleep(for: .milliseconds(10))
    }
    return try #require(await replica.logStatus())
  }

  @Test("the log is cut while commands go on, and a restart begins with the snapshot")
  func cut() async throws {
    let configuration = try cluster(1)[0]
    let replica = try await start(configuration)
    for number in 0..<300 { _ = try await replica.propose(command(number)) }
    let before = try await replica.read([])
    let status = try await untilCut(replica)
    #expect(status.snapshotsWritten > 0)
    #expect(status.snapshotBytes > 3000)
    await replica.stop()
    let names = try Files.names(in: configuration.directory)
    #expect(names.count { SnapshotFormat.parse($0) != nil } == 1)
    #expect(!names.contains(LogSegment.name(1)))
    let again = try await start(configuration)
    #expect(try await again.read([]) == before)
    #expect(integer(try await again.propose(command(300))) == 301)
    await again.stop()
  }

  @Test("a replica that missed what the log no longer has gets a snapshot")
  func laggard() async throws {
    let configurations = try cluster(3)
    var replicas: [Replica] = []
    for configuration in configurations { replicas.append(try await start(configuration)) }
    for number in 0..<5 { _ = try await replicas[0].propose(command(number)) }
    await replicas[2].stop()
    for number in 5..<400 { _ = try await replicas[0].propose(command(number)) }
    _ = try await untilCut(replicas[0])
    _ = try await untilCut(replicas[1])
    replicas[2] = try await start(configurations[2])
    for number in 400..<420 { _ = try await replicas[0].propose(command(number)) }
    try await level(replicas)
    #expect(await replicas[2].logStatus()?.snapshotsInstalled == 1)
    // It stands on what it was given: without the first replica, it is one of a majority.
    let expected = try await replicas[0].read([])
    await replicas[0].stop()
    #expect(try await replicas[2].read([]) == expected)
    #expect(integer(try await replicas[2].propose(command(420))) == 421)
    // And so it does after a restart.
    await replicas[2].stop()
    replicas[2] = try await start(configurations[2])
    #expect(integer(try await replicas[2].propose(command(421))) == 422)
    #expect(try await replicas[1].read([]) == replicas[2].read([]))
    await replicas[1].stop()
    await replicas[2].stop()
  }

  private func level(_ replicas: [Replica]) async throws {
    for _ in 0..<500 {
      var slots: Set<Slot> = []
      for replica in replicas { slots.insert(await replica.status()?.applied ?? 0) }
      if slots.count == 1 { return }
      try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("the replicas did not come level")
  }

  @Test("what a crash left of unfinished snapshots is removed, and the older one serves")
  func leftovers() async throws {
    let configuration = try cluster(1)[0]
    var replica = try await start(configuration)
    for number in 0..<300 { _ = try await replica.propose(command(number)) }
    _ = try await untilCut(replica)
    let before = try await replica.read([])
    await replica.stop()
    let unfinished =
      configuration.directory + "/" + SnapshotFormat.name(group: 0, slot: 9999)
      + SnapshotFormat.unfinished
    try Files.replace(unfinished, in: configuration.directory, with: [1, 2, 3])
    replica = try await start(configuration)
    #expect(try await replica.read([]) == before)
    #expect(!(try Files.names(in: configuration.directory)).contains { $0.hasSuffix(".new") })
    await replica.stop()
  }

  @Test("a damaged snapshot is never taken for a state, wherever the damage is")
  func damaged() async throws {
    let configuration = try cluster(1)[0]
    let replica = try await start(configuration)
    for number in 0..<100 { _ = try await replica.propose(command(number)) }
    let status = try await untilCut(replica)
    #expect(status.snapshotsWritten > 0)
    let before = try await replica.read([])
    await replica.stop()
    let name = try #require(
      try Files.names(in: configuration.directory).first { SnapshotFormat.parse($0) != nil })
    let path = configuration.directory + "/" + name
    let descriptor = try Files.open(path, O_RDWR)
    defer { Files.close(descriptor) }
    let size = try Files.size(descriptor, path)
    for position in stride(from: 3, to: size, by: size / 17) {
      let good = try Files.read(descriptor, path, at: position, count: 1)
      _ = unsafe pwrite(descriptor, [good[0] ^ 4], 1, off_t(position))
      let error = await #expect(throws: ReplicationError.self) { try await start(configuration) }
      #expect(error?.code == .damagedLog)
      _ = unsafe pwrite(descriptor, good, 1, off_t(position))
    }
    let again = try await start(configuration)
    #expect(try await again.read([]) == before)
    await again.stop()
  }

  @Test("a head is read back whole or not at all")
  func head() throws {
    var sessions = SessionTable()
    for session in UInt64(1)...3 {
      for sequence in UInt64(1)...4 {
        let request = RequestHeader(
          size: 40, count: 0, session: session, sequence: sequence, floor: 2, origin: 1)
        #expect(sessions.admit(request, slot: sequence) == .apply)
        sessions.record(request, replies: bytes(session * sequence))
      }
    }
    let encoded = SnapshotHead(logTime: 77, sessions: sessions).encode()
    func decode(_ bytes: [UInt8]) -> SnapshotHead? { SnapshotHead(bytes.rawSpan) }
    let head = try #require(decode(encoded))
    #expect(head.logTime == 77)
    #expect(head.encode() == encoded)
    var restored = head.sessions
    let repeated = RequestHeader(
      size: 40, count: 0, session: 2, sequence: 3, floor: 2, origin: 1)
    #expect(restored.admit(repeated, slot: 9) == .replay(bytes(6)))
    for count in 0..<encoded.count {
      #expect(decode(Array(encoded[..<count])) == nil)
    }
    #expect(decode(encoded + [0]) == nil)
  }

  @Test("frames of another snapshot, in another place or of another kind are refused")
  func assembly() {
    let id = SnapshotID(group: 0, slot: 5, number: 1)
    let head = SnapshotHead(logTime: 1, sessions: SessionTable()).encode()
    func take(_ id: SnapshotID, _ kind: WireHeader.Kind, _ place: Int) -> Bool {
      var assembly = SnapshotAssembly(SnapshotID(group: 0, slot: 5, number: 1), Journal())
      let first = id.header(.snapshotHead, place: 0, cluster: 1, node: 1)
      if place > 0, assembly.take(first, head.rawSpan) == nil { return false }
      let header = id.header(kind, place: place, cluster: 1, node: 1)
      return assembly.take(header, head.rawSpan) != nil
    }
    #expect(take(id, .snapshotHead, 0))
    #expect(take(id, .snapshotEnd, 1))
    #expect(!take(SnapshotID(group: 0, slot: 5, number: 2), .snapshotHead, 0))
    #expect(!take(SnapshotID(group: 0, slot: 6, number: 1), .snapshotHead, 0))
    #expect(!take(id, .snapshotPart, 0))
    #expect(!take(id, .snapshotEnd, 0))
    #expect(!take(id, .snapshotEnd, 2))
    #expect(!take(id, .learn, 1))
  }

  @Test("names of snapshot files are read back, and no other names")
  func names() {
    let name = SnapshotFormat.name(group: 7, slot: 123_456)
    #expect(name == "snapshot-00007-00000000000000123456")
    #expect(SnapshotFormat.parse(name)?.group == 7)
    #expect(SnapshotFormat.parse(name)?.slot == 123_456)
    for other in [name + ".new", "snapshot-7-5", "segment-0000000001.log", "snapshot-", name + "0"]
    {
      #expect(SnapshotFormat.parse(other) == nil)
    }
    #expect(SnapshotFormat.isUnfinished(name + ".new"))
  }
}
