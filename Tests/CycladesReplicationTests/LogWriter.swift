import CCycladesWire
import CycladesPaxos
import CycladesTransport
import Glibc
import Testing

@testable import CycladesReplication

/// Writes a log through a real reactor, one group-commit write per batch.
final class LogWriter: LogOwner {
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

  func entryFrame(_ group: Int, _ slot: Slot, _ size: Int) -> Bytes {
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
  func decided(group: Int) -> Slot { 0 }
  func compacted(group: Int, through slot: Slot) { compacted[group] = slot }
  func dropped(group: Int) { dropped.insert(group) }
  func logFailed(_ error: ReplicationError) {
    failure = error
    reactor.stop()
  }
}

/// A folder with a log of two groups in it, to be written, spoiled and read back.
final class LogFixture {
  typealias Batch = [(group: Int, slot: Slot, size: Int)]

  let folder = TemporaryFolder()
  var path: String { folder.path + "/data" }
  /// The first segment.
  var segment: String { path + "/" + LogSegment.name(1) }

  func open() throws -> DataFolder {
    let address = try SocketAddress(host: "127.0.0.1", port: 1)
    return try DataFolder(
      HostConfiguration(
        cluster: "log", node: 1, peers: [1: address], peerListen: address, directory: path,
        groups: [0, 1].map { GroupConfiguration(id: $0, members: [1]) }))
  }

  func recover(snapshots: [Slot] = [0, 0]) throws -> RecoveredLog {
    let recovered = try LogRecovery.run(open(), cluster: LogWriter.cluster, snapshots: snapshots)
    for segment in recovered.segments { Files.close(segment.descriptor) }
    return recovered
  }

  func write(
    _ batches: [Batch], segmentBytes: Int = 64 << 20, snapshots: [Slot] = [0, 0]
  ) throws {
    let writer = try LogWriter(open(), segmentBytes: segmentBytes, snapshots: snapshots, batches)
    try writer.run()
    #expect(writer.failure == nil)
    writer.log.stop()
  }

  /// Ten writes of three entries each for group 0, and a promise for group 1 in each.
  var tenWrites: [Batch] {
    (0..<10).map { write in
      var batch: Batch = []
      for entry in 1...3 { batch.append((0, Slot(write * 3 + entry), 100 + 37 * write)) }
      batch.append((1, 0, write + 1))
      return batch
    }
  }

  func contents(_ path: String) throws -> [UInt8] {
    let descriptor = try Files.open(path, O_RDONLY)
    defer { Files.close(descriptor) }
    return try Files.read(descriptor, path, at: 0, count: Files.size(descriptor, path))
  }

  func overwrite(_ path: String, _ content: [UInt8]) throws {
    let descriptor = try Files.open(path, O_RDWR | O_CREAT | O_TRUNC)
    defer { Files.close(descriptor) }
    try Files.write(content, to: descriptor, path, at: 0)
  }

  /// Where each write begins, and how long it is with its parity.
  func writes(_ content: [UInt8]) -> [Range<Int>] {
    var found: [Range<Int>] = []
    var offset = 0
    while offset + 64 <= content.count, content[offset + 6] == 2, content[offset + 7] == 1 {
      let length = (0..<4).reduce(0) { $0 | Int(content[offset + 28 + $1]) << (8 * $1) }
      found.append(offset..<offset + length + cyc_log_parity_size(length))
      offset = found.last!.upperBound
    }
    return found
  }

  /// The slot of the frame at a location, as its header says; `nil` when it is damaged.
  func slot(at location: LogLocation, _ content: [UInt8]) -> Slot? {
    let range = Int(location.offset)..<Int(location.offset) + Int(location.byteCount)
    guard range.upperBound <= content.count else { return nil }
    return try? WireHeader(
      verifying: Array(content[range]).rawSpan, cluster: LogWriter.cluster
    ).slot
  }
}
