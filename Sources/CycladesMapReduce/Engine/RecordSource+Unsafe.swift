/// What arranged records can be written from: a table or a log.
protocol RecordSource {
  /// Writes records of the range, in arranged order, while they fit. None: the first does not fit.
  func write(_ range: Range<Int>, to out: UnsafeMutableRawPointer, capacity: Int) -> WrittenRecords
  /// The encoded size of one record.
  func byteCount(ofRecord index: Int) -> Int
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
