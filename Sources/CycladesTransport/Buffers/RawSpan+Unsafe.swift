import Glibc

// Safe, bounds-checked reading of raw spans. The standard library has it from Swift 6.4 on
// (SE-0525); until then code without `unsafe` could not look at what it receives.

extension RawSpan {
  /// The byte at an offset.
  public func byte(at offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < byteCount, "offset out of bounds")
    return unsafe unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
  }

  /// The integer whose bytes, least significant first, start at an offset; need not be aligned.
  public func load<T: FixedWidthInteger & BitwiseCopyable>(
    littleEndianAt offset: Int, as type: T.Type
  ) -> T {
    precondition(
      offset >= 0 && offset <= byteCount - MemoryLayout<T>.size, "offset out of bounds")
    return T(
      littleEndian: unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: T.self))
  }

  /// The offset of the first byte with a value, at or behind `start`; nil when there is none.
  ///
  /// - Complexity: O(*n*), at the speed of `memchr`.
  public func firstOffset(of value: UInt8, from start: Int = 0) -> Int? {
    precondition(start >= 0 && start <= byteCount, "offset out of bounds")
    return unsafe withUnsafeBytes { bytes in
      guard start < bytes.count, let base = bytes.baseAddress,
        let found = unsafe memchr(base + start, Int32(value), bytes.count - start)
      else { return nil }
      return unsafe UnsafeRawPointer(found) - base
    }
  }

  /// A copy of the bytes.
  ///
  /// - Complexity: O(*n*) for *n* bytes.
  public var array: [UInt8] { unsafe withUnsafeBytes { unsafe [UInt8]($0) } }

  /// The bytes read as UTF-8; what is not valid becomes U+FFFD.
  ///
  /// - Complexity: O(*n*) for *n* bytes.
  public var string: String {
    unsafe withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }
}
