import CCycladesWire
import CycladesPaxos
import CycladesTransport
import Glibc

/// What one group's records say.
struct RecoveredGroup {
  /// The highest ballot of any promise or entry.
  var promised = Ballot.zero
  /// The largest commit that any entry carries.
  var commit: Slot = 0
  /// The newest record of each slot behind the group's snapshot.
  var index: SlotIndex
  /// The node left the group and did not come back: its snapshot, too, is of the past.
  var isDropped = false
  /// What was accepted up to this slot was dropped at some time.
  var forgotten: Slot = 0
}

/// What a log holds after a restart, and where it goes on.
struct RecoveredLog {
  var segments: [LogSegment] = []
  /// Where the next write starts in the last segment.
  var head = 0
  /// The number of the last good write.
  var generation: UInt64 = 0
  var records: UInt64 = 0
  /// Bytes cut off because their write never finished.
  var tornBytes = 0
  var groups: [RecoveredGroup]
}

/// Reads a log back, record by record, and decides where it ends.
///
/// The table of cases, with g the generation of the last good record and p the place behind it:
///
/// | found at p                               | found further on              | then                 |
/// |------------------------------------------|-------------------------------|----------------------|
/// | a record of write g                      |                               | take it              |
/// | the first record of write g + 1          |                               | take it              |
/// | no record, or one with a damaged frame   | nothing, or parts of the write| end: cut off the rest|
/// | the same                                 | the first record of a later   | refuse: acknowledged |
/// |                                          | write than the one that ended | records are damaged  |
///
/// The third case is a write that was under way when power failed: nothing in it was acknowledged,
/// because the acknowledgement waits for the whole write. The fourth cannot be: write g + 1 starts
/// only after write g is durable.
struct LogRecovery {
  let folder: DataFolder
  let cluster: UInt64
  private var result: RecoveredLog

  /// Reads the log in `folder`, given the slot of each group's snapshot, 0 for none.
  static func run(
    _ folder: DataFolder, cluster: UInt64, snapshots: [Slot]
  ) throws(ReplicationError) -> RecoveredLog {
    var recovery = LogRecovery(folder, cluster, snapshots)
    do {
      try recovery.readAll()
    } catch {
      for segment in recovery.result.segments { Files.close(segment.descriptor) }
      throw error
    }
    return recovery.result
  }

  private init(_ folder: DataFolder, _ cluster: UInt64, _ snapshots: [Slot]) {
    self.folder = folder
    self.cluster = cluster
    result = RecoveredLog(
      groups: snapshots.map { RecoveredGroup(commit: $0, index: SlotIndex(base: $0)) })
  }

  private mutating func readAll() throws(ReplicationError) {
    let numbers = try Files.names(in: folder.path).compactMap(LogSegment.number).sorted()
    for number in numbers {
      if let last = result.segments.last?.number, number != last + 1 {
        throw damaged("\(folder.path)/\(LogSegment.name(last + 1)) is missing", 0)
      }
      result.segments.append(
        try LogSegment.open(number, in: folder.path, groupCount: result.groups.count))
    }
    for position in result.segments.indices {
      let mapped = try MappedFile(result.segments[position])
      if position == 0, let first = record(mapped, result.segments[0], 0), first.generation > 0 {
        // Segments before this one may have been dropped: counting starts here.
        result.generation = first.generation - 1
      }
      result.head = try scan(mapped, position)
      result.segments[position].byteCount = result.head
      result.segments[position].zeroedThrough = mapped.byteCount
      try expectNoLaterWrite(mapped, position)
      if position + 1 < result.segments.count, !(try continues(at: position + 1)) {
        try expectEmpty(after: position)
        try dropSegments(after: position)
        break
      }
    }
    try wipeTail()
  }

  /// Takes every good record of a segment; returns where the next write starts.
  private mutating func scan(
    _ mapped: MappedFile, _ position: Int
  ) throws(ReplicationError) -> Int {
    let segment = result.segments[position]
    var offset = 0
    while true {
      let inWrite = Log.align(offset, Int(CYC_LOG_RECORD_ALIGNMENT))
      if offset > 0, let record = record(mapped, segment, inWrite), record.first == 0,
        record.generation == result.generation, try take(record, mapped, inWrite, position)
      {
        offset = inWrite + Int(record.size)
        continue
      }
      let nextWrite = Log.align(offset, Int(CYC_LOG_WRITE_ALIGNMENT))
      if let record = record(mapped, segment, nextWrite), record.first == 1,
        record.generation == result.generation + 1, try take(record, mapped, nextWrite, position)
      {
        result.generation += 1
        offset = nextWrite + Int(record.size)
        continue
      }
      return nextWrite
    }
  }

  private func record(
    _ mapped: MappedFile, _ segment: LogSegment, _ offset: Int
  ) -> cyc_log_prefix? {
    if offset >= mapped.byteCount { return nil }
    var prefix = cyc_log_prefix()
    let valid = unsafe cyc_log_prefix_decode(
      mapped.start + offset, mapped.byteCount - offset, folder.identity.log, segment.number,
      UInt64(offset), &prefix)
    return valid == 1 ? prefix : nil
  }

  /// Enters a record into the result; false when its frame is damaged.
  private mutating func take(
    _ record: cyc_log_prefix, _ mapped: MappedFile, _ offset: Int, _ position: Int
  ) throws(ReplicationError) -> Bool {
    let group = Int(record.group)
    guard group < result.groups.count else {
      throw damaged("\(mapped.path): a record of group \(group), which is not configured", offset)
    }
    if record.kind == UInt16(CYC_LOG_PROMISE) {
      let ballot = Ballot(round: record.round, node: NodeID(rawValue: record.node))
      result.groups[group].promised = max(result.groups[group].promised, ballot)
      result.records += 1
      return true
    }
    if record.kind == UInt16(CYC_LOG_FORGOT) {
      result.groups[group].forgotten = max(result.groups[group].forgotten, record.round)
      result.records += 1
      return true
    }
    if record.kind == UInt16(CYC_LOG_DROP) {
      result.groups[group].forgotten = max(result.groups[group].forgotten, record.round)
      // A snapshot of a later slot came after the node was a member again.
      if record.round >= result.groups[group].index.base {
        result.groups[group].index = SlotIndex()
        result.groups[group].commit = 0
        result.groups[group].isDropped = true
      }
      result.records += 1
      return true
    }
    let start = offset + Int(CYC_LOG_PREFIX_SIZE)
    let size = Int(record.size) - Int(CYC_LOG_PREFIX_SIZE)
    guard start + size <= mapped.byteCount else { return false }
    let frame = unsafe RawSpan(_unsafeStart: mapped.start + start, byteCount: size)
    guard let header = try? WireHeader(verifying: frame, cluster: cluster),
      header.frameByteCount == size
    else { return false }
    guard header.kind == .accept, header.group == record.group, header.slot >= 1 else {
      throw damaged("\(mapped.path): a record that is no entry of its group", offset)
    }
    let location = LogLocation(
      segment: UInt32(result.segments[position].number), offset: UInt32(start),
      byteCount: UInt32(size))
    guard result.groups[group].index.enter(location, slot: header.slot) else {
      throw damaged("\(mapped.path): slot \(header.slot) without the slots before it", offset)
    }
    result.segments[position].note(header.slot, group: group)
    result.groups[group].isDropped = false
    result.groups[group].promised = max(result.groups[group].promised, header.ballot)
    result.groups[group].commit = max(result.groups[group].commit, header.commit)
    result.records += 1
    return true
  }

  /// Throws when a write that started after the last good one stands behind the end.
  private func expectNoLaterWrite(
    _ mapped: MappedFile, _ position: Int
  ) throws(ReplicationError) {
    let segment = result.segments[position]
    var offset = result.head
    while offset < mapped.byteCount {
      if let record = record(mapped, segment, offset), record.first == 1,
        offset > result.head || record.generation > result.generation + 1
      {
        throw damaged(
          "\(mapped.path) is damaged between bytes \(result.head) and \(offset)", result.head)
      }
      offset += Int(CYC_LOG_WRITE_ALIGNMENT)
    }
  }

  /// Whether the segment starts with the write after the last good one.
  private func continues(at position: Int) throws(ReplicationError) -> Bool {
    let mapped = try MappedFile(result.segments[position])
    guard let record = record(mapped, result.segments[position], 0) else { return false }
    return record.first == 1 && record.generation == result.generation + 1
  }

  private func expectEmpty(after position: Int) throws(ReplicationError) {
    for later in result.segments[(position + 1)...] {
      let mapped = try MappedFile(later)
      for offset in stride(
        from: 0, to: mapped.byteCount, by: Int(CYC_LOG_WRITE_ALIGNMENT))
      where record(mapped, later, offset)?.first == 1 {
        throw damaged("\(result.segments[position].path) lost its end", result.head)
      }
    }
  }

  private mutating func dropSegments(after position: Int) throws(ReplicationError) {
    while result.segments.count > position + 1 {
      let segment = result.segments.removeLast()
      Files.close(segment.descriptor)
      if unsafe unlink(segment.path) != 0 { throw Files.failure("remove", segment.path) }
    }
    try Files.syncFolder(folder.path)
  }

  /// Puts zeros over the write that never finished, so that none of it can ever follow a new record.
  private mutating func wipeTail() throws(ReplicationError) {
    guard let segment = result.segments.last else { return }
    let size = segment.zeroedThrough
    var offset = result.head
    var wiped = false
    while offset < size {
      let count = min(1 << 20, size - offset)
      let bytes = try Files.read(segment.descriptor, segment.path, at: offset, count: count)
      if !Files.areZero(bytes) {
        result.tornBytes += bytes.lastIndex { $0 != 0 }! + 1
        wiped = true
        let zeros = [UInt8](repeating: 0, count: count)
        let wrote = unsafe pwrite(segment.descriptor, zeros, count, off_t(offset))
        if wrote != count { throw Files.failure("write", segment.path) }
      }
      offset += count
    }
    if wiped && fdatasync(segment.descriptor) != 0 { throw Files.failure("sync", segment.path) }
  }

  private func damaged(_ what: String, _ offset: Int) -> ReplicationError {
    ReplicationError(
      .damagedLog,
      "\(what): acknowledged entries cannot be read; "
        + "if other replicas have them, move this folder away and start the node with an empty one: "
        + "it gets everything from them")
  }
}

/// A file mapped for reading.
@safe final class MappedFile {
  let path: String
  let byteCount: Int
  let start: UnsafeRawPointer

  init(_ segment: LogSegment) throws(ReplicationError) {
    path = segment.path
    byteCount = try Files.size(segment.descriptor, segment.path)
    guard byteCount > 0 else {
      unsafe start = UnsafeRawPointer(bitPattern: 1)!
      return
    }
    guard
      let address = unsafe mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, segment.descriptor, 0),
      unsafe address != MAP_FAILED
    else { throw Files.failure("map", segment.path) }
    unsafe start = UnsafeRawPointer(address)
  }

  deinit {
    if byteCount > 0 { unsafe munmap(UnsafeMutableRawPointer(mutating: start), byteCount) }
  }
}

extension Log {
  /// Encodes a prefix behind what a buffer holds.
  static func append(_ prefix: cyc_log_prefix, to buffer: inout Buffer) {
    unsafe buffer.appendUnsafe(atMost: Int(CYC_LOG_PREFIX_SIZE)) { target in
      unsafe withUnsafePointer(to: prefix) { unsafe cyc_log_prefix_encode(target, $0) }
      return Int(CYC_LOG_PREFIX_SIZE)
    }
  }
}

extension LogSegment {
  /// Appends the entry frame at a location to a buffer with room for it.
  func read(_ location: LogLocation, into buffer: inout Buffer) throws(ReplicationError) {
    var failed: Int32 = 0
    let count = Int(location.byteCount)
    var got = 0
    unsafe buffer.appendUnsafe(atMost: count) { target in
      unsafe got = Files.readFully(
        descriptor, UnsafeMutableRawBufferPointer(start: target, count: count),
        at: Int(location.offset), failed: &failed)
      return got
    }
    if got != count { throw Files.failure("read", path, failed == 0 ? EIO : failed) }
  }
}

extension Buffer {
  /// Appends zeros: padding, or room for a header.
  mutating func appendZeros(_ count: Int) {
    unsafe appendUnsafe(atMost: count) { target in
      unsafe memset(target, 0, count)
      return count
    }
  }
}

extension Files {
  /// Reads exactly `count` bytes of a file into a block of its own.
  static func read(
    _ path: String, at offset: Int, count: Int, pool: BufferPool
  ) throws(ReplicationError) -> Bytes {
    let descriptor = try open(path, O_RDONLY)
    defer { close(descriptor) }
    guard var buffer = try? Buffer(minimumCapacity: count, in: pool) else {
      throw failure("read", path, ENOMEM)
    }
    var failed: Int32 = 0
    unsafe buffer.appendUnsafe(atMost: count) { target in
      unsafe readFully(
        descriptor, UnsafeMutableRawBufferPointer(start: target, count: count), at: offset,
        failed: &failed)
    }
    if buffer.byteCount != count { throw failure("read", path, failed == 0 ? EIO : failed) }
    return buffer.freeze()
  }
}
