public import CycladesReplication

/// The replicated state of one shard: keys, values and deadlines, changed by packed commands.
///
/// Deterministic as ``CycladesReplication/StateMachine`` demands: relative times count from the log
/// time of the entry that holds the command, and a key ends when log time reaches its deadline,
/// never by a node's clock. Commands follow Redis 7, their texts included. Not thread-safe.
public final class StoreShard: StateMachine {
  var shard: Shard
  private let arguments = ArgumentList()
  /// What ``restore(_:)`` still expects; `nil` before the first part.
  var restoration: Restoration?

  /// Makes an empty shard.
  ///
  /// - Parameters:
  ///   - seed: of the hash table; must be the same for all replicas of a shard, and had better not
  ///     be known to clients, who could otherwise choose keys that collide.
  ///   - valueBytesMax: Redis' `proto-max-bulk-len`, at most 1 GiB.
  public init(seed: UInt64, valueBytesMax: Int = 512 << 20) {
    precondition(valueBytesMax > 0 && valueBytesMax <= 1 << 30, "values have at most 1 GiB")
    shard = Shard(table: Table(seed: seed), valueBytesMax: valueBytesMax)
  }

  /// The number of keys.
  public var keyCount: Int { Int(shard.table.count) }

  /// The bytes that keys and values take with their share of the table: a function of the state
  /// alone, the same on all replicas.
  ///
  /// - Complexity: O(1).
  public var usedBytes: Int { Int(shard.table.sums.usedBytes) }

  /// The bytes of memory that this replica really has for its state, what values may grow into and
  /// what a snapshot keeps included.
  public var allocatedBytes: Int { Int(shard.table.allocatedBytes) }

  /// A digest of all keys, values and deadlines; equal on replicas that applied the same entries,
  /// and on any shard of the same seed that came to the same state in another way.
  ///
  /// - Complexity: O(1).
  public var digest: UInt64 { shard.table.digest }

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
    guard let header = PackedCommand.decode(bytes, into: arguments) else {
      return reply.appendError("ERR malformed command in the log")
    }
    guard let command = Command.coded(header.code), let run = command.run else {
      return reply.appendError("ERR command \(header.code) is not known to this version")
    }
    guard command.accepts(argumentCount: arguments.count + 1) else {
      return reply.appendWrongArity(command)
    }
    guard mayWrite || command.isReadOnly else {
      return reply.appendError("ERR a write was sent as a read")
    }
    let call = Invocation(
      command: command, arguments: Arguments(bytes, arguments),
      time: Int64(clamping: context.time), version: header.version)
    run(&shard, call, &reply)
  }
}

/// The state that commands work on; extensions beside this file hold the commands.
struct Shard: ~Copyable {
  var table: Table
  /// The longest value that a command may make.
  let valueBytesMax: Int
}

/// A command that is being carried out. Arguments are counted without the command's name.
struct Invocation: ~Escapable {
  let command: Command
  let arguments: Arguments
  /// Log time in milliseconds.
  let time: Int64
  let version: RESPVersion

  @_lifetime(copy arguments)
  init(command: Command, arguments: Arguments, time: Int64, version: RESPVersion) {
    self.command = command
    self.arguments = arguments
    self.time = time
    self.version = version
  }

  var count: Int { arguments.count }

  subscript(_ index: Int) -> RawSpan {
    @_lifetime(copy self)
    get { arguments[index] }
  }
}
