internal import CycladesReplication

/// One command: the single description from which dispatch, routing, argument checks, the COMMAND
/// family of replies and the documentation are made. ``Command/all`` lists them.
public final class Command: Sendable {
  /// What a command does to data and when it may run; the names are Redis' own.
  public struct Flags: OptionSet, Hashable, Sendable {
    /// The bits.
    public let rawValue: UInt16
    /// Makes a set from its bits.
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// Changes data, or may.
    public static let write = Flags(rawValue: 1 << 0)
    /// Never changes data: may be answered without an entry in the log.
    public static let readOnly = Flags(rawValue: 1 << 1)
    /// May make the data larger.
    public static let denyOOM = Flags(rawValue: 1 << 2)
    /// Not for scripts.
    public static let noScript = Flags(rawValue: 1 << 3)
    /// Allowed while the data is loaded.
    public static let loading = Flags(rawValue: 1 << 4)
    /// Allowed where data may be stale.
    public static let stale = Flags(rawValue: 1 << 5)
    /// O(1) or O(log n).
    public static let fast = Flags(rawValue: 1 << 6)
    /// Allowed before authentication.
    public static let noAuth = Flags(rawValue: 1 << 7)
    /// Allowed while a script blocks the server.
    public static let allowBusy = Flags(rawValue: 1 << 8)
    /// Waits, when there is nothing to answer with yet.
    public static let blocking = Flags(rawValue: 1 << 9)
    /// Says in an argument how many keys it has.
    public static let movableKeys = Flags(rawValue: 1 << 10)
    /// Concerns publish and subscribe.
    public static let pubsub = Flags(rawValue: 1 << 11)
  }

  /// Where keys stand among the arguments; the command's name is argument 0.
  public struct KeySpec: Hashable, Sendable {
    /// The position of the first key.
    public let first: Int
    /// The position of the last key; -1 when keys reach to the end.
    public let last: Int
    /// The distance from one key to the next.
    public let step: Int
    /// The position of the argument that says how many keys follow right behind it, for a command
    /// that has one. A key at `first` comes in addition.
    public let count: Int?
    /// How each key is used, in Redis' terms, such as "RW access update"; one text for all keys, or
    /// one per key.
    let uses: [String]

    init(first: Int, last: Int, step: Int, count: Int? = nil, uses: [String]) {
      self.first = first
      self.last = last
      self.step = step
      self.count = count
      self.uses = uses
    }
  }

  /// How the replies of the parts of a command become one reply.
  public enum Join: Hashable, Sendable {
    /// Integers are added up.
    case sum
    /// Array elements go back to the positions of their keys.
    case gather
    /// OK when every part is.
    case allOK
    /// The elements of all arrays, in one.
    case concatenate
    /// One of the replies that are not null, or a null.
    case anyOne
  }

  /// Who carries out a command.
  public enum Scope: Hashable, Sendable {
    /// The server that has the connection.
    case server
    /// One shard; all keys must be in it.
    case shard
    /// Each shard its own keys, when the keys are not all in one shard.
    case keys(Join)
    /// Every shard.
    case everyShard(Join)
    /// One shard after another, as the cursor in the first argument says.
    case scan
  }

  /// The group under which Redis documents a command.
  public enum Group: String, Sendable {
    case string, generic, server, connection, cluster, hash, list, set
    case transactions, pubsub
    case sortedSet = "sorted-set"
  }

  /// The number that stands for the command in the log. Never reused and never changed.
  public let code: UInt16
  /// The name, in lower case.
  public let name: String
  /// The number of arguments with the name; negative when it is the least number.
  public let arity: Int
  /// What the command does to data.
  public let flags: Flags
  /// Where its keys are; `nil` when it has none.
  public let keys: KeySpec?
  /// Who carries it out.
  public let scope: Scope
  /// Its group in the documentation.
  public let group: Group
  /// The Redis version that introduced it.
  public let since: String
  /// What it does, in one sentence.
  public let summary: String
  /// The cost, where *N* is explained in the text itself.
  public let complexity: String
  /// Access categories beyond those that flags and group imply.
  let categories: [String]
  /// Hints for clients, in Redis' words, beyond those that the scope implies.
  let tips: [String]
  /// The command that replaces it, if it is deprecated, and the Redis version that deprecated it.
  let replacement: (command: String, since: String)?

  /// Carries out a data command on a shard.
  typealias Handler = @Sendable (inout Shard, borrowing Invocation, inout Reply) -> Void
  /// How a shard carries it out; `nil` for what the server does.
  let run: Handler?

  init(
    _ code: UInt16, _ name: String, _ arity: Int, _ flags: Flags, keys: KeySpec? = nil,
    scope: Scope = .shard, _ group: Group, since: String, _ summary: String,
    complexity: String = "O(1)", categories: [String] = [],
    tips: [String] = [], replacement: (command: String, since: String)? = nil, run: Handler? = nil
  ) {
    assert((run == nil) == (scope == .server), "a data command has a handler, no other has")
    self.code = code
    self.name = name
    self.arity = arity
    self.flags = flags
    self.keys = keys
    self.scope = scope
    self.group = group
    self.since = since
    self.summary = summary
    self.complexity = complexity
    self.categories = categories
    self.tips = tips
    self.replacement = replacement
    self.run = run
  }

  /// Whether the command may be answered from the applied state, without an entry in the log.
  public var isReadOnly: Bool { flags.contains(.readOnly) }

  /// Whether a request with that many arguments, name included, has the right number.
  public func accepts(argumentCount: Int) -> Bool {
    guard arity < 0 else { return argumentCount == arity }
    guard argumentCount >= -arity else { return false }
    // Looked into, not taken out: a copy of the key specification would have to be counted.
    guard let last = keys?.last, last < 0, let first = keys?.first, let step = keys?.step else {
      return true
    }
    return (argumentCount - first) % step == 0
  }

  /// The positions of the keys among a request's arguments; none for a number of arguments that the
  /// command does not accept.
  public func keyPositions(of arguments: borrowing Arguments) -> KeyPositions {
    let count = arguments.count
    guard let first = keys?.first, let last = keys?.last, let step = keys?.step,
      accepts(argumentCount: count)
    else { return KeyPositions() }
    guard let place = keys?.count else {
      return KeyPositions(
        position: first, end: last < 0 ? count + last + 1 : last + 1, step: step)
    }
    let stated = arguments.integer(place) ?? 0
    let counted = stated > 0 ? Int(Swift.min(stated, Int64(count - place - 1))) : 0
    return KeyPositions(
      extra: first > 0 ? first : nil, position: place + 1, end: place + 1 + counted)
  }
}

/// The positions of a request's keys, in order.
public struct KeyPositions: Sequence, IteratorProtocol {
  var extra: Int?
  var position = 0
  var end = 0
  var step = 1

  /// The next position.
  public mutating func next() -> Int? {
    if let first = extra {
      extra = nil
      return first
    }
    guard position < end else { return nil }
    defer { position += step }
    return position
  }
}

extension Command {
  /// The command with a name, in any case; `nil` when there is none.
  ///
  /// - Complexity: O(1), without allocation.
  public static func named(_ name: RawSpan) -> Command? { CommandIndex.shared.find(name) }

  /// The command with a code; `nil` when there is none.
  public static func coded(_ code: UInt16) -> Command? { CommandIndex.shared.find(code) }
}

/// Finds commands by name and by code.
///
/// Names have at most sixteen bytes, so a name folded to lower case is two words; they are looked up
/// in a small open-addressing table.
private struct CommandIndex: Sendable {
  static let shared = CommandIndex()

  private static let nameBytesMax = 16
  private static let size = 512
  private let names: [(low: UInt64, high: UInt64, command: Command?)]
  private let codes: [Command?]

  init() {
    var names = [(low: UInt64, high: UInt64, command: Command?)](
      repeating: (0, 0, nil), count: Self.size)
    var codes = [Command?](repeating: nil, count: 512)
    for command in Command.all {
      let bytes = [UInt8](command.name.utf8)
      precondition(bytes.count <= Self.nameBytesMax, "the name of \(command.name) is too long")
      precondition(codes[Int(command.code)] == nil, "code \(command.code) is used twice")
      codes[Int(command.code)] = command
      let words = Self.words(bytes.rawSpan)
      var slot = Self.slot(words)
      while names[slot].command != nil { slot = (slot + 1) % Self.size }
      names[slot] = (words.low, words.high, command)
    }
    self.names = names
    self.codes = codes
  }

  func find(_ code: UInt16) -> Command? { code < codes.count ? codes[Int(code)] : nil }

  func find(_ name: RawSpan) -> Command? {
    guard name.byteCount > 0, name.byteCount <= Self.nameBytesMax else { return nil }
    let words = Self.words(name)
    var slot = Self.slot(words)
    while let command = names[slot].command {
      if names[slot].low == words.low, names[slot].high == words.high {
        // A zero byte at the end is in the words as well as none.
        return command.name.utf8.count == name.byteCount ? command : nil
      }
      slot = (slot + 1) % Self.size
    }
    return nil
  }

  private static func slot(_ words: (low: UInt64, high: UInt64)) -> Int {
    Int(truncatingIfNeeded: ((words.low ^ words.high &* 3) &* 0x9e37_79b9_7f4a_7c15) >> 55)
  }

  private static func words(_ name: RawSpan) -> (low: UInt64, high: UInt64) {
    var words = (low: UInt64(0), high: UInt64(0))
    for i in 0..<name.byteCount {
      var byte = name.byte(i)
      if byte >= 0x41, byte <= 0x5a { byte |= 0x20 }
      if i < 8 {
        words.low |= UInt64(byte) << (8 * UInt64(i))
      } else {
        words.high |= UInt64(byte) << (8 * UInt64(i - 8))
      }
    }
    return words
  }
}
