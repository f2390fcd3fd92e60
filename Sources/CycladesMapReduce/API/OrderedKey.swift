/// A key for secondary sort: pairs are grouped by `group`, and the values of a group come in the order
/// of `order`.
///
/// ```swift
/// output.emit(OrderedKey(ByteString(host), Descending(bytes)), line)
/// ```
///
/// The bytes of the group come first, with zero bytes escaped and two zero bytes at the end, so that
/// no group is a prefix of another; then the bytes of the order. Model: the grouping comparator of
/// Hadoop.
public struct OrderedKey<Group: JobKey, Order: JobKey>: JobKey {
  /// What groups.
  public var group: Group
  /// What orders inside a group.
  public var order: Order

  /// Makes a key.
  public init(_ group: Group, _ order: Order) {
    self.group = group
    self.order = order
  }

  /// Only the group groups.
  @inlinable public static var hasOrder: Bool { true }

  /// Reads both parts; throws when the bytes are something else.
  public init(decodingKey bytes: RawSpan) throws {
    let end = Self.groupByteCount(ofKey: bytes)
    let plain = Self.groupBytes(bytes)
    group = try unsafe Group(decodingKey: plain.span.bytes)
    order = try Order(decodingKey: bytes.extracting(end..<bytes.byteCount))
  }

  /// Appends the group, then the order.
  public func encodeKey(into output: inout ByteWriter) {
    let from = output.used
    group.encodeKey(into: &output)
    output.escapeZeros(from: from)
    order.encodeKey(into: &output)
  }

  /// The text of the group alone.
  public static func writeText(ofKey encoded: RawSpan, into output: inout ByteWriter) throws {
    let plain = groupBytes(encoded)
    try unsafe Group.writeText(ofKey: plain.span.bytes, into: &output)
  }

  /// The JSON of the group alone.
  public static func writeJSON(ofKey encoded: RawSpan, into output: inout ByteWriter) throws {
    let plain = groupBytes(encoded)
    try unsafe Group.writeJSON(ofKey: plain.span.bytes, into: &output)
  }

  /// Where the two zero bytes end.
  public static func groupByteCount(ofKey encoded: RawSpan) -> Int {
    var index = 0
    while index + 1 < encoded.byteCount {
      if encoded.byte(index) != 0 {
        index += 1
      } else if encoded.byte(index + 1) == 0 {
        return index + 2
      } else {
        index += 2
      }
    }
    return encoded.byteCount
  }

  private static func groupBytes(_ encoded: RawSpan) -> [UInt8] {
    var bytes: [UInt8] = []
    var index = 0
    while index + 1 < encoded.byteCount {
      let byte = encoded.byte(index)
      if byte == 0 && encoded.byte(index + 1) == 0 { break }
      bytes.append(byte)
      index += byte == 0 ? 2 : 1
    }
    return bytes
  }
}

/// A key in reverse order: the greatest first.
public struct Descending<Key: JobKey>: JobKey {
  /// The key itself.
  public var key: Key

  /// Reverses a key. Keys must not be prefixes of each other, as integers never are.
  public init(_ key: Key) { self.key = key }

  /// Reads what `encodeKey(into:)` wrote.
  public init(decodingKey bytes: RawSpan) throws {
    let plain = Self.inverted(bytes)
    key = try unsafe Key(decodingKey: plain.span.bytes)
  }

  /// Appends the key's bytes with every bit inverted.
  public func encodeKey(into output: inout ByteWriter) {
    let from = output.used
    key.encodeKey(into: &output)
    output.invert(from: from)
  }

  /// The text of the key itself.
  public static func writeText(ofKey encoded: RawSpan, into output: inout ByteWriter) throws {
    let plain = inverted(encoded)
    try unsafe Key.writeText(ofKey: plain.span.bytes, into: &output)
  }

  private static func inverted(_ bytes: RawSpan) -> [UInt8] { bytes.copied().map { ~$0 } }
}

/// A floating-point key is 8 bytes in the order of numbers: negative ones with every bit inverted,
/// others with the sign bit set.
extension Double: JobKey {
  /// Reads 8 bytes; throws when there are more or fewer.
  public init(decodingKey bytes: RawSpan) throws {
    guard bytes.byteCount == 8 else {
      throw MapReduceError(.job, "a number key of \(bytes.byteCount) bytes cannot be decoded")
    }
    let word = bytes.littleEndianWord(at: 0).byteSwapped
    self.init(bitPattern: word >> 63 == 1 ? word & ~(1 << 63) : ~word)
  }
  /// Appends 8 bytes.
  public func encodeKey(into output: inout ByteWriter) {
    let word = bitPattern >> 63 == 1 ? ~bitPattern : bitPattern | 1 << 63
    output.append(littleEndian: word.byteSwapped)
  }
  /// The shortest digits that read back as the same number.
  public static func writeText(ofKey encoded: RawSpan, into output: inout ByteWriter) throws {
    output.append(try Double(decodingKey: encoded).description)
  }
}
