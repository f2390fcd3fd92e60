import CCycladesWire
import CycladesPaxos
import CycladesTransport
import Glibc

/// Where an entry's frame stands in the log.
struct LogLocation {
  var segment: UInt32
  var offset: UInt32
  var byteCount: UInt32
}

/// What the log reports to: the host.
protocol LogOwner: AnyObject {
  /// Everything appended for `group` up to `token` is durable.
  func logged(group: Int, token: UInt64)
  /// Everything up to this slot of `group` is decided, as far as is known.
  func decided(group: Int) -> Slot
  /// The log no longer holds any entry of `group` up to this slot.
  func compacted(group: Int, through: Slot)
  /// The log holds nothing of `group` any more but its promise.
  func dropped(group: Int)
  /// The log cannot go on: nothing more will be reported durable.
  func logFailed(_ error: ReplicationError)
}

/// One write-ahead log for all groups of a reactor: group commit into preallocated segments.
///
/// Appends gather until the turn ends. `flush` then issues them as one durable write, and while that
/// write is under way the next one gathers: an idle log writes at once, a busy one in ever larger
/// batches, and there is never more than one write in flight. Frames are written as they are, by
/// reference; each is preceded by a prefix that binds it to its place (`cyc_log_record.h`), and behind
/// all of a write stands a parity that makes up for any sector of it that rots (`cyc_log_write.h`).
///
/// Promises are durable when the superblock holds them, too; see there for what it is good for.
///
/// Ahead of the head the segment is filled with zeros, because overwriting is half the price of
/// appending: no metadata has to reach the disk with the data.
final class Log: FileCompletion {
  /// Figures of the log since the start.
  struct Counters {
    var writes: UInt64 = 0
    var records: UInt64 = 0
    var bytes: UInt64 = 0
  }

  private struct Record {
    enum Content {
      case promise(Ballot)
      case entry(Bytes, Slot)
      case drop(Slot)
      /// At the start of a segment, so that no older one is needed for it.
      case repeatedPromise(Ballot)
      case repeatedDrop(Slot)
    }

    var group: Int
    var content: Content
    /// 0 when nobody waits for it.
    var token: UInt64 = 0
    var location = LogLocation(segment: 0, offset: 0, byteCount: 0)

    var frame: Bytes? {
      if case .entry(let frame, _) = content { frame } else { nil }
    }

    /// Says in a prefix what the record is; of an entry its frame says the rest.
    func describe(in prefix: inout cyc_log_prefix) {
      prefix.node = 0
      prefix.round = 0
      switch content {
      case .entry: prefix.kind = UInt16(CYC_LOG_ENTRY)
      case .promise(let ballot), .repeatedPromise(let ballot):
        prefix.kind = UInt16(CYC_LOG_PROMISE)
        prefix.node = ballot.node.rawValue
        prefix.round = ballot.round
      case .drop(let slot):
        prefix.kind = UInt16(CYC_LOG_DROP)
        prefix.round = slot
      case .repeatedDrop(let slot):
        prefix.kind = UInt16(CYC_LOG_FORGOT)
        prefix.round = slot
      }
    }
  }

  private enum Token {
    static let zeros: UInt64 = 1
    static let zerosSynced: UInt64 = 2
    static let folderSynced: UInt64 = 3
    static let write: UInt64 = 4
    static let dropSynced: UInt64 = 5
  }

  private static let zeroChunk = 4 << 20
  private static let recordsPerWrite = 400
  /// Nobody waits for a write that takes longer than this, in nanoseconds.
  private static let gatherMax: UInt64 = 2_000_000
  private static let bytesPerWrite = 16 << 20

  let folder: DataFolder
  private(set) var counters = Counters()
  private(set) var segments: [LogSegment]
  /// By group.
  private(set) var index: [SlotIndex]
  /// By group: the highest ballot of any record appended so far.
  private(set) var promised: [Ballot]
  /// By group: what was accepted up to this slot was dropped when the node left the group.
  private(set) var forgotten: [Slot]

  private unowned let owner: any LogOwner
  private let reactor: Reactor
  private let segmentBytes: Int
  private let zeros: Bytes
  private var head: Int
  private var zeroedThrough: Int
  private var generation: UInt64
  private var gathered: [Record] = []
  private var inFlight: [Record] = []
  private var inFlightBytes = 0
  private var writing = false
  private var writingSince: UInt64 = 0
  private var zeroing = false
  private var failed = false
  private var isStopping = false
  private var isClosed = false
  /// Promises repeated at the start of the last segment that are not durable yet.
  private var repeatedPending = 0
  private var dropping = false
  /// A promise, or that a group was left, is among what was gathered.
  private var gatheredPromise = false
  /// The superblock has to be written before the write under way counts as done.
  private var superblockPending = false
  /// How the write under way ended, while the superblock is pending.
  private var writeEnded: Int?
  /// Everything before it is durable.
  private var durablePosition: LogPosition
  private var markedAt: UInt64 = 0

  private static let markInterval: UInt64 = 1_000_000_000

  /// Goes on behind what `recovered` found.
  init(
    _ recovered: RecoveredLog, folder: DataFolder, reactor: Reactor, segmentBytes: Int,
    owner: any LogOwner
  ) throws(ReplicationError) {
    self.folder = folder
    self.reactor = reactor
    self.segmentBytes = segmentBytes
    self.owner = owner
    segments = recovered.segments
    index = recovered.groups.map(\.index)
    promised = recovered.groups.map(\.promised)
    forgotten = recovered.groups.map(\.forgotten)
    head = recovered.head
    zeroedThrough = recovered.head
    generation = recovered.generation
    durablePosition = LogPosition(
      segment: UInt32(recovered.segments.last?.number ?? 0), offset: UInt32(recovered.head),
      generation: recovered.generation)
    do {
      var buffer = try Buffer(minimumCapacity: Log.zeroChunk, in: reactor.pool)
      buffer.appendZeros(Log.zeroChunk)
      zeros = buffer.freeze()
    } catch {
      throw ReplicationError(.ioFailed, "no memory for the log: \(error)")
    }
    if let last = segments.last {
      zeroedThrough = max(head, last.zeroedThrough)
      // The crash may have come before those at the start of the last segment were durable.
      repeatPromises()
    }
  }

  /// Bytes in all segments up to the head.
  var byteCount: Int { segments.dropLast().reduce(head) { $0 + $1.byteCount } }

  /// Whether a write is under way that should end soon: what is proposed meanwhile gains nothing over
  /// what is proposed when it has ended, and gathers into fewer entries and messages.
  var isWriting: Bool { writing && reactor.now.nanoseconds &- writingSince < Log.gatherMax }

  /// Appends a promise; it is reported under `token` when durable.
  func append(promise ballot: Ballot, group: Int, token: UInt64) {
    promised[group] = max(promised[group], ballot)
    gatheredPromise = true
    gathered.append(Record(group: group, content: .promise(ballot), token: token))
  }

  /// Appends an entry by its frame; it is reported under `token` when durable.
  func append(entry frame: Bytes, slot: Slot, ballot: Ballot, group: Int, token: UInt64) {
    promised[group] = max(promised[group], ballot)
    gathered.append(Record(group: group, content: .entry(frame, slot), token: token))
  }

  /// Appends that this node has left a group, whose last applied slot was `slot`.
  func append(dropOf group: Int, behind slot: Slot) {
    gatheredPromise = true
    forgotten[group] = max(forgotten[group], slot)
    gathered.append(Record(group: group, content: .drop(slot)))
  }

  /// Whether it is not durable yet that this node has left the group.
  func isDropping(_ group: Int) -> Bool {
    (gathered + inFlight).contains { record in
      if record.group == group, case .drop = record.content { true } else { false }
    }
  }

  /// Starts writing what was gathered, unless a write is under way.
  func flush() {
    if writing || failed || isStopping || gathered.isEmpty { return }
    guard let segment = segments.last, head < segmentBytes else { return openSegment() }
    let (count, length) = measure()
    let byteCount = length + cyc_log_parity_size(length)
    // Zeros on their way to the disk must not land on records: wait for them.
    if zeroing && head + byteCount > zeroedThrough { return }
    generation += 1
    inFlight.append(contentsOf: gathered[..<count])
    gathered.removeFirst(count)
    inFlightBytes = byteCount
    do {
      let slices = try encode(length: length, segment: UInt32(segment.number))
      writing = true
      writingSince = reactor.now.nanoseconds
      reactor.write(
        slices, to: segment.descriptor, at: Int64(head), durable: true, completion: self,
        token: Token.write)
    } catch {
      return fail(ReplicationError(.ioFailed, "no memory for a log write: \(error)"))
    }
    head += byteCount
    zeroedThrough = max(zeroedThrough, head)
    zeroAhead(segment)
    if gatheredPromise {
      gatheredPromise = false
      superblockPending = true
      storeSuperblock { [unowned self] in
        superblockPending = false
        if let writeEnded { wrote(writeEnded) }
      }
    }
  }

  /// How many gathered records fit into one write, and its length, padding included.
  private func measure() -> (count: Int, length: Int) {
    var count = 0
    var byteCount = 0
    while count < gathered.count && count < Log.recordsPerWrite {
      let frame = gathered[count].frame?.byteCount ?? 0
      let end =
        Log.align(byteCount, Int(CYC_LOG_RECORD_ALIGNMENT)) + Int(CYC_LOG_PREFIX_SIZE) + frame
      if count > 0 && end > Log.bytesPerWrite { break }
      byteCount = end
      count += 1
    }
    let end = Log.align(byteCount, Int(CYC_LOG_RECORD_ALIGNMENT)) + Int(CYC_LOG_PREFIX_SIZE)
    return (count, Log.align(end, Int(CYC_LOG_WRITE_ALIGNMENT)))
  }

  static func align(_ value: Int, _ alignment: Int) -> Int {
    (value + alignment - 1) & ~(alignment - 1)
  }

  /// The slices of one write: prefixes, padding and parity from two small buffers, frames as they are.
  private func encode(length: Int, segment: UInt32) throws(TransportError) -> [Bytes] {
    let room = inFlight.count * (Int(CYC_LOG_PREFIX_SIZE) + 8) + 2 * Int(CYC_LOG_WRITE_ALIGNMENT)
    var prefixes = try Buffer(minimumCapacity: room, in: reactor.pool)
    var cuts: [Int] = []
    cuts.reserveCapacity(inFlight.count)
    var prefix = cyc_log_prefix()
    prefix.log = folder.identity.log
    prefix.segment = segment
    prefix.start = UInt32(head)
    prefix.length = UInt32(length)
    prefix.generation = generation
    var offset = head
    for position in inFlight.indices {
      let start = Log.align(offset, Int(CYC_LOG_RECORD_ALIGNMENT))
      prefixes.appendZeros(start - offset)
      let frame = inFlight[position].frame?.byteCount ?? 0
      let size = Int(CYC_LOG_PREFIX_SIZE) + frame
      inFlight[position].location = LogLocation(
        segment: segment, offset: UInt32(start + Int(CYC_LOG_PREFIX_SIZE)),
        byteCount: UInt32(frame))
      prefix.size = UInt32(size)
      prefix.first = position == 0 ? 1 : 0
      prefix.offset = UInt32(start)
      prefix.group = UInt32(inFlight[position].group)
      inFlight[position].describe(in: &prefix)
      Log.append(prefix, to: &prefixes)
      cuts.append(prefixes.byteCount)
      offset = start + size
    }
    let end = Log.align(offset, Int(CYC_LOG_RECORD_ALIGNMENT))
    prefixes.appendZeros(end - offset)
    prefix = Log.end(of: prefix, at: UInt32(end))
    Log.append(prefix, to: &prefixes)
    prefixes.appendZeros(head + length - end - Int(CYC_LOG_PREFIX_SIZE))
    let all = prefixes.freeze()
    var slices: [Bytes] = []
    slices.reserveCapacity(2 * inFlight.count + 2)
    var from = 0
    for (position, cut) in cuts.enumerated() where inFlight[position].frame != nil {
      slices.append(all.slice(from..<cut))
      slices.append(inFlight[position].frame!)
      from = cut
    }
    slices.append(all.slice(from..<all.byteCount))
    slices.append(try Log.parity(of: slices, length: length, pool: reactor.pool))
    return slices
  }

  /// A reactor's file operation ended.
  func completed(_ token: UInt64, result: Int) {
    defer { if isStopping { closeWhenIdle() } }
    switch token {
    case Token.write: wrote(result)
    case Token.zeros: zerosWritten(result)
    case Token.zerosSynced:
      zeroing = false
      if result < 0 { return fail(Files.failure("sync", path, Int32(-result))) }
      flush()
    case Token.dropSynced:
      dropping = false
      if result < 0 { return fail(Files.failure("sync folder", folder.path, Int32(-result))) }
    default:
      writing = false
      if result < 0 { return fail(Files.failure("sync folder", folder.path, Int32(-result))) }
      flush()
    }
  }

  private func wrote(_ result: Int) {
    if superblockPending {
      writeEnded = result
      return
    }
    writeEnded = nil
    writing = false
    if failed { return }
    if result != inFlightBytes {
      let code = result < 0 ? Int32(-result) : ENOSPC
      return fail(Files.failure("write", path, code))
    }
    counters.writes += 1
    counters.records += UInt64(inFlight.count)
    counters.bytes += UInt64(result)
    durablePosition = LogPosition(
      segment: UInt32(segments[segments.count - 1].number), offset: UInt32(head),
      generation: generation)
    let records = inFlight
    inFlight.removeAll(keepingCapacity: true)
    for record in records { note(record) }
    for (position, record) in records.enumerated() where record.token > 0 {
      // Tokens are cumulative: of a run of records of one group, the last speaks for all.
      let next = position + 1
      if next < records.count && records[next].group == record.group && records[next].token > 0 {
        continue
      }
      owner.logged(group: record.group, token: record.token)
    }
  }

  private func note(_ record: Record) {
    switch record.content {
    case .promise: break
    case .repeatedPromise, .repeatedDrop: repeatedPending -= 1
    case .entry(_, let slot):
      let entered = index[record.group].enter(record.location, slot: slot)
      precondition(entered, "an entry was logged without the slots before it")
      segments[segments.count - 1].note(slot, group: record.group)
    case .drop(let slot):
      index[record.group] = SlotIndex()
      forgotten[record.group] = max(forgotten[record.group], slot)
      owner.dropped(group: record.group)
    }
  }

  private var path: String { segments.last?.path ?? folder.path }

  private func fail(_ error: ReplicationError) {
    // A failed sync is never retried: the kernel may have dropped the pages it could not write.
    if failed { return }
    failed = true
    owner.logFailed(error)
  }

  /// Writes nothing more, and lets go of the folder when what is under way has ended.
  func stop() {
    isStopping = true
    closeWhenIdle()
  }

  /// Writes nothing at all any more, not even the mark: the machine under it is gone.
  func abandon() {
    failed = true
    stop()
  }

  private func closeWhenIdle() {
    if isClosed || writing || zeroing || dropping || folder.superblock.isBusy { return }
    isClosed = true
    // Without the mark the next start only knows less of what was durable.
    if !failed { try? storeMark() }
    for segment in segments { Files.close(segment.descriptor) }
    segments.removeAll()
    folder.close()
  }
}

// MARK: - The superblock

extension Log {
  /// Lets the superblock name the place up to which all is durable, once a second when it has moved.
  func tick(_ now: UInt64) {
    guard now - markedAt >= Log.markInterval, !folder.superblock.isBusy, !failed, !isStopping,
      folder.superblock.content.position != durablePosition
    else { return }
    markedAt = now
    storeSuperblock {}
  }

  /// Writes what is known now, and calls back when it is durable.
  private func storeSuperblock(_ done: @escaping () -> Void) {
    mark()
    folder.superblock.store(reactor) { [self] error in
      if let error { fail(error) }
      done()
      if isStopping { closeWhenIdle() }
    }
  }

  private func storeMark() throws(ReplicationError) {
    if folder.superblock.content.position == durablePosition { return }
    mark()
    try folder.superblock.storeNow()
  }

  private func mark() {
    folder.superblock.content.position = durablePosition
    for group in index.indices {
      let before = folder.superblock.content.groups[group].commit
      folder.superblock.content.groups[group] = GroupMark(
        promised: promised[group], forgotten: forgotten[group], last: index[group].last,
        commit: max(before, owner.decided(group: group)))
    }
  }
}

// MARK: - Segments

extension Log {
  /// Makes the next segment file; writing goes on when its name is durable.
  private func openSegment() {
    if zeroing { return }
    let number = (segments.last?.number ?? 0) + 1
    if let position = segments.indices.last { segments[position].byteCount = head }
    do {
      let segment = try LogSegment.create(number, in: folder.path, groupCount: index.count)
      segments.append(segment)
    } catch {
      return fail(error)
    }
    head = 0
    zeroedThrough = 0
    writing = true
    repeatPromises()
    reactor.sync(folder.descriptor, completion: self, token: Token.folderSynced)
  }

  /// Puts every group's promise, and what it dropped, at the start of the segment, so that no older
  /// segment is needed for them, however long the group is idle.
  private func repeatPromises() {
    var records: [Record] = []
    for group in index.indices {
      if promised[group] != .zero {
        records.append(Record(group: group, content: .repeatedPromise(promised[group])))
      }
      if forgotten[group] > 0 {
        records.append(Record(group: group, content: .repeatedDrop(forgotten[group])))
      }
    }
    gathered.insert(contentsOf: records, at: 0)
    repeatedPending = records.count
  }

  private func zeroAhead(_ segment: LogSegment) {
    if zeroing || failed || isStopping || zeroedThrough >= segmentBytes { return }
    if zeroedThrough - head >= Log.zeroChunk / 2 { return }
    zeroing = true
    reactor.write(
      [zeros], to: segment.descriptor, at: Int64(zeroedThrough), durable: false, completion: self,
      token: Token.zeros)
  }

  private func zerosWritten(_ result: Int) {
    guard result == Log.zeroChunk, let segment = segments.last else {
      zeroing = false
      return fail(Files.failure("extend", path, result < 0 ? Int32(-result) : ENOSPC))
    }
    zeroedThrough += Log.zeroChunk
    reactor.sync(segment.descriptor, completion: self, token: Token.zerosSynced)
  }
}

// MARK: - Compaction

extension Log {
  /// A group that alone keeps the oldest segment from being dropped, given the slot up to which each
  /// group's snapshot stands for its entries; `nil` when no group does.
  func pinning(_ covered: (Int) -> Slot) -> Int? {
    guard segments.count > 1 else { return nil }
    return index.indices.first { segments[0].lastSlots[$0] > covered($0) }
  }

  /// Removes the oldest segment when a durable snapshot stands for every entry in it.
  ///
  /// One at a time: the next waits until the name of this one has gone for good, so that what a
  /// crash leaves has no hole. Call again later for more.
  func dropOldest(_ covered: (Int) -> Slot) {
    if dropping || failed || isStopping || repeatedPending > 0 { return }
    guard segments.count > 1, pinning(covered) == nil else { return }
    let segment = segments.removeFirst()
    Files.close(segment.descriptor)
    do {
      try Files.remove(segment.path)
    } catch {
      return fail(error)
    }
    dropping = true
    reactor.sync(folder.descriptor, completion: self, token: Token.dropSynced)
    for group in index.indices {
      let slot = index[group].last(inSegmentsThrough: segment.number)
      guard slot > index[group].base else { continue }
      index[group].drop(through: slot)
      owner.compacted(group: group, through: slot)
    }
  }

  /// Forgets a group's entries up to a slot: a snapshot that came from a peer stands for them.
  func installed(group: Int, through slot: Slot) {
    index[group].drop(through: slot)
  }
}

// MARK: - Reading back

extension Log {
  /// Where the durable entries of a group stand from a slot on, without a gap: as many as
  /// `byteCountMax` holds, and at least one when the first is there.
  func locations(group: Int, from: Slot, through: Slot, byteCountMax: Int) -> [LogLocation] {
    var found: [LogLocation] = []
    var total = 0
    var slot = from
    while slot <= through, let location = index[group][slot] {
      total += Int(location.byteCount)
      if !found.isEmpty && total > byteCountMax { break }
      found.append(location)
      slot += 1
    }
    return found
  }

  /// Appends the entry frame at a location to a buffer with room for it.
  ///
  /// Reads synchronously: what a peer lacks is mostly in the page cache, and is read in bounded
  /// pieces.
  func read(_ location: LogLocation, into buffer: inout Buffer) throws(ReplicationError) {
    guard let segment = segments.first(where: { $0.number == UInt64(location.segment) }) else {
      preconditionFailure("the index names segment \(location.segment), which is not there")
    }
    try segment.read(location, into: &buffer)
  }
}
