import CycladesReplication
import CycladesStore
import CycladesTransport

extension ServerCommands {
  static func multi(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    guard !client.transaction.isQueueing else {
      throw .other("ERR MULTI calls can not be nested")
    }
    client.transaction.begin()
    reply.appendOK()
  }

  static func discard(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    guard client.transaction.isQueueing else { throw .other("ERR DISCARD without MULTI") }
    client.transaction = ClientTransaction()
    reply.appendOK()
  }

  static func unwatch(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    client.transaction = ClientTransaction()
    reply.appendOK()
  }

  static func watch(_ client: Client, _ arguments: borrowing Arguments) -> Bool {
    client.watch(arguments)
  }

  static func exec(_ client: Client, _ arguments: borrowing Arguments) -> Bool {
    client.execute()
  }
}

extension Client {
  /// Keeps a command for EXEC, or says why not, which makes EXEC refuse the whole.
  func queue(_ command: Command, _ arguments: borrowing Arguments, _ request: RawSpan) {
    guard fits(request.byteCount) else { return }
    if command.scope == .server {
      guard node.commands.isQueueable(command) else {
        transaction.doom()
        return answer { $0.appendError("ERR Command not allowed inside a transaction") }
      }
      transaction.queue(server: request)
    } else {
      guard let group = group(ofQueued: command, arguments) else { return transaction.doom() }
      transaction.queue(command, arguments, session.version, in: group)
    }
    answer { $0.appendSimple("QUEUED") }
  }

  /// Whether a transaction still fits into an entry of the log when it grows; says so when not.
  private func fits(_ byteCount: Int) -> Bool {
    if transaction.byteCount + byteCount <= node.configuration.maximumValueBytes { return true }
    transaction.doom()
    answer { $0.appendError("ERR the transaction is larger than a log entry may be") }
    return false
  }

  /// The group that a queued command concerns; `nil` when it cannot be part of the transaction, and
  /// the client was told so.
  private func group(ofQueued command: Command, _ arguments: borrowing Arguments) -> UInt32? {
    var group: UInt32?
    if port == .cluster, command.keys != nil {
      group = clusterGroup(command, arguments)
      if group == nil { return nil }
    } else if command.isTransactional,
      case .shard(let shard) = node.shards.route(command, arguments, session.version)
    {
      group = UInt32(shard)
    }
    if let group, transaction.admits(group) { return group }
    answer { Refusals.crossShard(&$0) }
    return nil
  }

  /// WATCH key [key ...]: asks the keys' shard for their versions.
  func watch(_ arguments: borrowing Arguments) -> Bool {
    guard !transaction.isQueueing else {
      answer { $0.appendError("ERR WATCH inside MULTI is not allowed") }
      return true
    }
    let command = Command.named(arguments[0])!
    let group: UInt32
    if port == .cluster {
      guard let found = clusterGroup(command, arguments) else { return true }
      group = found
    } else {
      group = UInt32(node.shards.shard(of: arguments[1]))
    }
    var keys: [[UInt8]] = []
    for position in command.keyPositions(of: arguments) {
      guard node.shards.shard(of: arguments[position]) == Int(group), transaction.admits(group)
      else {
        answer { Refusals.crossShard(&$0) }
        return true
      }
      keys.append([UInt8](copying: arguments[position]))
    }
    guard fits(keys.reduce(0) { $0 + $1.count + ClientTransaction.watchBytes }) else { return true }
    guard
      let sequence = submit(isReadOnly: true, to: group, { PackedCommand.watch(keys) })
    else { return false }
    // What is read next must not be older than what is watched: nothing overtakes a WATCH.
    wait(for: .watch(sequence: sequence, group: group, keys: keys))
    return true
  }

  /// EXEC
  func execute() -> Bool {
    guard transaction.isQueueing else {
      answer { $0.appendError("ERR EXEC without MULTI") }
      return true
    }
    if transaction.isDoomed {
      transaction = ClientTransaction()
      answer { $0.appendError("EXECABORT Transaction discarded because of previous errors.") }
      return true
    }
    let pending = PendingTransaction(steps: transaction.steps)
    if let group = transaction.group {
      let builder = transaction.builder
      let version = session.version
      guard
        let sequence = submit(
          isReadOnly: false, to: group, { builder.finish(version) })
      else { return false }
      if !pending.isOfShardAlone { wait(for: .transaction(sequence: sequence, pending)) }
      transaction = ClientTransaction()
    } else {
      transaction = ClientTransaction()
      answer { reply in
        reply.appendArray(pending.steps.count)
        for case .server(let request) in pending.steps { serve(request.rawSpan, &reply) }
      }
    }
    return true
  }

  /// Carries out a command of the server's that was queued.
  private func serve(_ request: RawSpan, _ reply: inout Reply) {
    guard case .request = node.queuedParser.parse(request) else {
      preconditionFailure("what was queued was parsed before")
    }
    let arguments = node.queuedParser.arguments(of: request)
    guard let command = Command.named(arguments[0]) else {
      preconditionFailure("what was queued was a command")
    }
    node.commands.answer(command, arguments, for: self, &reply)
  }

  private func finish(_ sequence: UInt64, _ pending: PendingTransaction, _ reply: [UInt8]) {
    // Gone, or ended from outside, meanwhile.
    guard awaited?.sequence == sequence, node.clients[connection] === self else { return }
    awaited = nil
    let answer = node.compose { whole in
      pending.append(reply.rawSpan, to: &whole) { serve($0, &$1) }
    }
    fulfil(sequence, answer.rawSpan)
    resumeIfPossible()
    closeIfDone()
  }

  /// Takes in the shard's reply to a command that the client awaits.
  func finish(_ command: Awaited, _ reply: RawSpan) {
    switch command {
    case .watch(let sequence, let group, let keys):
      guard let versions = RESPReader.integers(reply), versions.count == keys.count else {
        return fulfil(sequence, reply)
      }
      for (key, version) in zip(keys, versions) {
        transaction.watch(key, version: version, in: group)
      }
      let answer = node.compose { $0.appendOK() }
      fulfil(sequence, answer.rawSpan)
    case .transaction(let sequence, let pending):
      // The server's commands may look at shards, one of which may be being changed just now.
      awaited = command
      let bytes = [UInt8](copying: reply)
      _ = node.reactor.schedule(after: .zero) { [weak self] in
        self?.finish(sequence, pending, bytes)
      }
    case .export(let sequence, let group):
      // Not from inside of the shard's changes.
      awaited = command
      _ = node.reactor.schedule(after: .zero) { [weak self] in
        self?.beginExport(sequence, group)
      }
    case .pop: preconditionFailure("a pop takes its answers by itself")
    }
  }
}
