/// Safe ways in and out of raw spans, which the standard library does not have yet.
extension [UInt8] {
  /// Copies the bytes of a span.
  ///
  /// - Complexity: O(*n*) for *n* bytes.
  public init(copying span: RawSpan) {
    self = unsafe span.withUnsafeBytes { unsafe [UInt8]($0) }
  }

  /// The elements as raw bytes, readable while the array is not changed.
  var rawSpan: RawSpan {
    @_lifetime(borrow self) get {
      let bytes = unsafe span.bytes
      return unsafe _overrideLifetime(bytes, borrowing: self)
    }
  }
}

extension RawSpan {
  /// The little-endian integer at `offset`; `nil` when it is not wholly inside.
  public func littleEndianInteger<T: FixedWidthInteger & BitwiseCopyable>(
    at offset: Int = 0, as type: T.Type = T.self
  ) -> T? {
    guard offset >= 0, offset <= byteCount - MemoryLayout<T>.size else { return nil }
    return unsafe T(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: type))
  }
}
