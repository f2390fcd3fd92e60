import CycladesTransport

/// Reads numbers and bytes off a span one after the other; `nil` where the span ends too early.
struct SpanReader: ~Escapable {
  private let span: RawSpan
  private var offset = 0

  @_lifetime(copy span)
  init(_ span: RawSpan) { self.span = span }

  /// Whether everything was read.
  var isAtEnd: Bool { offset == span.byteCount }

  @_lifetime(self: copy self)
  mutating func read<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type) -> T? {
    guard let value = span.littleEndianInteger(at: offset, as: type) else { return nil }
    offset += MemoryLayout<T>.size
    return value
  }

  @_lifetime(self: copy self)
  mutating func read(byteCount: Int) -> [UInt8]? {
    guard byteCount >= 0, byteCount <= span.byteCount - offset else { return nil }
    defer { offset += byteCount }
    return [UInt8](copying: span.extracting(offset..<(offset + byteCount)))
  }
}
