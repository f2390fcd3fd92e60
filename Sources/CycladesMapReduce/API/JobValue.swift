/// A value that travels from map to reduce.
public protocol JobValue {
  /// Reads what `encode(into:)` wrote; throws when the bytes are something else.
  init(decoding bytes: RawSpan) throws

  /// Appends the value's bytes.
  func encode(into output: inout ByteWriter)

  /// Appends the value as text, for a line of output.
  func writeText(into output: inout ByteWriter)

  /// Appends the value as JSON: a string of its text, unless said otherwise.
  func writeJSON(into output: inout ByteWriter)
}

extension JobValue {
  /// A string of the text.
  public func writeJSON(into output: inout ByteWriter) {
    output.appendJSONString { writeText(into: &$0) }
  }
}

/// The value of pairs whose key says everything; takes no bytes.
public struct NoValue: JobValue, Hashable, Sendable {
  /// The only one there is.
  public init() {}
  /// Reads nothing.
  public init(decoding bytes: RawSpan) {}
  /// Appends nothing.
  public func encode(into output: inout ByteWriter) {}
  /// Appends nothing.
  public func writeText(into output: inout ByteWriter) {}
  /// `null`
  public func writeJSON(into output: inout ByteWriter) { output.append("null") }
}

/// A value of fixed width, which is folded in place inside the aggregation table.
///
/// A structure of several numbers (say minimum, maximum, sum and count) conforms by saying how many
/// 64-bit words it takes and by moving itself from and to them. `JobValue` follows from that, but for
/// the text.
public protocol CombinableValue: JobValue {
  /// How many 64-bit words the value takes: 1 to 8.
  static var wordCount: Int { get }

  /// Reads `wordCount` words.
  init(words: Span<UInt64>)

  /// Writes `wordCount` words.
  func store(in words: inout MutableSpan<UInt64>)
}

extension CombinableValue {
  /// Appends the words, least significant byte first.
  @inlinable @inline(__always)
  public func encode(into output: inout ByteWriter) {
    output.appendWords(Self.wordCount) { store(in: &$0) }
  }

  /// Reads the words back; throws when there are more or fewer.
  public init(decoding bytes: RawSpan) throws {
    guard bytes.byteCount == Self.wordCount * 8 else {
      throw MapReduceError(.job, "a value of \(bytes.byteCount) bytes cannot be decoded")
    }
    var words: [8 of UInt64] = .init(repeating: 0)
    for index in 0..<Self.wordCount { words[index] = bytes.littleEndianWord(at: index * 8) }
    self.init(words: words.span.extracting(first: Self.wordCount))
  }
}

extension Int: CombinableValue {
  /// One word.
  @inlinable public static var wordCount: Int { 1 }
  /// Reads the two's complement.
  @inlinable public init(words: Span<UInt64>) { self.init(truncatingIfNeeded: words[0]) }
  /// Writes the two's complement.
  @inlinable public func store(in words: inout MutableSpan<UInt64>) {
    words[0] = UInt64(truncatingIfNeeded: self)
  }
  /// Decimal digits.
  public func writeText(into output: inout ByteWriter) { output.append(decimal: self) }
  /// A number.
  public func writeJSON(into output: inout ByteWriter) { output.append(decimal: self) }
}

extension UInt64: CombinableValue {
  /// One word.
  @inlinable public static var wordCount: Int { 1 }
  /// Reads the word.
  @inlinable public init(words: Span<UInt64>) { self = words[0] }
  /// Writes the word.
  @inlinable public func store(in words: inout MutableSpan<UInt64>) { words[0] = self }
  /// Decimal digits.
  public func writeText(into output: inout ByteWriter) { output.append(String(self)) }
  /// A number.
  public func writeJSON(into output: inout ByteWriter) { output.append(String(self)) }
}

extension Double: CombinableValue {
  /// One word.
  @inlinable public static var wordCount: Int { 1 }
  /// Reads the bit pattern.
  @inlinable public init(words: Span<UInt64>) { self.init(bitPattern: words[0]) }
  /// Writes the bit pattern.
  @inlinable public func store(in words: inout MutableSpan<UInt64>) { words[0] = bitPattern }
  /// The shortest digits that read back as the same number.
  public func writeText(into output: inout ByteWriter) { output.append(description) }
  /// A number, or null when JSON has none for it.
  public func writeJSON(into output: inout ByteWriter) {
    output.append(isFinite ? description : "null")
  }
}

extension String: JobValue {
  /// Reads UTF-8; throws when the bytes are not.
  public init(decoding bytes: RawSpan) throws {
    guard let text = String(validating: bytes.copied(), as: UTF8.self) else {
      throw MapReduceError(.job, "a value is not UTF-8; use ByteString for bytes")
    }
    self = text
  }
  /// Appends the UTF-8 bytes.
  public func encode(into output: inout ByteWriter) { output.append(self) }
  /// The text itself.
  public func writeText(into output: inout ByteWriter) { output.append(self) }
}
