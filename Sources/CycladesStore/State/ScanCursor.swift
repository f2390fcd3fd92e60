/// Where a SCAN of the whole keyspace is: 14 bits of a slot, then the 38 leading bits of a hash.
///
/// Shards are contiguous ranges of slots and are visited in that order; within a shard keys are
/// visited in the order of their hashes, which is the same on all replicas. A cursor means: ranges
/// below the shard of this slot are done, and of that shard all keys with a smaller hash. So it stays
/// good after a failover, and after shards were split or joined a scan goes on where it was: then
/// some keys may come twice, and none is left out that was there all the time.
///
/// 52 bits, so that clients that hold numbers as doubles keep all of them.
struct ScanCursor {
  private static let positionBits: UInt64 = 38

  let rawValue: UInt64

  init(slot: Int, position: UInt64) {
    rawValue = UInt64(slot) << Self.positionBits | position >> (64 - Self.positionBits)
  }

  /// The cursor in an argument; `nil` when it is none.
  init?(_ text: RawSpan) {
    guard let value = text.unsigned else { return nil }
    rawValue = value
  }

  var slot: Int { Int(clamping: rawValue >> Self.positionBits) }

  /// The hash at which to go on.
  var position: UInt64 { rawValue << (64 - Self.positionBits) }

  /// This place in the shard, further on; `end` when there is nothing further on.
  func advanced(to position: UInt64, orEnd end: UInt64) -> UInt64 {
    position == 0 ? end : ScanCursor(slot: slot, position: position).rawValue
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
