public import CycladesReplication

/// Puts the replies of the parts of a command together, as if one shard had carried it out.
///
/// Parts may be added in any order. When one failed, the first error added is the reply: the other
/// parts were carried out all the same, since shards do not share a transaction.
public struct ReplyJoin {
  private let join: Command.Join
  private let version: RESPVersion
  private var sum: Int64 = 0
  private var error: [UInt8]?
  /// Array elements as they came, and where the one for each key lies among them.
  private var elements: [UInt8] = []
  private var places: [Range<Int>]

  /// Begins a reply.
  ///
  /// - Parameter keyCount: of the whole command; of use to ``Command/Join/gather`` only.
  public init(_ join: Command.Join, _ version: RESPVersion, keyCount: Int = 0) {
    self.join = join
    self.version = version
    places = Array(repeating: 0..<0, count: join == .gather ? keyCount : 0)
  }

  /// Adds the reply of a part.
  ///
  /// - Parameter keys: which of the command's keys the part holds, counted from 0, in the order in
  ///   which it holds them.
  public mutating func add(_ reply: RawSpan, keys: [Int] = []) {
    guard reply.byteCount > 0, reply.byte(0) != UInt8(ascii: "-") else {
      if error == nil { error = Self.bytes(reply) }
      return
    }
    switch join {
    case .allOK:
      break
    case .concatenate:
      guard let head = Self.line(reply, at: 0) else { return }
      sum += head.number ?? 0
      elements.append(contentsOf: Self.bytes(reply).dropFirst(head.end))
    case .anyOne:
      guard reply.byte(0) == UInt8(ascii: "$"), reply.byte(1) != UInt8(ascii: "-") else { return }
      // Each of those seen so far is kept with the same probability.
      sum += 1
      if Int64.random(in: 0..<sum) == 0 { elements = Self.bytes(reply) }
    case .sum:
      sum += Self.line(reply, at: 0)?.number ?? 0
    case .gather:
      gather(reply, keys)
    }
  }

  private mutating func gather(_ reply: RawSpan, _ keys: [Int]) {
    let base = elements.count
    elements.append(contentsOf: Self.bytes(reply))
    guard var at = Self.line(reply, at: 0)?.end else { return }
    for key in keys {
      guard let end = Self.elementEnd(reply, at: at) else { return }
      places[key] = base + at..<base + end
      at = end
    }
  }

  /// Appends the whole reply.
  public func finish(into reply: inout Reply) {
    if let error {
      if error.isEmpty { return reply.appendError("ERR a shard gave no reply") }
      return reply.append(contentsOf: error)
    }
    switch join {
    case .allOK:
      reply.appendOK()
    case .sum:
      reply.appendInteger(sum)
    case .concatenate:
      reply.appendArray(Int(sum))
      reply.append(contentsOf: elements)
    case .anyOne:
      if elements.isEmpty { reply.appendNull(version) } else { reply.append(contentsOf: elements) }
    case .gather:
      reply.appendArray(places.count)
      for place in places {
        if place.isEmpty {
          reply.appendNull(version)
        } else {
          reply.append(contentsOf: elements[place])
        }
      }
    }
  }

  /// Where the element that begins at an offset ends: a bulk string, or any element of one line.
  private static func elementEnd(_ reply: RawSpan, at start: Int) -> Int? {
    guard let line = line(reply, at: start) else { return nil }
    guard reply.byte(start) == UInt8(ascii: "$"), let length = line.number, length >= 0 else {
      return line.end
    }
    let end = line.end + Int(length) + 2
    return end <= reply.byteCount ? end : nil
  }

  /// The number on the line that begins at an offset, if it is one, and the place behind the line.
  private static func line(_ reply: RawSpan, at start: Int) -> (number: Int64?, end: Int)? {
    var at = start
    while at < reply.byteCount, reply.byte(at) != UInt8(ascii: "\r") { at += 1 }
    guard start < at, at + 2 <= reply.byteCount else { return nil }
    return (reply.extracting(start + 1..<at).integer, at + 2)
  }

  private static func bytes(_ span: RawSpan) -> [UInt8] {
    (0..<span.byteCount).map { span.byte($0) }
  }
}
