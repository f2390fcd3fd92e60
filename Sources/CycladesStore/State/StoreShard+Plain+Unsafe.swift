internal import CCycladesRESP
internal import CCycladesTable
internal import CycladesReplication

// What nearly all commands of nearly all clients are, GET of a key and SET of a key to a value, and
// what a batch of any commands gains from being known beforehand.

extension StoreShard {
  private static let getCode = Command.named(Array("get".utf8).rawSpan)!.code
  private static let setCode = Command.named(Array("set".utf8).rawSpan)!.code

  /// Carries out a GET, or a SET without options, by the same calls as in general but without a list
  /// of arguments; false when it is something else, or is to be refused, and then nothing happened.
  func performPlain(
    _ bytes: RawSpan, mayWrite: Bool, isFull: @autoclosure () -> Bool, _ reply: inout Reply
  ) -> Bool {
    var command = cyc_packed_short()
    let isShort = unsafe bytes.withUnsafeBytes { raw in
      unsafe cyc_packed_decode_short(
        raw.baseAddress?.assumingMemoryBound(to: UInt8.self), raw.count, &command)
    }
    guard isShort else { return false }
    let key = bytes.part(command.first)
    if command.header.code == Self.getCode, command.header.count == 1 {
      let isRESP3 = command.header.flags & UInt8(CYC_PACKED_RESP3) != 0
      _ = shard.appendValue(of: key, isRESP3 ? .v3 : .v2, &reply)
      return true
    }
    guard command.header.code == Self.setCode, command.header.count == 2, mayWrite, !isFull(),
      Int(command.second.length) <= shard.valueBytesMax
    else { return false }
    shard.table.put(key, bytes.part(command.second), deadline: nil)
    reply.appendOK()
    return true
  }
}

extension StoreShard: WarmingMachine {
  private static let keysPerCall = 64

  /// Has the table fetch what the first arguments of the commands, as keys, stand for.
  package func warm(_ commands: RawSpan) {
    unsafe withUnsafeTemporaryAllocation(of: cyc_table_key.self, capacity: Self.keysPerCall) {
      keys in
      var count = 0
      _ = SizedItems.forEach(commands) { command in
        unsafe command.withUnsafeBytes { raw in
          guard let base = unsafe raw.baseAddress?.assumingMemoryBound(to: UInt8.self) else {
            return
          }
          let key = unsafe cyc_packed_first(base, raw.count)
          guard key.length > 0 else { return }
          unsafe keys.initializeElement(
            at: count, to: cyc_table_key(bytes: base + Int(key.offset), length: key.length))
          count += 1
        }
        guard count == Self.keysPerCall else { return }
        unsafe shard.table.warm(UnsafeBufferPointer(rebasing: keys[..<count]))
        count = 0
      }
      unsafe shard.table.warm(UnsafeBufferPointer(rebasing: keys[..<count]))
    }
  }
}

extension RawSpan {
  /// The bytes of an argument, which must lie inside.
  @_lifetime(copy self)
  fileprivate func part(_ argument: cyc_resp_argument) -> RawSpan {
    let start = Int(argument.offset)
    return extracting(start..<start + Int(argument.length))
  }
}
