internal import CCycladesRESP

/// The form in which a command travels through the log and is applied (`CSources/RESP/packed.c` has
/// the bytes): a numeric code, the protocol version of the reply, and the arguments behind the name.
public enum PackedCommand {
  /// The size of a request in packed form.
  ///
  /// `arguments` are those of the request, with the command's name first.
  public static func byteCount(_ arguments: borrowing Arguments) -> Int {
    let list = arguments.list
    guard list.count > 0 else { return CYC_PACKED_HEADER }
    return unsafe cyc_packed_size(list.storage.baseAddress! + 1, UInt32(list.count - 1))
  }

  /// Writes a request in packed form: exactly ``byteCount(_:)`` bytes.
  package static func encode(
    _ command: Command, _ arguments: borrowing Arguments, _ version: RESPVersion,
    into out: UnsafeMutableRawPointer
  ) {
    let list = arguments.list
    let count = UInt32(max(list.count - 1, 0))
    unsafe arguments.bytes.withUnsafeBytes { raw in
      unsafe cyc_packed_encode(
        header(command, count, version),
        raw.baseAddress?.assumingMemoryBound(to: UInt8.self), list.storage.baseAddress! + 1,
        out.assumingMemoryBound(to: UInt8.self))
    }
  }

  /// Writes a request in packed form behind what `out` holds.
  public static func append(
    _ command: Command, _ arguments: borrowing Arguments, _ version: RESPVersion,
    to out: inout [UInt8]
  ) {
    let start = out.count
    out.append(contentsOf: repeatElement(0, count: byteCount(arguments)))
    unsafe out.withUnsafeMutableBytes { raw in
      unsafe encode(command, arguments, version, into: raw.baseAddress! + start)
    }
  }

  /// The part of a command that concerns some of its keys, in packed form.
  ///
  /// - Parameter positions: of keys in `arguments`; each key is taken with the arguments that follow
  ///   it up to the next key (the value, for MSET).
  public static func part(
    _ command: Command, _ arguments: borrowing Arguments, positions: [Int], _ version: RESPVersion
  ) -> [UInt8] {
    let step = command.keys?.step ?? 1
    var selected: [cyc_resp_argument] = []
    selected.reserveCapacity(positions.count * step)
    for position in positions {
      for index in position..<position + step { selected.append(arguments.list[index]) }
    }
    return pack(command, arguments, selected, version)
  }

  /// A request that stands behind arguments of another one, in packed form.
  static func inner(
    _ command: Command, _ arguments: borrowing Arguments, _ version: RESPVersion
  ) -> [UInt8] {
    var places: [cyc_resp_argument] = []
    for index in 1..<arguments.count { places.append(arguments.place(index)) }
    return pack(command, arguments, places, version)
  }

  /// A command with some of the arguments of a request.
  private static func pack(
    _ command: Command, _ arguments: borrowing Arguments, _ places: [cyc_resp_argument],
    _ version: RESPVersion
  ) -> [UInt8] {
    let count = UInt32(places.count)
    var out = [UInt8](repeating: 0, count: unsafe cyc_packed_size(places, count))
    unsafe out.withUnsafeMutableBufferPointer { out in
      unsafe arguments.bytes.withUnsafeBytes { raw in
        unsafe cyc_packed_encode(
          header(command, count, version),
          raw.baseAddress?.assumingMemoryBound(to: UInt8.self), places, out.baseAddress)
      }
    }
    return out
  }

  /// A command without arguments in packed form, such as DBSIZE for one shard.
  public static func bare(_ command: Command, _ version: RESPVersion) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: CYC_PACKED_HEADER)
    unsafe cyc_packed_encode(header(command, 0, version), nil, nil, &out)
    return out
  }

  /// A SCAN for one shard: the request, with its cursor as that shard understands it, and the cursor
  /// behind it that is to be answered at the end of the shard. Without a cursor to go on from, the
  /// request's own one is left for the shard to refuse.
  static func scan(
    _ command: Command, _ arguments: borrowing Arguments, from cursor: UInt64?, next: UInt64,
    _ version: RESPVersion
  ) -> [UInt8] {
    var words: [[UInt8]] = []
    for index in 1..<arguments.count { words.append(arguments[index].array) }
    if let cursor { words[0] = Array(String(cursor).utf8) }
    words.append(Array(String(next).utf8))
    return pack(code: command.code, words, version)
  }

  /// A packed command from arguments that lie apart.
  static func pack(code: UInt16, _ words: [[UInt8]], _ version: RESPVersion) -> [UInt8] {
    var bytes: [UInt8] = []
    var list: [cyc_resp_argument] = []
    for word in words {
      list.append(cyc_resp_argument(offset: UInt32(bytes.count), length: UInt32(word.count)))
      bytes += word
    }
    let flags = version == .v3 ? UInt8(CYC_PACKED_RESP3) : 0
    let header = cyc_packed(code: code, flags: flags, count: UInt32(list.count))
    var out = [UInt8](repeating: 0, count: unsafe cyc_packed_size(list, header.count))
    unsafe cyc_packed_encode(header, bytes, list, &out)
    return out
  }

  private static func header(
    _ command: Command, _ count: UInt32, _ version: RESPVersion
  ) -> cyc_packed {
    cyc_packed(
      code: command.code, flags: version == .v3 ? UInt8(CYC_PACKED_RESP3) : 0,
      count: count)
  }

  /// What precedes the arguments of a packed command.
  struct Header {
    let code: UInt16
    let version: RESPVersion
  }

  /// Checks packed bytes and lists their arguments; `nil` when they are not a packed command.
  ///
  /// - Complexity: O(*n*) in the number of arguments.
  static func decode(_ bytes: RawSpan, into list: ArgumentList) -> Header? {
    var header = cyc_packed()
    let isValid = unsafe bytes.withUnsafeBytes { raw in
      let base = unsafe raw.baseAddress?.assumingMemoryBound(to: UInt8.self)
      guard unsafe cyc_packed_decode(base, raw.count, &header) else { return false }
      list.reserve(Int(header.count))
      unsafe cyc_packed_arguments(base, header, list.storage.baseAddress)
      list.count = Int(header.count)
      return true
    }
    guard isValid else { return nil }
    let isRESP3 = header.flags & UInt8(CYC_PACKED_RESP3) != 0
    return Header(code: header.code, version: isRESP3 ? .v3 : .v2)
  }
}
