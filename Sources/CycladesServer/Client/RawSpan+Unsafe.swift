// What the standard library offers for raw spans only through its unchecked interface.

extension RawSpan {
  /// The byte at an offset.
  func byte(at offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < byteCount)
    return unsafe unsafeLoad(fromUncheckedByteOffset: offset, as: UInt8.self)
  }
}

extension String {
  /// Decodes the bytes of a span, repairing what is not UTF-8.
  init(decoding span: RawSpan) {
    self = unsafe span.withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }
}
