extension PackedCommand {
  /// Begins a session of a client in one shard: a write, answered with the session's number.
  public static func session() -> [UInt8] { pack(code: sessionCode, [], .v2) }

  /// A command of a session, to be carried out once however often it arrives: a write, answered as
  /// the command would be. ``ClientSessions`` has the rules.
  ///
  /// - Parameters:
  ///   - numbers: the session, the command's sequence and the floor, as decimals; refused by the
  ///     shard when they are none.
  ///   - arguments: of the request, the name first; the number of them must be right.
  public static func once(
    numbers: [[UInt8]], _ command: Command, _ arguments: borrowing Arguments,
    _ version: RESPVersion
  ) -> [UInt8] {
    precondition(numbers.count == 3, "session, sequence and floor")
    return pack(
      code: onceCode, numbers + [inner(command, arguments, version)], version)
  }

  /// A transaction of a session; see ``once(numbers:_:_:_:)``.
  public static func once(
    numbers: [[UInt8]], _ transaction: TransactionBuilder, _ version: RESPVersion
  ) -> [UInt8] {
    precondition(numbers.count == 3, "session, sequence and floor")
    return pack(code: onceCode, numbers + [transaction.finish(version)], version)
  }
}
