internal import CCycladesShuffle

extension RawSpan {
  /// Calls `body` with each word: a longest run of bytes without ASCII white space.
  ///
  /// White space is space, tab, newline, vertical tab, form feed and carriage return. Every other
  /// byte is part of a word, whether it is valid UTF-8 or not. The scan is vectorised (SSE2, or
  /// eight bytes at a time elsewhere).
  ///
  /// - Complexity: O(*n*) for *n* bytes, which must be fewer than 4 GiB.
  @inlinable public func forEachWord(_ body: (RawSpan) throws -> Void) rethrows {
    try unsafe scan({ unsafe nextWords($0, $1, &$2, $3) }, body)
  }

  /// Calls `body` with each line, without its newline; the last one need not have one.
  ///
  /// - Complexity: O(*n*) for *n* bytes, which must be fewer than 4 GiB.
  @inlinable public func forEachLine(_ body: (RawSpan) throws -> Void) rethrows {
    try unsafe scan({ unsafe nextLines($0, $1, &$2, $3) }, body)
  }

  @inlinable func scan(
    _ next: (UnsafeRawPointer, Int, inout UInt32, UnsafeMutableBufferPointer<TextPart>) -> Int,
    _ body: (RawSpan) throws -> Void
  ) rethrows {
    let byteCount = self.byteCount
    if byteCount == 0 { return }
    try unsafe withUnsafeTemporaryAllocation(of: TextPart.self, capacity: 128) { parts in
      try unsafe withUnsafeBytes { bytes in
        let base = unsafe bytes.baseAddress.unsafelyUnwrapped
        var cursor: UInt32 = 0
        while true {
          let found = unsafe next(base, byteCount, &cursor, parts)
          if found == 0 { return }
          for index in 0..<found {
            let part = unsafe parts[index]
            try body(
              unsafe RawSpan(
                _unsafeStart: base + Int(part.start), byteCount: Int(part.length)))
          }
        }
      }
    }
  }

  /// The offset of the first occurrence of `needle` at or after `offset`; nil when there is none, or
  /// when `needle` is empty.
  ///
  /// - Complexity: O(*n*) on usual text, O(*n* * *m*) at worst, for *n* bytes and a needle of *m*.
  public func firstOffset(of needle: RawSpan, from offset: Int = 0) -> Int? {
    precondition(offset >= 0 && offset <= byteCount, "offset out of bounds")
    guard needle.byteCount > 0 else { return nil }
    let found = unsafe withUnsafeBytes { text in
      unsafe needle.withUnsafeBytes { sought in
        unsafe cyc_text_find(
          text.baseAddress?.assumingMemoryBound(to: UInt8.self), text.count, offset,
          sought.baseAddress?.assumingMemoryBound(to: UInt8.self), sought.count)
      }
    }
    return found < byteCount ? found : nil
  }

  /// The line, without its newline, that the byte at `offset` is in or ends.
  public func lineRange(around offset: Int) -> Range<Int> {
    unsafe withUnsafeBytes { text in
      let base = unsafe text.baseAddress?.assumingMemoryBound(to: UInt8.self)
      let start = unsafe cyc_text_cut(base, offset, 0)
      let past = unsafe cyc_text_skip(base.map { unsafe $0 + offset }, text.count - offset, 0)
      return start..<(past == 0 ? text.count : offset + past - 1)
    }
  }
}

/// Where a word or line lies; the layout of `cyc_text_span`.
@usableFromInline struct TextPart: BitwiseCopyable {
  @usableFromInline var start: UInt32
  @usableFromInline var length: UInt32
}

@usableFromInline func nextWords(
  _ text: UnsafeRawPointer, _ count: Int, _ cursor: inout UInt32,
  _ parts: UnsafeMutableBufferPointer<TextPart>
) -> Int {
  unsafe parts.withMemoryRebound(to: cyc_text_span.self) { spans in
    unsafe Int(
      cyc_text_words(
        text.assumingMemoryBound(to: UInt8.self), UInt32(count), &cursor, spans.baseAddress,
        UInt32(spans.count)))
  }
}

@usableFromInline func nextLines(
  _ text: UnsafeRawPointer, _ count: Int, _ cursor: inout UInt32,
  _ parts: UnsafeMutableBufferPointer<TextPart>
) -> Int {
  unsafe parts.withMemoryRebound(to: cyc_text_span.self) { spans in
    unsafe Int(
      cyc_text_lines(
        text.assumingMemoryBound(to: UInt8.self), UInt32(count), &cursor, spans.baseAddress,
        UInt32(spans.count)))
  }
}
