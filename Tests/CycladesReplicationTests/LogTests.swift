import CCycladesWire
import CycladesPaxos
import CycladesTransport
import Glibc
import Testing

@testable import CycladesReplication

/// Writes a log through a real reactor, one group-commit write per batch.
private final class LogWriter: LogOwner {
  static let cluster: UInt64 = 77
  var log: Log!
  var reactor: Reactor
  private var batches: [[(group: Int, slot: Slot, size: Int)]]
  /// Called again and again when all is written, for as long as it returns true.
  var afterwards: (Log) -> Bool = { _ in false }
  private(set) var durable: [Int: UInt64] = [:]
  private(set) var compacted: [Int: Slot] = [:]
  private(set) var dropped: Set<Int> = []
  private(set) var failure: ReplicationError?
  private var token: UInt64 = 0

  init(
    _ folder: DataFolder, segmentBytes: Int, snapshots: [Slot] = [0, 0],
    _ batches: [[(group: Int, slot: Slot, size: Int)]]
  ) throws {
    reactor = try Reactor(logger: quietLogger())
    self.batches = batches
    let recovered = try LogRecovery.run(
      folder, cluster: LogWriter.cluster, snapshots: snapshots)
    log = try Log(
      recovered, folder: folder, reactor: reactor, segmentBytes: segmentBytes, owner: self)
  }

  func run() throws {
    reactor.schedule(after: .zero) { self.next() }
    try reactor.run()
  }

  private func next() {
    guard !batches.isEmpty else {
      guard afterwards(log) else { return reactor.stop() }
      reactor.schedule(after: .milliseconds(2)) { self.next() }
      return
    }
    for (group, slot, size) in batches.removeFirst() {
      token += 1
      if slot == 0 {
        log.append(promise: Ballot(round: UInt64(size), node: 1), group: group, token: token)
      } else {
        log.append(
          entry: entryFrame(group, slot, size), slot: slot, ballot: Ballot(round: 1, node: 1),
          group: group, token: token)
      }
    }
    log.flush()
  }

  private func entryFrame(_ group: Int, _ slot: Slot, _ size: Int) -> Bytes {
    var buffer = try! Buffer(minimumCapacity: WireHeader.byteCount + size, in: reactor.pool)
    buffer.appendZeros(WireHeader.byteCount)
    for position in 0..<size { buffer.append(littleEndian: UInt8(truncatingIfNeeded: position)) }
    let payload = EntryPayload(
      unsealed: buffer.freeze(), count: 1, time: slot, cluster: LogWriter.cluster)
    let entry = Entry(
      slot: slot, ballot: Ballot(round: 1, node: 1), commit: slot - 1, payload: payload)
    return try! payload.frame(
      of: entry, cluster: LogWriter.cluster, group: UInt32(group), pool: reactor.pool)
  }

  func logged(group: Int, token: UInt64) {
    durable[group] = token
    if token == self.token { reactor.schedule(after: .zero) { self.next() } }
  }
  func compacted(group: Int, through slot: Slot) { compacted[group] = slot }
  func dropped(group: Int) { dropped.insert(group) }
  func logFailed(_ error: ReplicationError) {
    failure = error
    reactor.stop()
  }
}

@Suite("Log", .serialized, .timeLimit(.minutes(2)))
struct LogTests {
  let folder = TemporaryFolder()
  private var path: String { folder.path + "/data" }

  private func open() throws -> DataFolder {
    let address = try SocketAddress(host: "127.0.0.1", port: 1)
    return try DataFolder(
      HostConfiguration(
        cluster: "log", node: 1, peers: [1: address], peerListen: address, directory: path,
        groups: [0, 1].map { GroupConfiguration(id: $0, members: [1]) }))
  }

  private func recover() throws -> RecoveredLog {
    let recovered = try LogRecovery.run(open(), cluster: LogWriter.cluster, snapshots: [0, 0])
    for segment in recovered.segments { Files.close(segment.descriptor) }
    return recovered
  }

  private func write(
    _ batches: [[(group: Int, slot: Slot, size: Int)]], segmentBytes: Int = 64 << 20,
    snapshots: [Slot] = [0, 0]
  ) throws {
    let writer = try LogWriter(open(), segmentBytes: segmentBytes, snapshots: snapshots, batches)
    try writer.run()
    #expect(writer.failure == nil)
    writer.log.stop()
  }

  /// Ten writes of three entries each for group 0, and a promise for group 1 in each.
  private var tenWrites: [[(group: Int, slot: Slot, size: Int)]] {
    (0..<10).map { write in
      var batch: [(group: Int, slot: Slot, size: Int)] = []
      for entry in 1...3 { batch.append((0, Slot(write * 3 + entry), 100 + 37 * write)) }
      batch.append((1, 0, write + 1))
      return batch
    }
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

  @Test("a write cut short at any byte is cut off, and all before it kept")
  func tornTail() throws {
    try write(tenWrites)
    let whole = try recover()
    let segment = whole.segments[0].path
    let content = try contents(segment)
    let lastStart = try #require(startOfWrite(10, content))
    for cut in stride(from: lastStart, to: whole.head, by: 41) {
      var torn = content
      for position in cut..<whole.head { torn[position] = 0 }
      try overwrite(segment, torn)
      let recovered = try recover()
      #expect((27...30).contains(recovered.groups[0].index.last))
      #expect(recovered.groups[0].index.last >= 27)
      // The remains are gone: a second look finds nothing torn.
      #expect(try recover().tornBytes == 0)
      try overwrite(segment, content)
    }
  }

  @Test("sectors of the last write may arrive in any order")
  func reorderedSectors() throws {
    try write(tenWrites)
    let whole = try recover()
    let segment = whole.segments[0].path
    let content = try contents(segment)
    let lastStart = try #require(startOfWrite(10, content))
    for sector in stride(from: lastStart, to: whole.head, by: 512) {
      var torn = content
      for position in sector..<(sector + 512) { torn[position] = 0 }
      try overwrite(segment, torn)
      #expect(try recover().groups[0].index.last >= 27)
      try overwrite(segment, content)
    }
  }

  @Test("damage before the last write is refused, wherever it is")
  func damage() throws {
    try write(tenWrites)
    let whole = try recover()
    let segment = whole.segments[0].path
    let content = try contents(segment)
    let lastStart = try #require(startOfWrite(10, content))
    var refused = 0
    for position in stride(from: 0, to: lastStart, by: 29) {
      var damaged = content
      damaged[position] ^= 0x40
      try overwrite(segment, damaged)
      do {
        // Only padding between records may be damaged without loss.
        #expect(try recover().groups[0].index.last == 30)
      } catch let error as ReplicationError {
        #expect(error.code == .damagedLog)
        refused += 1
      }
      try overwrite(segment, content)
    }
    #expect(refused > 50)
    #expect(try recover().groups[0].index.last == 30)
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

  private func recover(behind snapshot: Slot) throws -> RecoveredLog {
    let recovered = try LogRecovery.run(
      open(), cluster: LogWriter.cluster, snapshots: [snapshot, 0])
    for segment in recovered.segments { Files.close(segment.descriptor) }
    return recovered
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

  @Test("a log that was cut needs its snapshot")
  func snapshotMissing() throws {
    try write(sixSegments, segmentBytes: 16 << 10)
    let (_, compacted) = try cut(11)
    let through = try #require(compacted)
    #expect(try recover(behind: through).groups[0].index.last == 24)
    let error = #expect(throws: ReplicationError.self) { try recover(behind: through - 1) }
    #expect(error?.code == .damagedLog)
  }

  @Test("damage at the start of a log that was cut is refused")
  func damagedStart() throws {
    try write(sixSegments, segmentBytes: 16 << 10)
    let (names, _) = try cut(11)
    let first = path + "/" + names[0]
    let content = try contents(first)
    for position in stride(from: 0, to: 64, by: 5) {
      var damaged = content
      damaged[position] ^= 1
      try overwrite(first, damaged)
      let error = #expect(throws: ReplicationError.self) { try recover(behind: 11) }
      #expect(error?.code == .damagedLog)
    }
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

  private func contents(_ path: String) throws -> [UInt8] {
    let descriptor = try Files.open(path, O_RDONLY)
    defer { Files.close(descriptor) }
    return try Files.read(descriptor, path, at: 0, count: Files.size(descriptor, path))
  }

  private func overwrite(_ path: String, _ content: [UInt8]) throws {
    let descriptor = try Files.open(path, O_WRONLY)
    defer { Files.close(descriptor) }
    #expect(unsafe pwrite(descriptor, content, content.count, 0) == content.count)
  }

  /// Where the first record of a write stands.
  private func startOfWrite(_ generation: UInt64, _ content: [UInt8]) -> Int? {
    stride(from: 0, to: content.count - 64, by: 512).first { offset in
      let value = (0..<8).reduce(UInt64(0)) {
        $0 | UInt64(content[offset + 32 + $1]) << (8 * UInt64($1))
      }
      return value == generation && content[offset + 7] == 1
    }
  }
}
