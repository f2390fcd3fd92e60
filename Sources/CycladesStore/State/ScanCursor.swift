/// Where a SCAN of the whole keyspace is: 14 bits for the first slot of a shard, 4 bits for the size of
/// its range of slots, and the 34 leading bits of a hash.
///
/// Shards are contiguous ranges of slots and are visited in that order; within a shard keys are
/// visited in the order of their hashes, which is the same on all replicas. A cursor means: lower
/// slots are done, and of this range all keys with a smaller hash. So it stays good after a failover.
/// When the shard has been split since, its lower half goes on from the same hash, and the upper half
/// begins anew; when shards were joined, the joined shard begins anew. Then some keys come twice, and
/// none is left out that was there all the time.
///
/// 52 bits, so that clients that hold numbers as doubles keep all of them.
struct ScanCursor {
  private static let positionBits: UInt64 = 34
  private static let sizeBits: UInt64 = 4

  let rawValue: UInt64

  /// A place in the shard with a range of slots.
  init(slots: Range<Int>, position: UInt64) {
    let size = UInt64(slots.count.bitWidth - 1 - slots.count.leadingZeroBitCount)
    let range = UInt64(slots.lowerBound) << Self.sizeBits | size
    rawValue = range << Self.positionBits | position >> (64 - Self.positionBits)
  }

  /// The cursor in an argument; `nil` when it is none.
  init?(_ text: RawSpan) {
    guard let value = text.unsigned else { return nil }
    rawValue = value
  }

  /// The slot in which to go on.
  var slot: Int { Int(clamping: rawValue >> (Self.positionBits + Self.sizeBits)) }

  /// The hash at which to go on.
  var position: UInt64 { rawValue << (64 - Self.positionBits) }

  /// The same in the shard that holds the slot now.
  func adapted(to slots: Range<Int>) -> ScanCursor {
    let start = ScanCursor(slots: slots, position: 0)
    let size = { (cursor: UInt64) in cursor >> Self.positionBits & (1 << Self.sizeBits - 1) }
    guard slot == slots.lowerBound, size(rawValue) >= size(start.rawValue) else { return start }
    return ScanCursor(slots: slots, position: position)
  }

  /// This place in the shard, further on; `end` when there is nothing further on.
  func advanced(to position: UInt64, orEnd end: UInt64) -> UInt64 {
    guard position != 0 else { return end }
    let range = rawValue >> Self.positionBits
    return range << Self.positionBits | position >> (64 - Self.positionBits)
  }
}

extension RawSpan {
  /// The bytes as an unsigned decimal number, as cursors are written.
  var unsigned: UInt64? {
    guard byteCount > 0, byteCount <= 20 else { return nil }
    var value: UInt64 = 0
    for index in 0..<byteCount {
      let digit = byte(index) &- UInt8(ascii: "0")
      guard digit <= 9 else { return nil }
      let (scaled, scaledOverflows) = value.multipliedReportingOverflow(by: 10)
      let (sum, sumOverflows) = scaled.addingReportingOverflow(UInt64(digit))
      if scaledOverflows || sumOverflows { return nil }
      value = sum
    }
    return value
  }
}
