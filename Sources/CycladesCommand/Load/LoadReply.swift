/// One reply of a Redis-protocol server, as a view of the bytes that hold it.
struct LoadReply: ~Escapable {
  enum Kind {
    case simple
    case error
    case integer
    case bulk
    case null
  }

  let kind: Kind
  /// The text of the reply, without type byte, length and line ends; empty for `null`.
  let payload: Span<UInt8>

  @_lifetime(copy payload)
  init(kind: Kind, payload: Span<UInt8>) {
    self.kind = kind
    self.payload = payload
  }

  /// A copy of the payload.
  var bytes: [UInt8] { payload.indices.map { payload[$0] } }

  /// The payload as text; damaged UTF-8 is repaired, for messages only.
  var text: String { String(decoding: bytes, as: UTF8.self) }

  func payloadEquals(_ other: [UInt8]) -> Bool {
    payload.count == other.count && payload.indices.allSatisfy { payload[$0] == other[$0] }
  }

  func payloadStarts(with prefix: String) -> Bool {
    let prefix = prefix.utf8
    return payload.count >= prefix.count
      && zip(payload.indices, prefix).allSatisfy { payload[$0] == $1 }
  }
}

/// Where a reply lies in received bytes.
///
/// A client of plain commands sees five kinds of reply; the parser is strict, and anything else
/// ends the connection.
struct LoadReplyFrame: Equatable {
  var kind: LoadReply.Kind
  var payload: Range<Int>
  /// The offset of the first byte after the reply.
  var end: Int

  /// Finds the reply that starts at `start`; `nil` when it is not all there.
  static func parse(_ bytes: [UInt8], from start: Int) throws(CommandFailure) -> Self? {
    guard start < bytes.count, let lineEnd = try endOfLine(bytes, from: start + 1) else {
      return nil
    }
    let line = start + 1..<lineEnd
    switch bytes[start] {
    case UInt8(ascii: "+"): return .init(kind: .simple, payload: line, end: lineEnd + 2)
    case UInt8(ascii: "-"): return .init(kind: .error, payload: line, end: lineEnd + 2)
    case UInt8(ascii: ":"): return .init(kind: .integer, payload: line, end: lineEnd + 2)
    case UInt8(ascii: "$"):
      let length = try length(bytes, line)
      if length < 0 { return .init(kind: .null, payload: lineEnd..<lineEnd, end: lineEnd + 2) }
      let payload = lineEnd + 2..<lineEnd + 2 + length
      guard payload.upperBound + 2 <= bytes.count else { return nil }
      return .init(kind: .bulk, payload: payload, end: payload.upperBound + 2)
    default: throw CommandFailure("the server sent a reply of unknown type, byte \(bytes[start])")
    }
  }

  private static let longestLine = 64 * 1024
  private static let longestBulk = 512 << 20

  private static func endOfLine(_ bytes: [UInt8], from start: Int) throws(CommandFailure) -> Int? {
    var index = start
    while index + 1 < bytes.count {
      if bytes[index] == UInt8(ascii: "\r") && bytes[index + 1] == UInt8(ascii: "\n") {
        return index
      }
      index += 1
    }
    if bytes.count - start > longestLine {
      throw CommandFailure("the server sent a line without an end")
    }
    return nil
  }

  private static func length(_ bytes: [UInt8], _ line: Range<Int>) throws(CommandFailure) -> Int {
    guard let length = Int(String(decoding: bytes[line], as: UTF8.self)),
      (-1...longestBulk).contains(length)
    else { throw CommandFailure("the server sent a bulk reply without a valid length") }
    return length
  }
}
