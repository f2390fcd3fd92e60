/// Packs a transaction: one command of one shard that carries out several, as one entry of the log.
///
/// ```
///  packed command | code | version | argument: number of watched keys
///                 | arguments: key, version, key, version ...
///                 | arguments: packed commands
/// ```
///
/// The reply is an array of the commands' replies; a null array when a watched key is not as it was;
/// an error when nothing was carried out. A command that fails in the middle, for example because a
/// key has the wrong type, leaves its error in the array, and the others are carried out, as in
/// Redis.
public struct TransactionBuilder {
  private var watched: [[UInt8]] = []
  private var commands: [[UInt8]] = []

  /// Begins a transaction without commands.
  public init() {}

  /// The number of commands.
  public var count: Int { commands.count }

  /// The bytes of the packed commands so far.
  public private(set) var byteCount = 0

  /// Makes the transaction depend on a key: it is carried out only if the key's version is still
  /// the one that ``PackedCommand/watch(_:)`` was answered with.
  public mutating func watch(_ key: [UInt8], version: Int64) {
    watched += [key, Array(String(version).utf8)]
  }

  /// Adds a data command, whose number of arguments must be right; `arguments` are those of the
  /// request, the name first.
  public mutating func append(
    _ command: Command, _ arguments: borrowing Arguments, _ version: RESPVersion
  ) {
    precondition(command.isTransactional, "\(command.name) is not carried out by one shard")
    let packed = PackedCommand.inner(command, arguments, version)
    byteCount += packed.count
    commands.append(packed)
  }

  /// The transaction as a packed command, to be submitted as a write.
  public func finish(_ version: RESPVersion) -> [UInt8] {
    let count = Array(String(watched.count / 2).utf8)
    return PackedCommand.pack(
      code: PackedCommand.transactionCode, [count] + watched + commands, version)
  }
}

extension PackedCommand {
  /// Codes of what is packed without being a command of Redis.
  static let sessionCode: UInt16 = 124
  static let onceCode: UInt16 = 125
  static let transactionCode: UInt16 = 126
  static let watchCode: UInt16 = 127

  /// Asks one shard for the versions of keys: a read, answered with an array of integers. A version
  /// is a digest of type, value and expiry, 0 for a key that does not exist; so a key that was
  /// changed and changed back counts as unchanged.
  public static func watch(_ keys: [[UInt8]]) -> [UInt8] { pack(code: watchCode, keys, .v2) }
}

extension Command {
  /// Whether a transaction may hold the command: its keys decide which shard carries it out.
  public var isTransactional: Bool {
    switch scope {
    case .shard, .keys: true
    case .server, .everyShard, .scan: false
    }
  }

  /// Whether the command waits when there is nothing to answer with yet. A shard answers it at once,
  /// with a null; waiting is the server's.
  public var isBlocking: Bool { flags.contains(.blocking) }
}
