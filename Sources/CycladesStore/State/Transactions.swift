import CycladesReplication

/// Transactions, as `TransactionBuilder` lays them out. They come from a decided entry, so whatever
/// they hold is answered.
extension Shard {
  /// Appends the versions of keys, eight bytes each; the server reads them, no client does.
  func appendVersions(of keys: borrowing Arguments, _ reply: inout Reply) {
    for index in 0..<keys.count { reply.append(littleEndian: table.version(of: keys[index])) }
  }

  /// Where the commands begin among the arguments of a transaction; `nil` when it is malformed.
  static func firstCommand(_ arguments: borrowing Arguments) -> Int? {
    guard arguments.count > 0, arguments[0].byteCount == 4 else { return nil }
    let head = arguments[0]
    let watched = (0..<4).reduce(0) { $0 | Int(head.byte($1)) << (8 * $1) }
    guard watched <= (arguments.count - 1) / 2 else { return nil }
    return 1 + 2 * watched
  }

  /// Whether every watched key is as it was.
  func isUnchanged(_ arguments: borrowing Arguments, upTo end: Int) -> Bool {
    for index in stride(from: 1, to: end, by: 2) {
      guard arguments[index + 1].byteCount == 8,
        table.version(of: arguments[index]) == arguments[index + 1].word(at: 0)
      else { return false }
    }
    return true
  }
}
