/// A reply of at most 30 bytes, kept in place.
struct ShortReply {
  private var storage = InlineArray<30, UInt8>(repeating: 0)
  private var length: UInt8 = 0

  init() {}

  /// Copies a reply; `nil` when it is too long.
  init?(_ reply: RawSpan) {
    guard reply.byteCount <= storage.count else { return nil }
    length = UInt8(reply.byteCount)
    var bytes = storage.mutableSpan
    for offset in 0..<reply.byteCount { bytes[offset] = reply.byte(at: offset) }
  }

  var byteCount: Int { Int(length) }

  var span: RawSpan {
    @_lifetime(borrow self)
    get { unsafe storage.span.bytes.extracting(first: Int(length)) }
  }
}
