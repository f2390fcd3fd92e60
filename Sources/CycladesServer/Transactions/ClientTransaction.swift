import CycladesReplication
import CycladesStore

/// What a connection has watched and queued, from the first WATCH or MULTI to EXEC or DISCARD.
///
/// All keys, watched or queued, must be in one shard: EXEC sends them there as one entry of its log,
/// which is carried out as one step. Watched keys travel along with the versions they had, and are
/// compared when the entry is applied; so nothing is locked, and no node can go away with a lock.
struct ClientTransaction {
  /// One queued command.
  enum Step {
    /// Carried out by the shard; the next element of its reply.
    case shard
    /// Carried out by the server once the shard has answered: the request as it was received.
    case server([UInt8])
  }

  /// What EXEC will say for certain, decided while commands were queued.
  private(set) var isDoomed = false
  /// True from MULTI on.
  private(set) var isQueueing = false
  /// The shard of all keys so far.
  private(set) var group: UInt32?
  private(set) var steps: [Step] = []
  private(set) var builder = TransactionBuilder()
  private(set) var watchedCount = 0
  private var otherBytes = 0

  /// What a watched key takes beside its own bytes.
  static let watchBytes = 32

  /// Bytes that are kept for watched keys and commands.
  var byteCount: Int { builder.byteCount + otherBytes }

  mutating func begin() { isQueueing = true }

  /// Notes a command that could not be queued: EXEC will refuse the whole.
  mutating func doom() {
    if isQueueing { isDoomed = true }
  }

  /// Whether keys of a group may be part of it.
  func admits(_ group: UInt32) -> Bool { self.group == nil || self.group == group }

  mutating func watch(_ key: [UInt8], version: Int64, in group: UInt32) {
    self.group = group
    watchedCount += 1
    otherBytes += key.count + Self.watchBytes
    builder.watch(key, version: version)
  }

  mutating func queue(
    _ command: Command, _ arguments: borrowing Arguments, _ version: RESPVersion,
    in group: UInt32
  ) {
    self.group = group
    builder.append(command, arguments, version)
    steps.append(.shard)
  }

  mutating func queue(server request: RawSpan) {
    otherBytes += request.byteCount
    steps.append(.server([UInt8](copying: request)))
  }
}

/// A transaction that was sent, or that needs no shard: how the reply to EXEC is put together.
struct PendingTransaction {
  var steps: [ClientTransaction.Step]

  /// Whether the shard's reply is the reply to EXEC as it is.
  var isOfShardAlone: Bool {
    steps.allSatisfy { if case .shard = $0 { true } else { false } }
  }

  /// Appends the reply to EXEC: what the shard answered, with what the server answers in its places.
  ///
  /// - Parameter shard: the shard's array, or anything else, which then is the reply.
  func append(
    _ shard: RawSpan, to reply: inout Reply, serve: (RawSpan, inout Reply) -> Void
  ) {
    guard var position = RESPReader.arrayStart(shard) else { return reply.append(shard) }
    reply.appendArray(steps.count)
    for step in steps {
      switch step {
      case .server(let request):
        serve(request.rawSpan, &reply)
      case .shard:
        let end = RESPReader.end(of: shard, at: position)
        reply.append(shard.extracting(position..<end))
        position = end
      }
    }
  }
}

/// Finds where values end in replies that this server's own shards made.
enum RESPReader {
  /// Where the elements of an array begin; `nil` when it is none, or null.
  static func arrayStart(_ reply: RawSpan) -> Int? {
    guard reply.byteCount > 0, reply.byte(at: 0) == UInt8(ascii: "*") else { return nil }
    let (count, end) = head(of: reply, at: 0)
    return count >= 0 ? end : nil
  }

  /// The elements of an array of integers; `nil` when it is something else.
  static func integers(_ reply: RawSpan) -> [Int64]? {
    guard var position = arrayStart(reply) else { return nil }
    var integers: [Int64] = []
    while position < reply.byteCount {
      guard reply.byte(at: position) == UInt8(ascii: ":") else { return nil }
      let (number, end) = head(of: reply, at: position)
      integers.append(Int64(number))
      position = end
    }
    return integers
  }

  /// The bulk strings and doubles of a value, in order, however they are nested.
  static func strings(_ reply: RawSpan) -> [[UInt8]] {
    var strings: [[UInt8]] = []
    var position = 0
    while position < reply.byteCount {
      let mark = reply.byte(at: position)
      let start = position + 1
      let (number, end) = head(of: reply, at: position)
      position = end
      if mark == UInt8(ascii: "$"), number >= 0 {
        strings.append([UInt8](copying: reply.extracting(end..<end + number)))
        position += number + 2
      } else if mark == UInt8(ascii: ",") {
        strings.append([UInt8](copying: reply.extracting(start..<end - 2)))
      }
    }
    return strings
  }

  /// The place behind the value that begins at an offset.
  static func end(of reply: RawSpan, at start: Int) -> Int {
    var position = start
    var open = 1
    while open > 0 {
      open -= 1
      let mark = reply.byte(at: position)
      let (number, end) = head(of: reply, at: position)
      position = end
      switch mark {
      case UInt8(ascii: "$"), UInt8(ascii: "="):
        if number >= 0 { position += number + 2 }
      case UInt8(ascii: "*"), UInt8(ascii: "~"), UInt8(ascii: ">"): open += max(number, 0)
      case UInt8(ascii: "%"): open += 2 * max(number, 0)
      default: break
      }
    }
    return position
  }

  /// The number on the line that begins at an offset, if it is one, and the place behind the line.
  private static func head(of reply: RawSpan, at start: Int) -> (number: Int, end: Int) {
    var position = start + 1
    var number = 0
    var isNegative = false
    while reply.byte(at: position) != UInt8(ascii: "\r") {
      let byte = reply.byte(at: position)
      if byte == UInt8(ascii: "-") {
        isNegative = true
      } else {
        number = number &* 10 &+ Int(byte) &- 48
      }
      position += 1
    }
    return (isNegative ? 0 &- number : number, position + 2)
  }
}
