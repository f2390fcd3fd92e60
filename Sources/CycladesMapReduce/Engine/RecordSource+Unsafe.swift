internal import CCycladesShuffle

/// What arranged records can be written from: a table, a log, or a batch of a merge.
protocol RecordSource {
  /// Writes records of the range, in arranged order, while they fit. None: the first does not fit.
  func write(_ range: Range<Int>, to out: UnsafeMutableRawPointer, capacity: Int) -> WrittenRecords
  /// The encoded size of one record.
  func byteCount(ofRecord index: Int) -> Int
}

/// Which partition keys go to, as the C core asks it.
@safe final class Partitioner {
  let count: Int
  let raw: UnsafeMutablePointer<cyc_shuffle_partitioner>
  private let boundaries: UnsafeMutablePointer<cyc_shuffle_key>
  private let boundaryBytes: UnsafeMutableBufferPointer<UInt8>
  private let choose: ((RawSpan, Int) -> Int)?

  /// By `boundaries`, unless there are none; else by `choose`, unless it is nil; else by hash.
  init(count: Int, boundaries keys: [[UInt8]], choose: ((RawSpan, Int) -> Int)?) {
    self.count = count
    self.choose = keys.isEmpty ? choose : nil
    unsafe raw = .allocate(capacity: 1)
    unsafe raw.initialize(to: cyc_shuffle_partitioner())
    unsafe raw.pointee.partitions = UInt32(count)
    unsafe boundaries = .allocate(capacity: max(1, keys.count))
    unsafe boundaryBytes = .allocate(capacity: keys.reduce(1) { $0 + $1.count })
    var next = 0
    for (index, key) in keys.enumerated() {
      unsafe (boundaries + index).initialize(
        to: cyc_shuffle_key(
          bytes: boundaryBytes.baseAddress.map { unsafe UnsafePointer($0 + next) },
          length: UInt32(key.count)))
      for byte in key {
        unsafe boundaryBytes[next] = byte
        next += 1
      }
    }
    if !keys.isEmpty { unsafe raw.pointee.boundaries = unsafe UnsafePointer(boundaries) }
    if self.choose != nil {
      unsafe raw.pointee.context = Unmanaged.passUnretained(self).toOpaque()
      unsafe raw.pointee.choose = { context, key, length in
        let partitioner = unsafe Unmanaged<Partitioner>.fromOpaque(context.unsafelyUnwrapped)
          .takeUnretainedValue()
        return unsafe partitioner.chosen(
          RawSpan(_unsafeStart: key.unsafelyUnwrapped, byteCount: Int(length)))
      }
    }
  }

  deinit {
    unsafe raw.deallocate()
    unsafe boundaries.deallocate()
    unsafe boundaryBytes.deallocate()
  }

  private func chosen(_ key: RawSpan) -> UInt32 {
    let partition = choose?(key, count) ?? 0
    precondition((0..<count).contains(partition), "a partitioner chose \(partition) of \(count)")
    return UInt32(partition)
  }

  /// The partition of bytes by their hash alone.
  static func hashed(_ key: RawSpan, _ count: Int) -> Int {
    unsafe key.withUnsafeBytes { unsafe Int((hash($0) >> 32) * UInt64(count) >> 32) }
  }
}

/// How much was written.
struct WrittenRecords {
  var count: Int
  var byteCount: Int
}

/// Records and bytes per partition, in arranged order.
struct Arrangement {
  private(set) var counts: [UInt64]
  private(set) var byteCounts: [UInt64]

  init(
    partitions: Int,
    _ arrange: (UnsafeMutablePointer<UInt64>, UnsafeMutablePointer<UInt64>) -> Int32
  ) throws {
    counts = [UInt64](repeating: 0, count: partitions)
    byteCounts = [UInt64](repeating: 0, count: partitions)
    let result = unsafe counts.withUnsafeMutableBufferPointer { counts in
      unsafe byteCounts.withUnsafeMutableBufferPointer { bytes in
        unsafe arrange(counts.baseAddress.unsafelyUnwrapped, bytes.baseAddress.unsafelyUnwrapped)
      }
    }
    guard result == 0 else {
      throw MapReduceError(
        .memory, "sorting the keys of one task needs more memory than there is")
    }
  }
}
