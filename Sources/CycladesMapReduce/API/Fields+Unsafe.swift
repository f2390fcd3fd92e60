internal import CCycladesShuffle

/// The fields of a record, as spans into it.
public struct Fields: ~Copyable, ~Escapable {
  private let record: RawSpan
  private let parts: Span<TextPart>

  @_lifetime(copy record, copy parts)
  fileprivate init(_ record: RawSpan, _ parts: Span<TextPart>) {
    self.record = record
    self.parts = parts
  }

  /// How many there are; an empty record has one empty field.
  public var count: Int { parts.count }

  /// A field's bytes; empty for one that is not there. Doubled quotes inside a quoted field are still
  /// doubled; `text(_:)` undoes that.
  public subscript(_ index: Int) -> RawSpan {
    @_lifetime(copy self) get {
      guard index < parts.count else { return record.extracting(first: 0) }
      let part = parts[index]
      let start = Int(part.start)
      return record.extracting(start..<start + Int(part.length & ~CYC_TEXT_DOUBLED))
    }
  }

  /// A field as a string, with doubled quotes undone and what is not UTF-8 replaced.
  public func text(_ index: Int) -> String {
    let text = String(decoding: self[index].copied(), as: UTF8.self)
    guard index < parts.count, parts[index].length & CYC_TEXT_DOUBLED != 0 else { return text }
    var undone = ""
    var wasQuote = false
    for character in text {
      if character == "\"" && wasQuote {
        wasQuote = false
        continue
      }
      wasQuote = character == "\""
      undone.append(character)
    }
    return undone
  }
}

extension RawSpan {
  /// Calls `body` with the fields of a record that `separator` divides, at most `limit` of them: what
  /// is behind the last belongs to it. The scan is vectorised and copies nothing.
  ///
  /// - Parameter quote: With a quote, such as `"` in CSV, a field that begins with it ends at the next
  ///   one that is not doubled. Nil, as in TSV, means that quotes are content.
  /// - Complexity: O(*n*) for *n* bytes, which must be fewer than 2 GiB.
  public func withFields<R>(
    separatedBy separator: UInt8, quote: UInt8? = nil, limit: Int = 64,
    _ body: (borrowing Fields) throws -> R
  ) rethrows -> R {
    precondition(limit > 0 && byteCount < 1 << 31, "a record of 2 GiB, or no field, is asked for")
    return try unsafe withUnsafeTemporaryAllocation(of: TextPart.self, capacity: limit) { parts in
      let found = unsafe withUnsafeBytes { text in
        unsafe parts.withMemoryRebound(to: cyc_text_span.self) { spans in
          // Without bytes there may be no address either, and one field all the same.
          guard let base = unsafe text.baseAddress?.assumingMemoryBound(to: UInt8.self) else {
            unsafe spans[0] = cyc_text_span(start: 0, length: 0)
            return 1
          }
          return unsafe Int(
            cyc_text_fields(
              base, UInt32(text.count), separator, quote ?? 0, spans.baseAddress, UInt32(limit)))
        }
      }
      let span = unsafe Span(_unsafeElements: UnsafeBufferPointer(rebasing: parts[..<found]))
      return try body(Fields(self, span))
    }
  }

  /// The key and the value of a record that `OutputFormat.pairs` wrote; nil when it is none.
  public func withPair<R>(_ body: (_ key: RawSpan, _ value: RawSpan) throws -> R) rethrows -> R? {
    guard byteCount >= 4 else { return nil }
    let keyByteCount = Int(
      UInt32(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: 0, as: UInt32.self)))
    guard keyByteCount <= byteCount - 4 else { return nil }
    return try body(
      extracting(4..<4 + keyByteCount), extracting(4 + keyByteCount..<byteCount))
  }

  /// Calls `body` with each record; `next` tells, for where one begins, its bytes and where the next
  /// begins.
  @inlinable func forEachRecord(
    _ next: (RawSpan, Int) -> (from: Int, to: Int, next: Int), _ body: (RawSpan) throws -> Void
  ) rethrows {
    var start = 0
    while start < byteCount {
      let found = next(self, start)
      try body(extracting(found.from..<found.to))
      start = found.next
    }
  }

  /// How far into a window the span begins.
  @usableFromInline func distance(from window: UnsafeRawBufferPointer) -> Int {
    unsafe withUnsafeBytes { bytes in
      guard let start = bytes.baseAddress, let base = window.baseAddress else { return 0 }
      return unsafe start - base
    }
  }
}

/// The CSV record that begins at an offset of whole records.
@usableFromInline func csvRecord(_ text: RawSpan, _ start: Int) -> (from: Int, to: Int, next: Int) {
  let past = unsafe text.withUnsafeBytes { bytes in
    unsafe cyc_text_csv_skip(
      bytes.baseAddress?.assumingMemoryBound(to: UInt8.self).advanced(by: start),
      bytes.count - start, UInt8(ascii: "\""))
  }
  let next = past == 0 ? text.byteCount : start + past
  var end = next
  if past != 0 { end -= 1 }
  if end > start && text.byte(end - 1) == UInt8(ascii: "\r") { end -= 1 }
  return (start, end, next)
}

/// The record behind the length that begins at an offset; the reader made sure that it is all there.
@usableFromInline func prefixedRecord(
  _ text: RawSpan, _ start: Int
) -> (from: Int, to: Int, next: Int) {
  let end = start + 4 + text.prefixedLength(at: start)
  return (start + 4, end, end)
}

extension RawSpan {
  /// The 32-bit length at an offset.
  func prefixedLength(at offset: Int) -> Int {
    Int(UInt32(littleEndian: unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self)))
  }
}
