import CycladesTransport

/// Cuts what a server sends into replies. It keeps what is incomplete, so every byte is looked at
/// once, however the bytes come.
///
/// Aggregates that are open lie on a stack, so nesting costs no recursion:
///
/// ```
///  *2  :1  *2  $1 a   ->  open: array(2, [1])  array(2, [a])        one element is still to come
/// ```
///
/// A server is not trusted further than a client must: bulk lengths, nesting and line lengths are
/// bounded, and a violation ends the connection.
struct ReplyParser {
  /// What arrives outside of the order of requests is marked.
  enum Item: Equatable {
    case reply(StoreReply)
    case failure(StoreServerError)
    case push(StoreReply)
  }

  struct Violation: Error, Equatable, CustomStringConvertible {
    let description: String
  }

  private enum Kind { case array, map, push, attribute }

  private struct Open {
    let kind: Kind
    let count: Int
    var elements: [StoreReply] = []
  }

  static let bulkBytesMax = 1 << 30
  static let elementsMax = 1 << 26
  static let depthMax = 32
  static let lineBytesMax = 64 << 10

  private var pending: [UInt8] = []
  private var position = 0
  /// Nothing is looked at before so many bytes are pending.
  private var needed = 0
  private var open: [Open] = []

  /// Takes in bytes; returns the replies that they complete.
  mutating func take(_ bytes: RawSpan) throws(Violation) -> [Item] {
    pending += bytes.array
    var items: [Item] = []
    while pending.count - position >= max(needed, 3) {
      needed = 0
      guard try step(&items) else { break }
    }
    if position == pending.count {
      pending.removeAll(keepingCapacity: pending.capacity <= 1 << 20)
      position = 0
    } else if position > 1 << 16 {
      pending.removeSubrange(..<position)
      position = 0
    }
    return items
  }

  /// Reads one value or the head of an aggregate; false when it is not all there.
  private mutating func step(_ items: inout [Item]) throws(Violation) -> Bool {
    guard let end = try lineEnd() else { return false }
    let mark = pending[position]
    let line = position + 1..<end
    switch mark {
    case UInt8(ascii: "+"):
      advance(to: end + 2)
      try add(.status(text(line)), &items)
    case UInt8(ascii: "-"):
      advance(to: end + 2)
      try add(.error(StoreServerError(text(line))), &items)
    case UInt8(ascii: ":"):
      guard let number = Int64(text(line)) else { throw Violation(description: "no integer") }
      advance(to: end + 2)
      try add(.integer(number), &items)
    case UInt8(ascii: ","):
      guard let number = Double(text(line)) else { throw Violation(description: "no double") }
      advance(to: end + 2)
      try add(.double(number), &items)
    case UInt8(ascii: "("):
      advance(to: end + 2)
      try add(.bytes(Array(text(line).utf8)), &items)
    case UInt8(ascii: "#"):
      let value = text(line)
      guard value == "t" || value == "f" else { throw Violation(description: "no boolean") }
      advance(to: end + 2)
      try add(.boolean(value == "t"), &items)
    case UInt8(ascii: "_"):
      advance(to: end + 2)
      try add(.null, &items)
    case UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: "!"):
      return try bulk(mark, line, &items)
    case UInt8(ascii: "*"), UInt8(ascii: "~"), UInt8(ascii: "%"), UInt8(ascii: ">"),
      UInt8(ascii: "|"):
      try begin(mark, line, &items)
    default: throw Violation(description: "byte \(mark) begins no reply")
    }
    return true
  }

  private mutating func bulk(
    _ mark: UInt8, _ line: Range<Int>, _ items: inout [Item]
  ) throws(Violation) -> Bool {
    guard let length = Int(text(line)), (-1...Self.bulkBytesMax).contains(length) else {
      throw Violation(description: "a string without a valid length")
    }
    let start = line.upperBound + 2
    guard length >= 0 else {
      advance(to: start)
      try add(.null, &items)
      return true
    }
    guard pending.count - start >= length + 2 else {
      needed = start - position + length + 2
      return false
    }
    guard pending[start + length] == 13, pending[start + length + 1] == 10 else {
      throw Violation(description: "a string longer than it says")
    }
    var bytes = Array(pending[start..<start + length])
    advance(to: start + length + 2)
    if mark == UInt8(ascii: "!") {
      try add(.error(StoreServerError(String(decoding: bytes, as: UTF8.self))), &items)
    } else {
      // A verbatim string begins with its format, such as "txt:".
      if mark == UInt8(ascii: "="), bytes.count >= 4 { bytes.removeFirst(4) }
      try add(.bytes(bytes), &items)
    }
    return true
  }

  private mutating func begin(
    _ mark: UInt8, _ line: Range<Int>, _ items: inout [Item]
  ) throws(Violation) {
    guard let count = Int(text(line)), (-1...Self.elementsMax).contains(count) else {
      throw Violation(description: "an array without a valid length")
    }
    advance(to: line.upperBound + 2)
    guard count >= 0 else { return try add(.null, &items) }
    guard open.count < Self.depthMax else { throw Violation(description: "nested too deep") }
    let kind: Kind =
      switch mark {
      case UInt8(ascii: "%"): .map
      case UInt8(ascii: ">"): .push
      case UInt8(ascii: "|"): .attribute
      default: .array
      }
    let isPaired = kind == .map || kind == .attribute
    open.append(Open(kind: kind, count: isPaired ? 2 * count : count))
    if count == 0 { try close(&items) }
  }

  /// Adds a value to the aggregate that is open; without one it is a reply.
  private mutating func add(_ value: StoreReply, _ items: inout [Item]) throws(Violation) {
    guard !open.isEmpty else {
      if case .error(let error) = value {
        items.append(.failure(error))
      } else {
        items.append(.reply(value))
      }
      return
    }
    open[open.count - 1].elements.append(value)
    if open[open.count - 1].elements.count == open[open.count - 1].count { try close(&items) }
  }

  private mutating func close(_ items: inout [Item]) throws(Violation) {
    let ended = open.removeLast()
    switch ended.kind {
    case .array: try add(.array(ended.elements), &items)
    case .map:
      let pairs = stride(from: 0, to: ended.elements.count, by: 2).map {
        StoreReply.Pair(key: ended.elements[$0], value: ended.elements[$0 + 1])
      }
      try add(.map(pairs), &items)
    case .push:
      guard open.isEmpty else { throw Violation(description: "a push inside of a reply") }
      items.append(.push(.array(ended.elements)))
    // What describes the value behind it.
    case .attribute: return
    }
  }

  private mutating func advance(to end: Int) { position = end }

  /// Where the line at the position ends; `nil` when its end is not there.
  private mutating func lineEnd() throws(Violation) -> Int? {
    var index = position + 1
    while index + 1 < pending.count {
      if pending[index] == 13 {
        guard pending[index + 1] == 10 else { throw Violation(description: "a broken line") }
        return index
      }
      index += 1
      if index - position > Self.lineBytesMax { throw Violation(description: "an endless line") }
    }
    needed = pending.count - position + 1
    return nil
  }

  private func text(_ range: Range<Int>) -> String {
    String(decoding: pending[range], as: UTF8.self)
  }
}
