public import CycladesReplication

/// The replicated state of one shard: keys, values and deadlines, changed by packed commands.
///
/// Deterministic as ``CycladesReplication/StateMachine`` demands: relative times count from the log
/// time of the entry that holds the command, and a key ends when log time reaches its deadline,
/// never by a node's clock. Commands follow Redis 7, their texts included. Not thread-safe.
public final class StoreShard: StateMachine {
  var shard: Shard
  private let arguments = ArgumentList()
  /// The arguments of a transaction's command.
  private let inner = ArgumentList()
  /// The arguments of a command that is to be carried out once.
  private let wrapped = ArgumentList()
  /// Of clients that number their commands.
  var sessions = ClientSessions()
  private let memoryBytesMax: Int
  /// What ``restore(_:)`` still expects; `nil` before the first part.
  var restoration: Restoration?
  /// The snapshot that was begun last: the table has one at a time.
  weak var current: ShardSnapshot?

  /// Makes an empty shard.
  ///
  /// - Parameters:
  ///   - seed: of the hash table; must be the same for all replicas of a shard, and had better not
  ///     be known to clients, who could otherwise choose keys that collide.
  ///   - valueBytesMax: Redis' `proto-max-bulk-len`, at most 1 GiB.
  ///   - memoryBytesMax: what ``usedBytes`` may reach; above it commands that may need more are
  ///     refused. Must be the same for all replicas of a shard, for it decides what they apply.
  public init(seed: UInt64, valueBytesMax: Int = 512 << 20, memoryBytesMax: Int = .max) {
    precondition(valueBytesMax > 0 && valueBytesMax <= 1 << 30, "values have at most 1 GiB")
    shard = Shard(table: Table(seed: seed), valueBytesMax: valueBytesMax)
    self.memoryBytesMax = memoryBytesMax
  }

  /// The number of keys.
  public var keyCount: Int { Int(shard.table.count) }

  /// The bytes that keys and values take with their share of the table, and sessions of clients with
  /// the replies kept for them: a function of the state alone, the same on all replicas.
  ///
  /// - Complexity: O(1).
  public var usedBytes: Int { Int(shard.table.sums.usedBytes) + sessions.byteCount }

  /// The bytes of memory that this replica really has for its state, what values may grow into and
  /// what a snapshot keeps included.
  public var allocatedBytes: Int { Int(shard.table.allocatedBytes) }

  /// A digest of all keys, values and deadlines; equal on replicas that applied the same entries,
  /// and on any shard of the same seed that came to the same state in another way.
  ///
  /// - Complexity: O(1).
  public var digest: UInt64 { shard.table.digest }

  /// The digest, by which replicas are compared.
  public var stateDigest: UInt64? { digest }

  /// The earliest deadline of a key, or the next millisecond of log time while keys that ended wait
  /// to be removed.
  public var nextDeadline: UInt64? { shard.table.nextDeadline }

  /// Lets the keys end whose deadline log time has reached.
  ///
  /// When millions end at one moment, they are gone at once for every command, and a bounded number
  /// of them is removed per call, so that nothing stalls; until then ``keyCount``, ``usedBytes`` and
  /// ``digest`` reckon with them.
  ///
  /// - Complexity: O(log *n*) for *n* keys with a deadline.
  public func advance(to time: UInt64) { shard.table.advance(to: time) }

  /// Applies a packed command and appends its RESP reply.
  public func apply(_ command: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    perform(command, context, mayWrite: true, &reply)
  }

  /// Answers a packed read-only command; any other is refused.
  public func read(_ query: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    perform(query, context, mayWrite: false, &reply)
  }

  private func perform(
    _ bytes: RawSpan, _ context: ApplyContext, mayWrite: Bool, _ reply: inout Reply
  ) {
    if performPlain(bytes, mayWrite: mayWrite, isFull: isFull, &reply) { return }
    guard let header = PackedCommand.decode(bytes, into: arguments) else {
      return reply.appendError("ERR malformed command")
    }
    let given = Arguments(bytes, arguments)
    switch header.code {
    case PackedCommand.sessionCode:
      guard mayWrite else { return reply.appendError("ERR a write was sent as a read") }
      reply.appendInteger(Int64(clamping: sessions.open(slot: context.slot)))
    case PackedCommand.onceCode:
      guard mayWrite else { return reply.appendError("ERR a write was sent as a read") }
      performOnce(given, context, &reply)
    case PackedCommand.transactionCode:
      guard mayWrite else { return reply.appendError("ERR a write was sent as a read") }
      performTransaction(given, context, header.version, &reply)
    case PackedCommand.slotCode:
      appendKeys(given, &reply)
    case PackedCommand.watchCode:
      reply.appendArray(given.count)
      for index in 0..<given.count {
        reply.appendInteger(Int64(bitPattern: shard.table.version(of: given[index])))
      }
    default:
      perform(header, given, context, mayWrite: mayWrite, &reply)
    }
  }

  /// Carries out one data command.
  private func perform(
    _ header: PackedCommand.Header, _ arguments: Arguments, _ context: ApplyContext,
    mayWrite: Bool, _ reply: inout Reply
  ) {
    guard let command = Command.coded(header.code), let run = command.run else {
      return reply.appendError("ERR command \(header.code) is not known to this version")
    }
    guard command.accepts(argumentCount: arguments.count + 1) else {
      return reply.appendWrongArity(command)
    }
    guard mayWrite || command.isReadOnly else {
      return reply.appendError("ERR a write was sent as a read")
    }
    if command.flags.contains(.denyOOM), isFull {
      return reply.appendError(
        "OOM command not allowed when used memory > 'maxmemory'.")
    }
    let call = Invocation(
      command: command, arguments: arguments, time: Int64(clamping: context.time),
      slot: context.slot, version: header.version)
    run(&shard, call, &reply)
  }

  private var isFull: Bool { usedBytes > memoryBytesMax }

  /// Carries a numbered command of a session out, unless it was before; ``ClientSessions`` has why.
  private func performOnce(_ parts: Arguments, _ context: ApplyContext, _ reply: inout Reply) {
    guard parts.count == 4, let number = CommandNumber(parts),
      let header = PackedCommand.decode(parts[3], into: wrapped)
    else { return reply.appendError("ERR malformed command") }
    switch sessions.admit(number, slot: context.slot) {
    case .perform:
      let start = reply.byteCount
      let given = Arguments(parts[3], wrapped)
      if header.code == PackedCommand.transactionCode {
        performTransaction(given, context, header.version, &reply)
      } else {
        perform(header, given, context, mayWrite: true, &reply)
      }
      sessions.record(number, reply: Array(reply.bytes[start...]))
    case .replay(let earlier):
      reply.append(contentsOf: earlier)
    case .refuse(let text):
      reply.appendError(text)
    }
  }
}

// MARK: - Transactions

extension StoreShard {
  /// Carries out the commands of a transaction (``TransactionBuilder`` has the form) when all watched
  /// keys are as they were; nothing of it when it is malformed, out of memory, or in vain.
  private func performTransaction(
    _ parts: Arguments, _ context: ApplyContext, _ version: RESPVersion, _ reply: inout Reply
  ) {
    guard parts.count > 0, let watched = parts.integer(0), watched >= 0,
      watched <= Int64((parts.count - 1) / 2)
    else { return reply.appendError("ERR malformed transaction") }
    let first = 1 + 2 * Int(watched)
    var isLarger = false
    for index in first..<parts.count {
      guard let header = PackedCommand.decode(parts[index], into: inner),
        let command = Command.coded(header.code), command.run != nil,
        command.accepts(argumentCount: inner.count + 1)
      else { return reply.appendError("ERR malformed transaction") }
      isLarger = isLarger || command.flags.contains(.denyOOM)
    }
    if isLarger, isFull {
      return reply.appendError(
        "EXECABORT Transaction discarded because of: "
          + "OOM command not allowed when used memory > 'maxmemory'.")
    }
    for index in stride(from: 1, to: first, by: 2) {
      let version64 = UInt64(bitPattern: parts.integer(index + 1) ?? 0)
      guard shard.table.version(of: parts[index]) == version64 else {
        return reply.appendNullArray(version)
      }
    }
    reply.appendArray(parts.count - first)
    for index in first..<parts.count {
      guard let header = PackedCommand.decode(parts[index], into: inner) else {
        preconditionFailure("a command was decoded before")
      }
      perform(header, Arguments(parts[index], inner), context, mayWrite: true, &reply)
    }
  }
}

// MARK: - Slots

extension StoreShard {
  /// The keys of one slot, or their number; see ``PackedCommand/keys(in:limit:)``.
  private func appendKeys(_ parts: Arguments, _ reply: inout Reply) {
    guard parts.count == 2, let number = parts.integer(0), let limit = parts.integer(1),
      let slot = UInt16(exactly: number).flatMap(KeySlot.init(rawValue:))
    else { return reply.appendError("ERR malformed command") }
    var keys = Reply()
    var count: Int64 = 0
    _ = shard.table.scan(from: 0, count: .max) { key, _ in
      guard KeySlot(key) == slot, limit < 0 || count < limit else { return }
      count += 1
      if limit >= 0 { keys.appendBulk(key) }
    }
    if limit < 0 { return reply.appendInteger(count) }
    reply.appendArray(Int(count))
    reply.append(contentsOf: keys.bytes)
  }
}

// MARK: - Waiting

extension StoreShard {
  /// Says that somebody on this node waits for something to pop from a key. Local to this replica,
  /// and not part of the state.
  public func await(_ key: [UInt8]) { shard.awaited.insert(key) }

  /// Ends ``await(_:)``.
  public func forget(_ key: [UInt8]) { shard.awaited.remove(key) }

  /// The awaited keys into which a command has put something since the last call, in that order.
  public func takeReady() -> [[UInt8]] {
    defer { shard.ready.removeAll() }
    return shard.ready
  }
}

/// The state that commands work on; extensions beside this file hold the commands.
struct Shard: ~Copyable {
  var table: Table
  /// The longest value that a command may make.
  let valueBytesMax: Int
  /// Keys that somebody on this node waits for, and those of them that were written to.
  var awaited: Set<[UInt8]> = []
  var ready: [[UInt8]] = []
  /// Counts answers that are random, so that the next one differs; of no account to the state.
  var reads: UInt64 = 0

  /// Notes that there may be something to pop from a key.
  mutating func noteReady(_ key: RawSpan) {
    guard !awaited.isEmpty else { return }
    let key = key.array
    if awaited.contains(key), !ready.contains(key) { ready.append(key) }
  }
}

/// A command that is being carried out. Arguments are counted without the command's name.
struct Invocation: ~Escapable {
  let command: Command
  let arguments: Arguments
  /// Log time in milliseconds.
  let time: Int64
  /// The slot of the log entry, or the last one applied.
  let slot: UInt64
  let version: RESPVersion

  @_lifetime(copy arguments)
  init(
    command: Command, arguments: Arguments, time: Int64, slot: UInt64, version: RESPVersion
  ) {
    self.command = command
    self.arguments = arguments
    self.time = time
    self.slot = slot
    self.version = version
  }

  var count: Int { arguments.count }

  subscript(_ index: Int) -> RawSpan {
    @_lifetime(copy self)
    get { arguments[index] }
  }
}
