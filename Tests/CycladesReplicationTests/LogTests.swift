import CycladesPaxos
import CycladesTransport
import Glibc
import Testing

@testable import CycladesReplication

@Suite("Log", .serialized, .timeLimit(.minutes(2)))
struct LogTests {
  private let fixture = LogFixture()
  private var path: String { fixture.path }
  private var tenWrites: [LogFixture.Batch] { fixture.tenWrites }

  private func open() throws -> DataFolder { try fixture.open() }
  private func recover() throws -> RecoveredLog { try fixture.recover() }
  private func recover(behind snapshot: Slot) throws -> RecoveredLog {
    try fixture.recover(snapshots: [snapshot, 0])
  }
  private func contents(_ path: String) throws -> [UInt8] { try fixture.contents(path) }
  private func overwrite(_ path: String, _ content: [UInt8]) throws {
    try fixture.overwrite(path, content)
  }

  private func write(
    _ batches: [LogFixture.Batch], segmentBytes: Int = 64 << 20, snapshots: [Slot] = [0, 0]
  ) throws {
    try fixture.write(batches, segmentBytes: segmentBytes, snapshots: snapshots)
  }

  @Test("what was reported durable is read back")
  func readBack() throws {
    try write(tenWrites)
    let recovered = try recover()
    #expect(recovered.groups[0].index.last == 30)
    #expect(recovered.groups[0].commit == 29)
    #expect(recovered.groups[1].promised == Ballot(round: 10, node: 1))
    #expect(recovered.generation == 10)
    #expect(recovered.tornBytes == 0)
  }

  @Test("the log goes on behind what it finds, over segments")
  func goesOn() throws {
    for round in 0..<4 {
      try write(
        (0..<6).map { [(0, Slot(round * 6 + $0 + 1), 3000)] }, segmentBytes: 8 << 10)
    }
    let recovered = try recover()
    #expect(recovered.groups[0].index.last == 24)
    #expect(recovered.segments.count > 4)
    #expect((1...24).allSatisfy { recovered.groups[0].index[$0]?.byteCount == 3128 })
  }

  @Test("a newer record of a slot replaces the older")
  func replaced() throws {
    try write([[(0, 1, 10), (0, 2, 10)], [(0, 2, 500)]])
    let index = try recover().groups[0].index
    #expect(index[1]?.byteCount == 138 && index[2]?.byteCount == 628)
  }

  @Test("a frame larger than a segment has one of its own")
  func oversized() throws {
    try write([[(0, 1, 100)], [(0, 2, 6 << 20)], [(0, 3, 100)]], segmentBytes: 1 << 20)
    #expect(try recover().groups[0].index.last == 3)
  }

  @Test("a missing segment is refused")
  func missingSegment() throws {
    try write((0..<12).map { [(0, Slot($0 + 1), 3000)] }, segmentBytes: 8 << 10)
    let second = try recover().segments[1].path
    unsafe unlink(second)
    let error = #expect(throws: ReplicationError.self) { try recover() }
    #expect(error?.code == .damagedLog)
  }

  /// Group 1 promises once; group 0 writes 24 entries into six segments.
  private var sixSegments: [[(group: Int, slot: Slot, size: Int)]] {
    [[(1, 0, 7)]] + (0..<24).map { [(0, Slot($0 + 1), 3000)] }
  }

  /// Opens the log behind a snapshot of group 0, and drops what another up to `covered` allows.
  private func cut(
    _ covered: Slot, behind snapshot: Slot = 0
  ) throws -> (names: [String], compacted: Slot?) {
    let writer = try LogWriter(
      open(), segmentBytes: 16 << 10, snapshots: [snapshot, 0], [])
    var rounds = 0
    writer.afterwards = { log in
      log.dropOldest { $0 == 0 ? covered : 0 }
      log.flush()
      rounds += 1
      return rounds < 50
    }
    try writer.run()
    #expect(writer.failure == nil)
    writer.log.stop()
    return (try Files.names(in: path).filter { $0.hasPrefix("segment") }, writer.compacted[0])
  }

  @Test("segments go when a snapshot covers them, and promises outlive them")
  func dropped() throws {
    try write(sixSegments, segmentBytes: 16 << 10)
    let whole = try cut(0)
    #expect(whole.compacted == nil)
    let (names, compacted) = try cut(11)
    #expect(names.count < whole.names.count)
    let through = try #require(compacted)
    #expect(through > 0 && through <= 11)
    let recovered = try recover(behind: 11)
    #expect(recovered.groups[0].index.base == 11)
    #expect(recovered.groups[0].index.last == 24)
    #expect(recovered.groups[1].promised == Ballot(round: 7, node: 1))
    // The last segment stays, whatever is covered.
    #expect(try cut(24, behind: 11).names.count == 1)
    #expect(try recover(behind: 24).groups[1].promised == Ballot(round: 7, node: 1))
  }

  @Test("without the snapshot that a cut log needs the group is begun anew")
  func snapshotMissing() throws {
    try write(sixSegments, segmentBytes: 16 << 10)
    let (_, compacted) = try cut(11)
    let through = try #require(compacted)
    #expect(try recover(behind: through).groups[0].index.last == 24)
    let lost = try recover(behind: through - 1).groups
    #expect(lost[0].isStateLost && lost[0].isDropped && lost[0].forgotten == 24)
    #expect(lost[0].promised == Ballot(round: 1, node: 1), "a promise outlives the state")
    #expect(!lost[1].isStateLost)
  }

  @Test("a group that was left leaves its promise and what it forgot, and can begin anew")
  func left() throws {
    let writer = try LogWriter(
      open(), segmentBytes: 16 << 10, [[(0, 1, 10), (1, 1, 10), (0, 2, 10)]])
    var rounds = 0
    writer.afterwards = { log in
      if rounds == 0 { log.append(dropOf: 0, behind: 2) }
      log.flush()
      rounds += 1
      return rounds < 20
    }
    try writer.run()
    #expect(writer.dropped == [0])
    writer.log.stop()
    let left = try recover()
    #expect(left.groups[0].isDropped && left.groups[0].index.isEmpty)
    #expect(left.groups[0].forgotten == 2 && left.groups[0].commit == 0)
    #expect(left.groups[0].promised == Ballot(round: 1, node: 1))
    #expect(left.groups[1].index.last == 1 && !left.groups[1].isDropped)
    // Many segments later, and with none of the first left, both are still known.
    try write((0..<30).map { [(1, Slot($0 + 2), 3000)] }, segmentBytes: 16 << 10)
    let cutter = try LogWriter(open(), segmentBytes: 16 << 10, [])
    rounds = 0
    cutter.afterwards = { log in
      log.dropOldest { _ in Slot.max }
      log.flush()
      rounds += 1
      return rounds < 50
    }
    try cutter.run()
    cutter.log.stop()
    let later = try LogRecovery.run(open(), cluster: LogWriter.cluster, snapshots: [0, 31])
    for segment in later.segments { Files.close(segment.descriptor) }
    #expect(later.groups[0].forgotten == 2)
    #expect(later.groups[0].promised == Ballot(round: 1, node: 1))
    try write([[(0, 1, 20)]], segmentBytes: 16 << 10, snapshots: [0, 31])
    let again = try LogRecovery.run(open(), cluster: LogWriter.cluster, snapshots: [0, 31])
    for segment in again.segments { Files.close(segment.descriptor) }
    #expect(again.groups[0].index.last == 1 && !again.groups[0].isDropped)
  }

  @Test("a log of another folder is not read")
  func otherFolder() throws {
    try write(tenWrites)
    let copy = try contents(recover().segments[0].path)
    let other = TemporaryFolder()
    let address = try SocketAddress(host: "127.0.0.1", port: 1)
    let data = try DataFolder(
      HostConfiguration(
        cluster: "log", node: 1, peers: [1: address], peerListen: address,
        directory: other.path + "/data",
        groups: [0, 1].map { GroupConfiguration(id: $0, members: [1]) }))
    try Files.replace(data.path + "/" + LogSegment.name(1), in: data.path, with: copy)
    let recovered = try LogRecovery.run(data, cluster: LogWriter.cluster, snapshots: [0, 0])
    #expect(recovered.records == 0)
    for segment in recovered.segments { Files.close(segment.descriptor) }
  }

  @Test("a write that the disk refuses stops the log, once")
  func refusedWrite() throws {
    try write([[(0, 1, 10)]])
    let writer = try LogWriter(open(), segmentBytes: 64 << 20, [[(0, 2, 10)], [(0, 3, 10)]])
    // A descriptor that cannot be written to stands for a disk that fails.
    Files.close(writer.log.segments[0].descriptor)
    try writer.run()
    #expect(writer.failure?.code == .ioFailed)
    #expect(writer.durable.isEmpty)
  }
}
