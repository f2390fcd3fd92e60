// Reading single bytes and copying out of a RawSpan: the standard library offers both only through
// its unchecked interface. The bounds are checked here.

extension RawSpan {
  /// The byte at an offset.
  func byte(at offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < byteCount)
    return unsafe unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
  }
}

extension [UInt8] {
  /// The bytes of the array.
  var rawSpan: RawSpan {
    @_lifetime(borrow self) get { unsafe span.bytes }
  }

  /// Copies the bytes of a span.
  init(copying span: RawSpan) {
    self = unsafe span.withUnsafeBytes { unsafe Array($0) }
  }

}

extension String {
  /// Decodes the bytes of a span, repairing what is not UTF-8.
  init(decoding span: RawSpan) {
    self = unsafe span.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }
}
