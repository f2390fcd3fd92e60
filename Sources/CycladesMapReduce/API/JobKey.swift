/// A key: what pairs are grouped and sorted by.
///
/// Keys are grouped, partitioned and sorted by their encoded bytes (memcmp order), so equal keys must
/// have equal bytes, and the order of the bytes should be the order people expect.
public protocol JobKey {
  /// Reads what `encodeKey(into:)` wrote; throws when the bytes are something else.
  init(decodingKey bytes: RawSpan) throws

  /// Appends the key's bytes.
  func encodeKey(into output: inout ByteWriter)

  /// Appends an encoded key as text, for a line of output.
  static func writeText(ofKey encoded: RawSpan, into output: inout ByteWriter) throws

  /// Appends an encoded key as JSON: a string of its text, unless said otherwise.
  static func writeJSON(ofKey encoded: RawSpan, into output: inout ByteWriter) throws

  /// Whether only the first part of a key decides which pairs are grouped, and the rest the order of
  /// the values of a group (secondary sort). False, unless said otherwise.
  static var hasOrder: Bool { get }

  /// How many of a key's bytes, from the first, name its group; asked when `hasOrder` is true.
  static func groupByteCount(ofKey encoded: RawSpan) -> Int
}

extension JobKey {
  /// A string of the text.
  public static func writeJSON(ofKey encoded: RawSpan, into output: inout ByteWriter) throws {
    try output.appendJSONString { try writeText(ofKey: encoded, into: &$0) }
  }
  /// The whole key groups.
  @inlinable public static var hasOrder: Bool { false }
  /// All bytes.
  @inlinable public static func groupByteCount(ofKey encoded: RawSpan) -> Int {
    encoded.byteCount
  }
}

/// A string of bytes, of any encoding or none.
///
/// As a key it need not be made at all: `Emitter` takes a `RawSpan` where `Key` is `ByteString`, and
/// a span into the record is not even copied.
public struct ByteString: Hashable, Sendable {
  /// The bytes.
  public var bytes: [UInt8]

  /// Wraps bytes.
  public init(_ bytes: [UInt8]) { self.bytes = bytes }
}

extension ByteString: JobKey {
  /// Copies the bytes.
  public init(decodingKey bytes: RawSpan) { self.bytes = bytes.copied() }
  /// Appends the bytes.
  public func encodeKey(into output: inout ByteWriter) { unsafe output.append(bytes.span.bytes) }
  /// The bytes as they are.
  public static func writeText(ofKey encoded: RawSpan, into output: inout ByteWriter) {
    output.append(encoded)
  }
}

extension ByteString: JobValue {
  /// Copies the bytes.
  public init(decoding bytes: RawSpan) { self.bytes = bytes.copied() }
  /// Appends the bytes.
  public func encode(into output: inout ByteWriter) { unsafe output.append(bytes.span.bytes) }
  /// The bytes as they are.
  public func writeText(into output: inout ByteWriter) { encode(into: &output) }
}

extension String: JobKey {
  /// Reads UTF-8; throws when the bytes are not.
  public init(decodingKey bytes: RawSpan) throws { try self.init(decoding: bytes) }
  /// Appends the UTF-8 bytes.
  public func encodeKey(into output: inout ByteWriter) { output.append(self) }
  /// The UTF-8 bytes as they are.
  public static func writeText(ofKey encoded: RawSpan, into output: inout ByteWriter) {
    output.append(encoded)
  }
}

/// An integer key is 8 bytes, most significant first and with the sign bit flipped, so that the
/// order of bytes is the order of numbers.
extension Int: JobKey {
  /// Reads 8 bytes; throws when there are more or fewer.
  public init(decodingKey bytes: RawSpan) throws {
    guard bytes.byteCount == 8 else {
      throw MapReduceError(.job, "an integer key of \(bytes.byteCount) bytes cannot be decoded")
    }
    self.init(truncatingIfNeeded: bytes.littleEndianWord(at: 0).byteSwapped ^ 1 << 63)
  }
  /// Appends 8 bytes.
  public func encodeKey(into output: inout ByteWriter) {
    output.append(littleEndian: (UInt64(truncatingIfNeeded: self) ^ 1 << 63).byteSwapped)
  }
  /// Decimal digits.
  public static func writeText(ofKey encoded: RawSpan, into output: inout ByteWriter) throws {
    output.append(decimal: try Int(decodingKey: encoded))
  }
  /// A number.
  public static func writeJSON(ofKey encoded: RawSpan, into output: inout ByteWriter) throws {
    output.append(decimal: try Int(decodingKey: encoded))
  }
}
