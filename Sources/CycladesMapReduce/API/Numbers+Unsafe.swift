/// Looking for a byte and reading a number, eight bytes at a time.
///
/// Both are written for what comes a hundred million times: fields of a few bytes, whose lengths differ
/// from one to the next, so that a branch on a length or a digit is often mispredicted and costs more than
/// all the arithmetic. Byte by byte, this and emitting were half of a job over rows of
/// station;temperature.

extension RawSpan {
  /// The offset of the first byte that equals `byte`, at or after `offset`; nil when there is none.
  ///
  /// - Complexity: O(*n*) for *n* bytes.
  @inlinable @inline(__always)
  public func firstOffset(of byte: UInt8, from offset: Int = 0) -> Int? {
    precondition(offset >= 0 && offset <= byteCount, "offset out of bounds")
    let left = byteCount &- offset
    guard left >= 8 else { return firstOffsetByByte(of: byte, from: offset) }
    let wanted = UInt64(byte) &* 0x0101_0101_0101_0101
    // Two words that cover the first 16 bytes, or all there are, without a branch on where it is.
    let second = offset &+ Swift.min(8, left &- 8)
    let firstHits = hits(wanted, at: offset)
    let secondHits = hits(wanted, at: second)
    let isFirst = firstHits != 0
    let found = isFirst ? firstHits : secondHits
    if found != 0 {
      return (isFirst ? offset : second) &+ found.trailingZeroBitCount &>> 3
    }
    return left <= 16 ? nil : firstOffsetByWord(of: byte, from: offset &+ 16)
  }

  /// The high bit of the lowest byte that equals the wanted one is exact; those above it may be
  /// carried into.
  @inlinable @inline(__always)
  func hits(_ wanted: UInt64, at offset: Int) -> UInt64 {
    let word = UInt64(
      littleEndian: unsafe unsafeLoadUnaligned(
        fromUncheckedByteOffset: offset, as: UInt64.self))
    let difference = word ^ wanted
    return (difference &- 0x0101_0101_0101_0101) & ~difference & 0x8080_8080_8080_8080
  }

  @usableFromInline func firstOffsetByWord(of byte: UInt8, from offset: Int) -> Int? {
    var index = offset
    let wanted = UInt64(byte) &* 0x0101_0101_0101_0101
    while index &+ 8 <= byteCount {
      let found = hits(wanted, at: index)
      if found != 0 { return index &+ found.trailingZeroBitCount &>> 3 }
      index &+= 8
    }
    return firstOffsetByByte(of: byte, from: index)
  }

  @inlinable func firstOffsetByByte(of byte: UInt8, from offset: Int) -> Int? {
    var index = offset
    while index < byteCount {
      if unsafe unsafeLoad(fromUncheckedByteOffset: index, as: UInt8.self) == byte { return index }
      index &+= 1
    }
    return nil
  }

  /// The number that all the bytes spell, with `decimals` digits behind the point counted in: with 2,
  /// "-12.5" is -1250. Nil when they spell no number, more decimals, or one beyond 18 digits.
  ///
  /// Sums of such integers are exact in any order, which those of floating-point numbers are not.
  @inlinable @inline(__always)
  public func fixedPoint(decimals: Int = 0) -> Int? {
    if byteCount >= 4, byteCount <= 8, decimals >= 0, decimals < 6,
      let number = shortFixedPoint(decimals)
    {
      return number
    }
    return fixedPointByByte(decimals: decimals)
  }

  /// The number, when it takes 4 to 8 bytes and has all its decimals; nil for all that is to be looked
  /// at more closely.
  ///
  ///   bytes      - 1 2 . 3            moved to the end of a word
  ///   word       0 0 0 - 1 2 . 3      the sign and what is before it become zeros
  ///   without .  0 0 0 0 0 1 2 3      what is before the point moves up by one
  ///
  /// Then eight digits become a number in three multiplications.
  @inlinable @inline(__always)
  func shortFixedPoint(_ decimals: Int) -> Int? {
    let count = byteCount
    let head = UInt64(
      UInt32(
        littleEndian: unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: 0, as: UInt32.self)))
    let tail = UInt64(
      UInt32(
        littleEndian: unsafe unsafeLoadUnaligned(
          fromUncheckedByteOffset: count &- 4, as: UInt32.self)))
    let gap = UInt64(truncatingIfNeeded: (8 &- count) &* 8)
    var word = tail &<< 32 | (head &<< gap) & 0xFFFF_FFFF
    let isNegative = head & 0xFF == UInt64(UInt8(ascii: "-"))
    // "-" ^ "0" in the place of the first byte; zeros before it.
    word ^= (isNegative ? 0x1D as UInt64 : 0) &<< gap
    word |= 0x3030_3030_3030_3030 & ((1 &<< gap) &- 1)
    if decimals > 0 {
      let point = UInt64(truncatingIfNeeded: (7 &- decimals) &* 8)
      guard word &>> point & 0xFF == UInt64(UInt8(ascii: ".")) else { return nil }
      let before = (1 &<< point) &- 1
      let behind = ~((256 &<< point) &- 1)
      word = word & behind | (word & before) &<< 8 | 0x30
    }
    let digits = word &- 0x3030_3030_3030_3030
    guard (digits &+ 0x7676_7676_7676_7676 | digits) & 0x8080_8080_8080_8080 == 0 else {
      return nil
    }
    let pairs = digits &* 10 &+ digits &>> 8
    let low = (pairs & 0x0000_00FF_0000_00FF) &* 0x000F_4240_0000_0064
    let high = (pairs &>> 16 & 0x0000_00FF_0000_00FF) &* 0x0000_2710_0000_0001
    let value = Int(truncatingIfNeeded: (low &+ high) &>> 32)
    return isNegative ? 0 &- value : value
  }

  @usableFromInline func fixedPointByByte(decimals: Int) -> Int? {
    let count = byteCount
    var index = 0
    @inline(__always) func digit() -> UInt8 {
      unsafe unsafeLoad(fromByteOffset: index, as: UInt8.self) &- UInt8(ascii: "0")
    }
    guard count > 0, count <= 40 else { return nil }
    let isNegative = digit() == UInt8(ascii: "-") &- UInt8(ascii: "0")
    if isNegative { index = 1 }
    var value = 0
    let first = index
    while index < count, case let digit = digit(), digit <= 9 {
      value = value &* 10 &+ Int(digit)
      index &+= 1
    }
    var digits = index &- first
    var missing = decimals
    if index < count {
      guard digit() == UInt8(ascii: ".") &- UInt8(ascii: "0") else { return nil }
      index &+= 1
      while index < count, case let digit = digit(), digit <= 9 {
        value = value &* 10 &+ Int(digit)
        digits &+= 1
        missing &-= 1
        index &+= 1
      }
    }
    guard index == count, missing >= 0, digits > 0, digits &+ missing <= 18 else { return nil }
    while missing > 0 {
      value = value &* 10
      missing &-= 1
    }
    return isNegative ? -value : value
  }
}
