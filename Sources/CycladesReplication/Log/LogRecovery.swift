import CCycladesWire
import CycladesPaxos

/// What one group's records say.
struct RecoveredGroup {
  /// The highest ballot of any promise or entry.
  var promised = Ballot.zero
  /// The largest commit that any entry carries.
  var commit: Slot = 0
  /// The newest record of each slot behind the group's snapshot; a hole where it is damaged.
  var index: SlotIndex
  /// The node left the group and did not come back: its snapshot, too, is of the past.
  var isDropped = false
  /// What was accepted up to this slot was dropped at some time.
  var forgotten: Slot = 0
  /// The log begins behind what the group's snapshot, if there is one, stands for.
  var isStateLost = false
  /// Slots behind the last record that damaged records may have been of.
  var reach: Slot = 0
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
  var counts = RecoveryCounts()
}

/// Reads a log back, write by write, and decides where it ends and what in it is unknown.
///
/// The cases are those of `RecoveryCase`. What makes their treatment right:
///
/// - Write g + 1 starts only after write g is durable, and the superblock names a place before which
///   all is. So a write beyond repair was never acknowledged if neither a later write nor that place
///   is behind it, and is cut off; any other has rotted, and what it said is *unknown*.
/// - Of a decided slot any record behind the word that it is decided has the same value. So damage
///   makes unknown only what may have been undecided where it stands: the slots behind the largest
///   commit read so far, until a later record of the same slot comes. What the damaged bytes may have
///   had room for behind the last slot is unknown, too, unless the superblock knows the last slot.
/// - Promises are in the superblock before anybody hears of them: no damage here costs one.
/// - Running it again finds the same: repairs write back what stood there, and cutting the tail is
///   the last thing done.
struct LogRecovery {
  let folder: DataFolder
  let cluster: UInt64
  private var result: RecoveredLog
  /// The number of the last write, whole or not; `nil` before the first.
  private var generation: UInt64?
  /// Bytes behind the last write in which nothing was found.
  private var skipped = 0
  private var hasRepaired = false
  private let mark: LogPosition

  /// The least that a record of an entry takes, in bytes.
  private static let entryBytesMin = Int(CYC_LOG_PREFIX_SIZE) + WireHeader.byteCount

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
    mark = folder.superblock.content.position
    result = RecoveredLog(
      groups: snapshots.map { RecoveredGroup(commit: $0, index: SlotIndex(base: $0)) })
  }

  private mutating func readAll() throws(ReplicationError) {
    let numbers = try Files.names(in: folder.path).compactMap(LogSegment.number).sorted()
    for number in numbers {
      if let last = result.segments.last?.number, number != last + 1 { throw missing(last + 1) }
      result.segments.append(
        try LogSegment.open(number, in: folder.path, groupCount: result.groups.count))
    }
    if mark.generation > 0, UInt64(mark.segment) > numbers.last ?? 0 {
      throw missing(UInt64(mark.segment))
    }
    var files: [MappedFile] = []
    for segment in result.segments {
      files.append(try MappedFile(segment, folder.identity.log, cluster))
    }
    let used = files.lastIndex { $0.find(from: 0) != nil || $0.number == mark.segment } ?? 0
    for position in files.indices.prefix(used + 1) {
      result.head = try scan(files, position)
      result.segments[position].byteCount = result.head
      result.segments[position].zeroedThrough = files[position].byteCount
    }
    result.generation = max(generation ?? 0, mark.generation)
    if hasRepaired { try syncAll() }
    if used + 1 < result.segments.count { try dropSegments(after: used) }
    finishGroups()
    try wipeTail()
  }

  /// Takes every good record of a segment; returns where the next write starts.
  private mutating func scan(
    _ files: [MappedFile], _ position: Int
  ) throws(ReplicationError) -> Int {
    let file = files[position]
    var offset = 0
    while true {
      guard let write = file.write(from: offset) else { break }
      skipped += write.start - offset
      if try !take(write, files, position) { return write.start }
      offset = write.start + write.byteCount
    }
    if mark.segment == file.number, offset < Int(mark.offset),
      files[(position + 1)...].allSatisfy({ $0.find(from: 0) == nil })
    {
      // Writes that were durable have gone without a trace.
      lose(bytes: skipped + Int(mark.offset) - offset, from: file.number, offset)
      skipped = 0
      return Int(mark.offset)
    }
    skipped += file.byteCount - offset
    return offset
  }

  /// Whether nothing says that a write was durable: no later one, and not the superblock.
  private func isLast(_ write: LogWrite, _ files: [MappedFile], _ position: Int) -> Bool {
    let end = write.start + write.byteCount
    let file = files[position]
    if mark.segment > file.number || mark.segment == file.number && Int(mark.offset) >= end {
      return false
    }
    return file.find(from: end) == nil
      && files[(position + 1)...].allSatisfy { $0.find(from: 0) == nil }
  }

  /// Enters the records of a write; false when it is where the log ends.
  private mutating func take(
    _ write: LogWrite, _ files: [MappedFile], _ position: Int
  ) throws(ReplicationError) -> Bool {
    let file = files[position]
    var image: [UInt8]?
    switch file.check(write) {
    case .whole: result.counts[.wholeWrite] += 1
    case .damaged:
      var copy = file.copy(write)
      switch file.repair(&copy, write) {
      case .parity: result.counts[.parityRepaired] += 1
      case .records: result.counts[.recordsRepaired] += 1
      case .none:
        if isLast(write, files, position) {
          result.counts[.tornWrite] += 1
          return false
        }
        try salvage(write, file, position)
        return true
      }
      try Files.write(copy, to: result.segments[position].descriptor, file.path, at: write.start)
      hasRepaired = true
      image = copy
    }
    var offset = 0
    while let record = file.record(write, at: offset, image) {
      if offset == 0 { noteGeneration(record.generation, file.number, write.start) }
      if record.kind == UInt16(CYC_LOG_END) { break }
      if record.kind == UInt16(CYC_LOG_ENTRY) {
        guard let header = file.header(write, at: offset, image) else {
          throw damaged("\(file.path): a record that is no entry", write.start + offset)
        }
        try take(header, record, position)
      } else {
        try take(record, file.path)
      }
      offset = Log.align(offset + Int(record.size), Int(CYC_LOG_RECORD_ALIGNMENT))
    }
    return true
  }

  /// Takes note of the next write's number; of those that are missing before it everything is lost.
  private mutating func noteGeneration(_ number: UInt64, _ segment: UInt32, _ offset: Int) {
    let isNext = generation.map { number == $0 + 1 } ?? (skipped == 0)
    if !isNext { lose(bytes: skipped, from: segment, offset) }
    skipped = 0
    generation = number
  }

  /// Takes what is intact of a write that is beyond repair.
  private mutating func salvage(
    _ write: LogWrite, _ file: MappedFile, _ position: Int
  ) throws(ReplicationError) {
    var offset = 0
    var hasEnd = false
    while let (found, record) = file.find(in: write, from: offset) {
      if generation != record.generation {
        noteGeneration(record.generation, file.number, write.start)
      }
      if found > offset { lose(bytes: found - offset, from: file.number, write.start + 1) }
      offset = Log.align(found + Int(record.size), Int(CYC_LOG_RECORD_ALIGNMENT))
      if record.kind == UInt16(CYC_LOG_END) {
        hasEnd = true
        break
      }
      if record.kind != UInt16(CYC_LOG_ENTRY) {
        result.counts[.recordSalvaged] += 1
        try take(record, file.path)
      } else if let header = file.header(write, at: found, nil) {
        if file.isIntact(write, at: found) {
          result.counts[.recordSalvaged] += 1
          try take(header, record, position)
        } else {
          result.counts[.entryDamaged] += 1
          try lose(header, record, file.path)
        }
      } else if Int(record.group) < result.groups.count {
        result.counts[.entryLost] += 1
        lose(Int(record.group), slots: 1, from: file.number, write.start + 1)
      }
    }
    if !hasEnd { lose(bytes: write.length - offset, from: file.number, write.start + 1) }
  }

  // MARK: Records

  /// Enters a record that is no entry.
  private mutating func take(_ record: cyc_log_prefix, _ path: String) throws(ReplicationError) {
    let group = try group(record, path)
    result.records += 1
    switch Int(record.kind) {
    case CYC_LOG_PROMISE:
      let ballot = Ballot(round: record.round, node: NodeID(rawValue: record.node))
      result.groups[group].promised = max(result.groups[group].promised, ballot)
    case CYC_LOG_FORGOT:
      result.groups[group].forgotten = max(result.groups[group].forgotten, record.round)
    default:
      result.groups[group].forgotten = max(result.groups[group].forgotten, record.round)
      // A snapshot of a later slot came after the node was a member again.
      if record.round >= result.groups[group].index.base {
        result.groups[group] = RecoveredGroup(
          promised: result.groups[group].promised, index: SlotIndex(), isDropped: true,
          forgotten: result.groups[group].forgotten)
      }
    }
  }

  /// Enters the record of an entry.
  private mutating func take(
    _ header: WireHeader, _ record: cyc_log_prefix, _ position: Int
  ) throws(ReplicationError) {
    let group = try group(record, result.segments[position].path)
    guard header.kind == .accept, header.group == record.group, header.slot >= 1 else {
      throw damaged(
        "\(result.segments[position].path): a record that is no entry of its group",
        Int(record.offset))
    }
    note(header, group)
    let location = LogLocation(
      segment: record.segment, offset: record.offset + UInt32(CYC_LOG_PREFIX_SIZE),
      byteCount: record.size - UInt32(CYC_LOG_PREFIX_SIZE))
    let entered = result.groups[group].index.enter(location, slot: header.slot)
    precondition(entered, "the slots before it were just seen to")
    result.segments[position].note(header.slot, group: group)
    result.records += 1
  }

  /// Takes note of an entry of which no more than the header is intact.
  private mutating func lose(
    _ header: WireHeader, _ record: cyc_log_prefix, _ path: String
  ) throws(ReplicationError) {
    let group = try group(record, path)
    guard header.kind == .accept, header.group == record.group, header.slot >= 1 else {
      throw damaged("\(path): a record that is no entry of its group", Int(record.offset))
    }
    note(header, group)
    result.groups[group].index.lose(header.slot)
  }

  private mutating func note(_ header: WireHeader, _ group: Int) {
    let last = result.groups[group].index.last
    if header.slot > last + 1 {
      if header.slot > max(result.groups[group].reach, last) + 1 {
        // Nothing that was read has the slots before it: a snapshot had.
        result.groups[group].isStateLost = true
        result.groups[group].index = SlotIndex(base: header.slot - 1)
      } else {
        result.groups[group].index.extend(through: header.slot - 1)
      }
    }
    result.groups[group].isDropped = false
    result.groups[group].promised = max(result.groups[group].promised, header.ballot)
    result.groups[group].commit = max(result.groups[group].commit, header.commit)
  }

  private func group(_ record: cyc_log_prefix, _ path: String) throws(ReplicationError) -> Int {
    guard Int(record.group) < result.groups.count else {
      throw damaged(
        "\(path): a record of group \(record.group), which is not configured", Int(record.offset))
    }
    return Int(record.group)
  }

  // MARK: Damage

  /// Bytes of the log, up to a place, of which nothing can be read: records of any group.
  private mutating func lose(bytes: Int, from segment: UInt32, _ offset: Int) {
    // In fewer there was no entry, and all else that a record can say the superblock says as well.
    guard bytes >= LogRecovery.entryBytesMin else { return }
    result.counts[.bytesLost] += UInt64(bytes)
    for group in result.groups.indices {
      lose(group, slots: Slot(bytes / LogRecovery.entryBytesMin), from: segment, offset)
    }
  }

  /// Up to so many records of a group are lost: what may have been undecided is unknown.
  private mutating func lose(_ group: Int, slots: Slot, from segment: UInt32, _ offset: Int) {
    let index = result.groups[group].index
    result.groups[group].index.lose(from: result.groups[group].commit + 1)
    let isMarked =
      mark.generation > 0 && (segment, offset) <= (mark.segment, Int(mark.offset))
    let known = isMarked ? folder.superblock.content.groups[group].last : index.last + slots
    result.groups[group].reach = max(result.groups[group].reach + (isMarked ? 0 : slots), known)
  }

  private mutating func finishGroups() {
    for (group, mark) in folder.superblock.content.groups.enumerated() {
      var found = result.groups[group]
      found.promised = max(found.promised, mark.promised)
      found.forgotten = max(found.forgotten, mark.forgotten)
      if found.isStateLost {
        result.counts[.stateLost] += 1
        found = RecoveredGroup(
          promised: found.promised, index: SlotIndex(), isDropped: true,
          forgotten: max(found.forgotten, found.index.last, mark.last), isStateLost: true)
      } else if !found.isDropped {
        found.commit = max(found.commit, mark.commit)
        if found.reach > 0 { found.index.extend(through: found.reach) }
        result.counts[.slotUnknown] += UInt64(found.index.holes.count)
      }
      result.groups[group] = found
    }
  }

  private mutating func dropSegments(after position: Int) throws(ReplicationError) {
    while result.segments.count > position + 1 {
      let segment = result.segments.removeLast()
      Files.close(segment.descriptor)
      try Files.remove(segment.path)
    }
    try Files.syncFolder(folder.path)
  }

  private func syncAll() throws(ReplicationError) {
    for segment in result.segments { try Files.sync(segment.descriptor, segment.path) }
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
        try Files.write(
          [UInt8](repeating: 0, count: count), to: segment.descriptor, segment.path, at: offset)
      }
      offset += count
    }
    if wiped { try Files.sync(segment.descriptor, segment.path) }
  }

  private func missing(_ segment: UInt64) -> ReplicationError {
    damaged("\(folder.path)/\(LogSegment.name(segment)) is missing", 0)
  }

  private func damaged(_ what: String, _ offset: Int) -> ReplicationError {
    ReplicationError(
      .damagedLog,
      "\(what): acknowledged entries cannot be read; "
        + "if other replicas have them, move this folder away and start the node with an empty one: "
        + "it gets everything from them")
  }
}
