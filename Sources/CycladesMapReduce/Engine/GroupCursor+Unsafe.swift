internal import CCycladesShuffle
internal import CycladesTransport
import Glibc

/// Merges sorted runs of blocks and walks the groups of equal keys.
///
/// Of each run one block is held at a time, so runs that lie on disk take a block of memory each.
@usableFromInline @safe final class GroupCursor {
  private let merge: OpaquePointer
  private let runs: [[StoredBlock]]
  private var nextBlock: [Int]
  /// The merge reads them in place.
  private var blocks: [Block?]
  private let pool: BufferPool
  private let batch: UnsafeMutablePointer<cyc_shuffle_record>
  private var next = 0
  private var filled = 0
  /// The group's bytes, copied because the block they came from may be gone before the group ends.
  private var key: UnsafeMutableRawBufferPointer
  private var keyByteCount = 0
  private var groupByteCount = 0
  private var hasGroup = false
  private var value = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
  /// For keys with an order: how many bytes of one name its group.
  private let groupLength: ((RawSpan) -> Int)?

  /// Merges runs; equal keys come in order of the runs. `valueBytes` is 0 when values have a length.
  init(
    _ runs: [[StoredBlock]], valueBytes: Int, groupLength: ((RawSpan) -> Int)?, pool: BufferPool
  ) throws {
    guard let merge = unsafe cyc_shuffle_merge_create(UInt32(runs.count), UInt32(valueBytes)) else {
      throw outOfMemory(runs.count * 64)
    }
    unsafe self.merge = merge
    self.runs = runs
    self.pool = pool
    self.groupLength = groupLength
    nextBlock = Array(repeating: 0, count: runs.count)
    blocks = Array(repeating: nil, count: runs.count)
    unsafe batch = .allocate(capacity: PairMemory.capacity)
    unsafe key = .allocate(byteCount: 256, alignment: 16)
    try feed()
  }

  deinit {
    unsafe cyc_shuffle_merge_destroy(merge)
    unsafe batch.deallocate()
    unsafe key.deallocate()
  }

  /// Gives every hungry run its next block.
  private func feed() throws {
    while true {
      let hungry = unsafe Int(cyc_shuffle_merge_hungry(merge))
      if hungry < 0 { return }
      var result: Int32 = 0
      if nextBlock[hungry] < runs[hungry].count {
        let block = try Block(verifying: runs[hungry][nextBlock[hungry]].frame(in: pool))
        nextBlock[hungry] += 1
        // A block without records would end its run.
        if unsafe block.recordBytes.isEmpty { continue }
        blocks[hungry] = block
        let records = unsafe block.recordBytes
        result = unsafe cyc_shuffle_merge_feed(
          merge, records.baseAddress?.assumingMemoryBound(to: UInt8.self), records.count)
      } else {
        result = unsafe cyc_shuffle_merge_feed(merge, nil, 0)
      }
      guard result == 0 else { throw GroupCursor.malformed }
    }
  }

  private static let malformed = MapReduceError(
    .protocolViolation, "the records of a shuffle block are malformed")

  /// Whether a record is at hand; takes the next batch when the last is used up.
  private func hasRecord() throws -> Bool {
    if next < filled { return true }
    next = 0
    filled = 0
    while filled == 0 {
      try feed()
      filled = unsafe Int(
        cyc_shuffle_merge_take(merge, batch, UInt32(PairMemory.capacity)))
      guard filled >= 0 else {
        filled = 0
        throw GroupCursor.malformed
      }
      if unsafe filled == 0 && cyc_shuffle_merge_hungry(merge) < 0 { return false }
    }
    return true
  }

  private var keyStart: UnsafeMutableRawPointer { unsafe key.baseAddress.unsafelyUnwrapped }

  private func nextIsInGroup() throws -> Bool {
    guard try hasRecord() else { return false }
    let record = unsafe batch[next]
    let bytes = unsafe record.key.unsafelyUnwrapped
    guard let groupLength else {
      return unsafe Int(record.key_length) == keyByteCount
        && memcmp(bytes, keyStart, keyByteCount) == 0
    }
    guard unsafe Int(record.key_length) >= groupByteCount,
      unsafe memcmp(bytes, keyStart, groupByteCount) == 0
    else { return false }
    return unsafe groupLength(
      RawSpan(_unsafeStart: bytes, byteCount: Int(record.key_length))) == groupByteCount
  }

  /// Moves to the next key, past values that were not taken; false after the last.
  @usableFromInline func nextGroup() throws -> Bool {
    if hasGroup {
      while try nextIsInGroup() { next += 1 }
    }
    guard try hasRecord() else { return false }
    let record = unsafe batch[next]
    keyByteCount = unsafe Int(record.key_length)
    if unsafe keyByteCount > key.count {
      unsafe key.deallocate()
      unsafe key = .allocate(byteCount: keyByteCount * 2, alignment: 16)
    }
    unsafe keyStart.copyMemory(
      from: record.key.unsafelyUnwrapped, byteCount: keyByteCount)
    groupByteCount = withKey { groupLength?($0) ?? $0.byteCount }
    hasGroup = true
    return true
  }

  /// Moves to the next value of the key; false after the last.
  @usableFromInline func nextValue() throws -> Bool {
    guard try nextIsInGroup() else { return false }
    unsafe value = unsafe UnsafeRawBufferPointer(
      start: batch[next].value, count: Int(batch[next].value_length))
    next += 1
    return true
  }

  /// Calls `body` with the bytes of the group's first key.
  @usableFromInline func withKey<R>(_ body: (RawSpan) throws -> R) rethrows -> R {
    try unsafe body(
      RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: key[..<keyByteCount])))
  }

  /// Calls `body` with the value's bytes.
  @usableFromInline func withValue<R>(_ body: (RawSpan) throws -> R) rethrows -> R {
    try unsafe body(RawSpan(_unsafeBytes: value))
  }

  /// Hands up to 64 records, in order and whatever their groups, to `body`; false after the last.
  @usableFromInline func withRecords(
    _ body: (_ key: RawSpan, _ value: RawSpan) throws -> Void
  ) throws -> Bool {
    guard try hasRecord() else { return false }
    while next < filled {
      let record = unsafe batch[next]
      try unsafe body(
        RawSpan(_unsafeStart: record.key.unsafelyUnwrapped, byteCount: Int(record.key_length)),
        RawSpan(
          _unsafeStart: record.value.unsafelyUnwrapped, byteCount: Int(record.value_length)))
      next += 1
    }
    return true
  }

  /// Writes everything that is left as one run, in whole blocks.
  func writeRun(to output: MapOutput, valueBytes: Int, blockSize: Int) throws {
    let staging = try Region(reserving: TaskMemory.recordLimit)
    var staged = StagedRecords(region: staging, count: 0, byteCount: 0)
    output.beginRun()
    while try hasRecord() {
      let first = unsafe cyc_shuffle_record_size(batch + next, UInt32(valueBytes))
      guard staging.ensure(max(blockSize, first)) else { throw outOfMemory(first) }
      var used = 0
      let taken = unsafe cyc_shuffle_records_write(
        batch + next, UInt32(filled - next), UInt32(valueBytes),
        (staging.start + staged.byteCount).assumingMemoryBound(to: UInt8.self),
        max(blockSize, first) - staged.byteCount, &used)
      next += Int(taken)
      staged.count += Int(taken)
      staged.byteCount += used
      if taken == 0 || staged.byteCount == blockSize {
        try output.append(staged)
        staged.count = 0
        staged.byteCount = 0
      }
    }
    if staged.count > 0 { try output.append(staged) }
  }
}

/// Encoded records on their way into one block.
struct StagedRecords: RecordSource {
  let region: Region
  var count: Int
  var byteCount: Int

  /// Asked once: all records go into one block, so the first is as large as all.
  func byteCount(ofRecord index: Int) -> Int { byteCount }

  func write(_ range: Range<Int>, to out: UnsafeMutableRawPointer, capacity: Int) -> WrittenRecords
  {
    unsafe out.copyMemory(from: region.start, byteCount: byteCount)
    return WrittenRecords(count: count, byteCount: byteCount)
  }
}
