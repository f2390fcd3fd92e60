/// Counts of latencies in buckets whose width grows with the value, so that every quantile is
/// known to within 1.6 % from one nanosecond to centuries, in 30 KiB.
///
/// Values below 64 have a bucket each. Above, every power of two is cut into 64 equal buckets:
/// the position of the highest bit picks the row, the next six bits the bucket in it. The scheme
/// is that of HdrHistogram.
struct LoadHistogram: Sendable {
  private static let precisionBits = 6
  private static let rowSize = 1 << precisionBits

  private var counts = [UInt64](
    repeating: 0, count: (UInt64.bitWidth - precisionBits + 1) * rowSize)

  /// How many values were recorded.
  private(set) var count: UInt64 = 0

  /// The largest value, exactly; 0 when there is none.
  private(set) var maximum: UInt64 = 0

  mutating func record(_ value: UInt64) {
    counts[Self.bucket(of: value)] += 1
    count += 1
    maximum = max(maximum, value)
  }

  /// The value that a share `quantile` (0...1) of all values does not exceed; 0 when empty.
  func value(atQuantile quantile: Double) -> UInt64 {
    let rank = max(1, UInt64((quantile * Double(count)).rounded(.up)))
    var seen: UInt64 = 0
    for (index, bucketCount) in counts.enumerated() {
      seen += bucketCount
      if seen >= rank { return min(maximum, Self.upperBound(of: index)) }
    }
    return maximum
  }

  static func bucket(of value: UInt64) -> Int {
    guard value >= rowSize else { return Int(value) }
    let shift = UInt64.bitWidth - 1 - value.leadingZeroBitCount - precisionBits
    return (shift + 1) * rowSize + (Int(truncatingIfNeeded: value >> UInt64(shift)) & (rowSize - 1))
  }

  /// The largest value that falls into a bucket.
  static func upperBound(of bucket: Int) -> UInt64 {
    guard bucket >= rowSize else { return UInt64(bucket) }
    let shift = UInt64(bucket / rowSize - 1)
    let lowest = UInt64(rowSize + bucket % rowSize) << shift
    return lowest + ((1 << shift) - 1)
  }
}
