internal import CCycladesShuffle

/// The C core's aggregation table: one entry per distinct key, values folded in place.
@usableFromInline @safe final class AggregationTable {
  /// The bound on each memory area of a table.
  static let limit = 4 << 30

  @usableFromInline let memory: PairMemory
  let valueWords: Int
  private let raw: OpaquePointer
  /// The first failure; what comes after it is dropped.
  private(set) var failure: MapReduceError?

  init(valueWords: Int, memory: PairMemory) throws {
    guard let raw = unsafe cyc_shuffle_table_create(UInt32(valueWords), AggregationTable.limit)
    else { throw outOfMemory(AggregationTable.limit) }
    unsafe self.raw = raw
    self.memory = memory
    self.valueWords = valueWords
  }

  deinit { unsafe cyc_shuffle_table_destroy(raw) }

  var count: Int { unsafe cyc_shuffle_table_count(raw) }
  /// What it takes, with what arranging its entries takes on top.
  var byteCount: Int { unsafe cyc_shuffle_table_bytes(raw) + count * 32 }
  /// Pairs that were looked up since the table was empty.
  private(set) var pairCount = 0

  /// Forgets the entries and keeps the memory.
  func reset() {
    unsafe cyc_shuffle_table_reset(raw)
    pairCount = 0
  }

  /// Finds or adds the first `count` keys of the batch and sets `memory.places`. Bit i of the result
  /// tells that key i is new and its value zero. Nil when memory ran out.
  @usableFromInline func locate(_ count: Int) -> UInt64? {
    guard failure == nil else { return nil }
    pairCount += count
    var fresh: UInt64 = 0
    let result = unsafe cyc_shuffle_table_locate(
      raw, memory.keys, memory.lengths, UInt32(count), memory.places, &fresh)
    guard result == 0 else {
      failure = MapReduceError(
        .memory, "the keys of one task need more memory than there is; use more partitions")
      return nil
    }
    return fresh
  }

  /// Orders the entries by partition, and by key when `sorted`.
  func arrange(_ partitioner: Partitioner, sorted: Bool) throws -> Arrangement {
    try unsafe Arrangement(partitions: partitioner.count) { counts, bytes in
      unsafe cyc_shuffle_table_arrange(raw, partitioner.raw, sorted ? 1 : 0, counts, bytes)
    }
  }

  /// Puts up to 64 arranged entries from number `from` into the batch. Returns how many.
  func read(from: Int) -> Int {
    unsafe withUnsafeTemporaryAllocation(
      of: cyc_shuffle_record.self, capacity: PairMemory.capacity
    ) { records in
      let count = unsafe Int(
        cyc_shuffle_table_read(raw, UInt64(from), records.baseAddress, UInt32(records.count)))
      for index in 0..<count {
        unsafe memory.keys[index] = records[index].key
        unsafe memory.lengths[index] = records[index].key_length
        let value = unsafe UnsafeMutableRawPointer(mutating: records[index].value)
        unsafe memory.places[index] = value?.assumingMemoryBound(to: UInt64.self)
      }
      return count
    }
  }
}

extension AggregationTable: RecordSource {
  func write(_ range: Range<Int>, to out: UnsafeMutableRawPointer, capacity: Int) -> WrittenRecords
  {
    var used = 0
    let count = unsafe cyc_shuffle_table_write(
      raw, UInt64(range.lowerBound), UInt64(range.upperBound),
      out.assumingMemoryBound(to: UInt8.self), capacity, &used)
    return WrittenRecords(count: Int(count), byteCount: used)
  }

  func byteCount(ofRecord index: Int) -> Int {
    unsafe cyc_shuffle_table_size(raw, UInt64(index))
  }
}
