internal import CCycladesShuffle

/// The C core's log: every pair in order of arrival.
@usableFromInline @safe final class PairLog {
  /// The bound on the bytes of its records.
  static let limit = 2 << 30

  let memory: PairMemory
  fileprivate let raw: OpaquePointer
  let valueBytes: Int
  /// Where keys go; set for each task.
  var partitioner: Partitioner
  private(set) var failure: MapReduceError?

  /// `valueBytes` is 0 when values have a length each.
  init(valueBytes: Int, partitioner: Partitioner, memory: PairMemory) throws {
    guard let raw = unsafe cyc_shuffle_log_create(UInt32(valueBytes), PairLog.limit) else {
      throw outOfMemory(PairLog.limit)
    }
    unsafe self.raw = raw
    self.valueBytes = valueBytes
    self.partitioner = partitioner
    self.memory = memory
  }

  deinit { unsafe cyc_shuffle_log_destroy(raw) }

  var count: Int { unsafe cyc_shuffle_log_count(raw) }
  /// What it takes, with what sorting it takes on top.
  var byteCount: Int { unsafe cyc_shuffle_log_bytes(raw) + count * 32 }
  func reset() { unsafe cyc_shuffle_log_reset(raw) }

  /// Appends the first `count` pairs of the batch.
  @usableFromInline func append(_ count: Int) {
    guard failure == nil else { return }
    let result = unsafe cyc_shuffle_log_append(
      raw, partitioner.raw, memory.keys, memory.lengths, UInt32(count),
      memory.valueRegion.start.assumingMemoryBound(to: UInt8.self), memory.valueLengths)
    if result != 0 {
      failure = MapReduceError(
        .memory, "the pairs of one task need more memory than there is; use smaller splits")
    }
  }

  /// Orders the pairs by partition, and by key when `sorted`.
  func arrange(sorted: Bool) throws -> Arrangement {
    try unsafe Arrangement(partitions: partitioner.count) { counts, bytes in
      unsafe cyc_shuffle_log_arrange(
        raw, UInt32(partitioner.count), sorted ? 1 : 0, counts, bytes)
    }
  }
}

extension PairLog {
  /// So many keys that divide all there are into equal shares, in order, each once.
  func sortedKeys(at count: Int) throws -> [[UInt8]] {
    _ = try arrange(sorted: true)
    guard self.count > 0 else { return [] }
    var keys: [[UInt8]] = []
    for index in 1...count {
      let place = self.count * index / (count + 1)
      let size = byteCount(ofRecord: place)
      var record = unsafe cyc_shuffle_record()
      let key = unsafe withUnsafeTemporaryAllocation(byteCount: size + 16, alignment: 8) { room in
        let start = unsafe room.baseAddress?.assumingMemoryBound(to: UInt8.self)
        var (used, offset) = (0, 0)
        unsafe cyc_shuffle_log_write(raw, UInt64(place), UInt64(place) + 1, start, size, &used)
        unsafe cyc_shuffle_block_read(start, used, &offset, UInt32(valueBytes), &record, 1)
        return unsafe [UInt8](
          UnsafeRawBufferPointer(start: record.key, count: Int(record.key_length)))
      }
      if key != keys.last { keys.append(key) }
    }
    // Fewer different keys than parts: the parts behind the last boundary stay empty.
    while let last = keys.last, keys.count < count { keys.append(last) }
    return keys
  }
}

extension PairLog: RecordSource {
  func write(_ range: Range<Int>, to out: UnsafeMutableRawPointer, capacity: Int) -> WrittenRecords
  {
    var used = 0
    let count = unsafe cyc_shuffle_log_write(
      raw, UInt64(range.lowerBound), UInt64(range.upperBound),
      out.assumingMemoryBound(to: UInt8.self), capacity, &used)
    return WrittenRecords(count: Int(count), byteCount: used)
  }

  func byteCount(ofRecord index: Int) -> Int { unsafe cyc_shuffle_log_size(raw, UInt64(index)) }
}
