internal import CCycladesShuffle
import Glibc

/// Walks the groups of equal keys in merged, sorted blocks.
@usableFromInline @safe final class GroupCursor {
  private let merge: OpaquePointer
  /// The merge reads the blocks in place, so they stay.
  private let blocks: [Block]
  private let batch: UnsafeMutablePointer<cyc_shuffle_record>
  private var next = 0
  private var filled = 0
  private var key = unsafe UnsafeRawBufferPointer(start: nil, count: 0)
  private var value = unsafe UnsafeRawBufferPointer(start: nil, count: 0)

  /// Merges blocks that are in order of map task and sequence.
  init(_ blocks: [Block]) throws {
    var extents: [cyc_shuffle_extent] = unsafe []
    var runs = 0
    for (index, block) in blocks.enumerated() {
      let previous = index > 0 ? blocks[index - 1] : nil
      if previous?.name.map != block.name.map || previous?.run != block.run { runs += 1 }
      unsafe extents.append(
        cyc_shuffle_extent(
          records: block.recordBytes.baseAddress?.assumingMemoryBound(to: UInt8.self),
          length: block.recordBytes.count, run: UInt32(runs - 1)))
    }
    guard let merge = unsafe cyc_shuffle_merge_create(extents, UInt32(extents.count), 0) else {
      throw MapReduceError(.protocolViolation, "the records of a shuffle block are malformed")
    }
    unsafe self.merge = merge
    self.blocks = blocks
    unsafe batch = .allocate(capacity: PairMemory.capacity)
  }

  deinit {
    unsafe cyc_shuffle_merge_destroy(merge)
    unsafe batch.deallocate()
  }

  private func hasRecord() throws -> Bool {
    if next < filled { return true }
    let taken = unsafe cyc_shuffle_merge_take(merge, batch, UInt32(PairMemory.capacity))
    guard taken >= 0 else {
      throw MapReduceError(.protocolViolation, "the records of a shuffle block are malformed")
    }
    next = 0
    filled = Int(taken)
    return filled > 0
  }

  private var nextKey: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: batch[next].key, count: Int(batch[next].key_length))
  }

  private func nextIsInGroup() throws -> Bool {
    guard try hasRecord() else { return false }
    let upcoming = unsafe nextKey
    guard unsafe upcoming.count == key.count else { return false }
    guard let a = upcoming.baseAddress, let b = unsafe key.baseAddress else { return true }
    return unsafe memcmp(a, b, upcoming.count) == 0
  }

  /// Moves to the next key, past values that were not taken; false after the last.
  @usableFromInline func nextGroup() throws -> Bool {
    if unsafe key.baseAddress != nil {
      while try nextIsInGroup() { next += 1 }
    }
    guard try hasRecord() else { return false }
    unsafe key = unsafe nextKey
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

  /// Calls `body` with the key's bytes.
  @usableFromInline func withKey<R>(_ body: (RawSpan) throws -> R) rethrows -> R {
    try unsafe body(RawSpan(_unsafeBytes: key))
  }

  /// Calls `body` with the value's bytes.
  @usableFromInline func withValue<R>(_ body: (RawSpan) throws -> R) rethrows -> R {
    try unsafe body(RawSpan(_unsafeBytes: value))
  }
}
