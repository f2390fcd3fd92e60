internal import CCycladesRESP

/// Puts commands together that one shard carries out as one step, and the versions that watched keys
/// must still have then.
///
/// The result is a packed command like any other, whose arguments are
///
/// ```
/// | number of watched keys, u32 | key | version, u64 | ... | packed command | ... |
/// ```
///
/// The shard answers an array of the commands' replies, or a null array when a watched key changed.
public struct TransactionBuilder {
  private var watched = Pieces()
  private var commands = Pieces()

  /// Whether every command may be answered without an entry in the log.
  public private(set) var isReadOnly = true

  /// Begins a transaction of no commands.
  public init() {}

  /// The number of commands.
  public var commandCount: Int { commands.places.count }

  /// The number of watched keys.
  public var watchedCount: Int { watched.places.count / 2 }

  /// The size of what ``finish(_:)`` returns, within a few bytes for each piece.
  public var byteCount: Int { watched.bytes.count + commands.bytes.count }

  /// Adds a command; `arguments` are those of the request, with the command's name first.
  ///
  /// - Complexity: O(*n*) in the size of the request, which is copied.
  public mutating func append(
    _ command: Command, _ arguments: borrowing Arguments, _ version: RESPVersion
  ) {
    commands.append(byteCount: PackedCommand.byteCount(arguments)) {
      PackedCommand.append(command, arguments, version, to: &$0)
    }
    if !command.isReadOnly { isReadOnly = false }
  }

  /// Makes the transaction depend on a key's version, as ``PackedCommand/versions(_:count:)`` reads it.
  public mutating func watch(_ key: RawSpan, version: UInt64) {
    watched.append(byteCount: key.byteCount) { bytes in
      for offset in 0..<key.byteCount { bytes.append(key.byte(offset)) }
    }
    watched.append(littleEndian: version)
  }

  /// The whole as one packed command, for the shard that holds all its keys.
  public func finish(_ version: RESPVersion) -> [UInt8] {
    var all = Pieces()
    all.append(littleEndian: UInt32(watchedCount))
    all.append(watched)
    all.append(commands)
    return all.packed(PackedCommand.transactionCode, version)
  }
}

extension PackedCommand {
  /// The codes of what is no command of a client's by itself.
  static let versionsCode: UInt16 = 0xff00
  static let transactionCode: UInt16 = 0xff01

  /// A packed query for the versions of keys, which must be in one shard: numbers that change when
  /// the value or expiry of a key does. ``versions(_:count:)`` reads the reply.
  ///
  /// - Parameter positions: of the keys in `arguments`.
  public static func watch(
    _ arguments: borrowing Arguments, positions: some Sequence<Int>
  ) -> [UInt8] {
    var keys = Pieces()
    for position in positions {
      let key = arguments[position]
      keys.append(byteCount: key.byteCount) { bytes in
        for offset in 0..<key.byteCount { bytes.append(key.byte(offset)) }
      }
    }
    return keys.packed(versionsCode, .v2)
  }

  /// The versions in a reply to ``watch(_:positions:)``, one for each key; `nil` when it is none.
  public static func versions(_ reply: RawSpan, count: Int) -> [UInt64]? {
    guard reply.byteCount == 8 * count else { return nil }
    return (0..<count).map { reply.word(at: 8 * $0) }
  }
}

extension RawSpan {
  /// The little-endian word at an offset that lies within the bytes.
  func word(at offset: Int) -> UInt64 {
    precondition(offset >= 0 && offset + 8 <= byteCount)
    return unsafe UInt64(
      littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}

/// Byte strings, one behind the other, and where each lies.
private struct Pieces {
  var bytes: [UInt8] = []
  var places: [cyc_resp_argument] = []

  mutating func append(byteCount: Int, _ write: (inout [UInt8]) -> Void) {
    let start = bytes.count
    write(&bytes)
    precondition(bytes.count == start + byteCount, "a piece has the size it was announced with")
    places.append(cyc_resp_argument(offset: UInt32(start), length: UInt32(byteCount)))
  }

  mutating func append(littleEndian value: some FixedWidthInteger & UnsignedInteger) {
    let size = value.bitWidth / 8
    append(byteCount: size) { bytes in
      for byte in 0..<size { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * byte))) }
    }
  }

  mutating func append(_ other: Pieces) {
    let start = UInt32(bytes.count)
    bytes += other.bytes
    places += other.places.map { cyc_resp_argument(offset: start + $0.offset, length: $0.length) }
  }

  func packed(_ code: UInt16, _ version: RESPVersion) -> [UInt8] {
    let flags = version == .v3 ? UInt8(CYC_PACKED_RESP3) : 0
    let count = UInt32(places.count)
    let header = cyc_packed(code: code, flags: flags, count: count)
    return unsafe [UInt8](unsafeUninitializedCapacity: cyc_packed_size(places, count)) {
      unsafe cyc_packed_encode(header, bytes, places, $0.baseAddress!)
      $1 = unsafe cyc_packed_size(places, count)
    }
  }
}
