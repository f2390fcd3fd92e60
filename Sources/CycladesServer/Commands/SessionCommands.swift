import CycladesReplication
import CycladesStore

/// Sessions of clients that number their commands, so that those which are sent again, through
/// whatever node, are carried out once. Each shard has sessions of its own.
///
///     CYCLADES SESSION slot
///     CYCLADES ONCE session sequence floor command [argument ...]
///     CYCLADES ONCE session sequence floor EXEC count (words command [argument ...]) ...
///
/// SESSION begins one in the shard of a slot and answers its number. ONCE answers what the command
/// would, also to the second of two that have the same number; `floor` is the least sequence whose
/// reply the client still waits for. EXEC holds whole commands, each behind the number of its words,
/// and carries them out as one step. The shard refuses with NOSESSION, STALESEQUENCE, WINDOWFULL and
/// REPLYLOST; of these only the last one means that the command was carried out.
extension Client {
  private static let numbersStart = 2
  private static let commandStart = 5

  /// Carries out CYCLADES SESSION; false when it must wait.
  func openSession(_ arguments: borrowing Arguments) -> Bool {
    guard arguments.count == 3, let number = arguments.integer(2),
      let slot = UInt16(exactly: number).flatMap(KeySlot.init(rawValue:))
    else {
      answer { $0.appendError("ERR a session begins in the shard of one slot, from 0 to 16383") }
      return true
    }
    let group = UInt32(node.shards.shard(of: slot))
    if port == .cluster, isLedElsewhere(group, slot) { return true }
    return submit(isReadOnly: false, to: group) { PackedCommand.session() } != nil
  }

  /// Carries out CYCLADES ONCE; false when it must wait.
  func once(_ arguments: borrowing Arguments) -> Bool {
    guard arguments.count > Self.commandStart else {
      answer { $0.appendError("ERR wrong number of arguments for 'cyclades|once' command") }
      return true
    }
    var numbers: [[UInt8]] = []
    for index in Self.numbersStart..<Self.commandStart {
      numbers.append([UInt8](copying: arguments[index]))
    }
    let inner = arguments.dropFirst(Self.commandStart)
    let version = session.version
    if inner.equals(0, "EXEC") { return onceTogether(inner, numbers) }
    guard let command = numbered(inner) else { return true }
    guard let group = group(of: command, inner) else { return true }
    return submit(isReadOnly: false, to: group) {
      PackedCommand.once(numbers: numbers, command, inner, version)
    } != nil
  }

  /// Carries out a transaction that arrived as one request.
  private func onceTogether(_ arguments: borrowing Arguments, _ numbers: [[UInt8]]) -> Bool {
    var transaction = TransactionBuilder()
    var group: UInt32?
    var start = 2
    guard arguments.count > 1, let count = arguments.integer(1), count > 0 else {
      answer { $0.appendError("ERR syntax error") }
      return true
    }
    for _ in 0..<count {
      guard start < arguments.count, let words = arguments.integer(start), words > 0,
        words <= Int64(arguments.count - start - 1)
      else {
        answer { $0.appendError("ERR syntax error") }
        return true
      }
      let request = arguments.slice(start + 1, count: Int(words))
      guard let command = numbered(request) else { return true }
      guard let own = self.group(of: command, request) else { return true }
      guard group == nil || group == own else {
        answer { Refusals.crossShard(&$0) }
        return true
      }
      group = own
      transaction.append(command, request, session.version)
      start += 1 + Int(words)
    }
    guard start == arguments.count, let group else {
      answer { $0.appendError("ERR syntax error") }
      return true
    }
    let (builder, version) = (transaction, session.version)
    return submit(isReadOnly: false, to: group) {
      PackedCommand.once(numbers: numbers, builder, version)
    } != nil
  }

  /// The command of a request that may be numbered; `nil` when it was refused.
  private func numbered(_ arguments: borrowing Arguments) -> Command? {
    guard let command = Command.named(arguments[0]) else {
      answer { $0.appendUnknownCommand(arguments) }
      return nil
    }
    guard command.accepts(argumentCount: arguments.count) else {
      answer { $0.appendWrongArity(command) }
      return nil
    }
    guard command.isTransactional, !command.isBlocking, command.keys != nil else {
      answer { $0.appendError("ERR the command '\(command.name)' cannot be part of a session") }
      return nil
    }
    return command
  }

  /// The one shard of a command's keys, if the client may ask for it here; else it was told.
  private func group(of command: Command, _ arguments: borrowing Arguments) -> UInt32? {
    if port == .cluster { return clusterGroup(command, arguments) }
    guard case .shard(let shard) = node.shards.route(command, arguments, session.version) else {
      answer { Refusals.crossShard(&$0) }
      return nil
    }
    return UInt32(shard)
  }
}
