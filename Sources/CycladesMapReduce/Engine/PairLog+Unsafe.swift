internal import CCycladesShuffle

/// The C core's log: every pair in order of arrival.
@usableFromInline @safe final class PairLog {
  /// The bound on the bytes of its records.
  static let limit = 2 << 30

  let memory: PairMemory
  private let raw: OpaquePointer
  let valueBytes: Int
  let partitions: Int
  private(set) var failure: MapReduceError?

  /// `valueBytes` is 0 when values have a length each.
  init(valueBytes: Int, partitions: Int, memory: PairMemory) throws {
    guard let raw = unsafe cyc_shuffle_log_create(UInt32(valueBytes), PairLog.limit) else {
      throw outOfMemory(PairLog.limit)
    }
    unsafe self.raw = raw
    self.valueBytes = valueBytes
    self.partitions = partitions
    self.memory = memory
  }

  deinit { unsafe cyc_shuffle_log_destroy(raw) }

  var count: Int { unsafe cyc_shuffle_log_count(raw) }
  var byteCount: Int { unsafe cyc_shuffle_log_bytes(raw) }
  func reset() { unsafe cyc_shuffle_log_reset(raw) }

  /// Appends the first `count` pairs of the batch.
  @usableFromInline func append(_ count: Int) {
    guard failure == nil else { return }
    let result = unsafe cyc_shuffle_log_append(
      raw, UInt32(partitions), memory.keys, memory.lengths, UInt32(count),
      memory.valueRegion.start.assumingMemoryBound(to: UInt8.self), memory.valueLengths)
    if result != 0 {
      failure = MapReduceError(
        .memory, "the pairs of one task need more memory than there is; use smaller splits")
    }
  }

  /// Orders the pairs by partition, and by key when `sorted`.
  func arrange(partitions: Int, sorted: Bool) throws -> Arrangement {
    try unsafe Arrangement(partitions: partitions) { counts, bytes in
      unsafe cyc_shuffle_log_arrange(raw, UInt32(partitions), sorted ? 1 : 0, counts, bytes)
    }
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
