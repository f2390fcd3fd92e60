/// What a group replicates: a deterministic function from decided commands to state and replies.
///
/// Every replica of a group applies the same commands in the same slot order, so `apply` must depend
/// on nothing but the state, the command and the context: no clock, no random source, no iteration
/// over unordered collections. Time is an input (`ApplyContext.time`).
///
/// All calls come from the thread of the reactor that owns the group, one at a time.
public protocol StateMachine {
  /// Applies one decided command and appends its reply.
  ///
  /// Called exactly once per command and replica, in slot order. A malformed command must be
  /// answered, not trapped on: it is already decided.
  mutating func apply(_ command: RawSpan, _ context: ApplyContext, reply: inout Reply)

  /// Answers a query against the applied state, without changing it.
  func read(_ query: RawSpan, _ context: ApplyContext, reply: inout Reply)

  /// The earliest log time, in milliseconds since 1970, at which the state changes by itself.
  ///
  /// When the leader's clock has passed it, the leader logs an entry that advances log time before
  /// it answers any further read, so that what expires does so at one agreed point. `nil` when
  /// nothing is due.
  var nextDeadline: UInt64? { get }

  /// Advances the state to a log time, before the commands of an entry are applied.
  mutating func advance(to time: UInt64)

  /// A digest of the state: equal on all replicas that applied the same entries, however they came
  /// by their state; `nil` when there is none.
  ///
  /// Asked for after every entry, so it must not take long. With it, a state that went wrong by itself
  /// is found out; without it, only one that replied differently. See ``Replica`` for what follows.
  var stateDigest: UInt64? { get }

  /// The state as it is now, to be read out in parts while further commands are applied.
  ///
  /// Taken when the log has grown enough to be cut. Must not take long: a value type returns a copy
  /// of itself. The host reads one snapshot of a machine at a time.
  func snapshot() -> any SnapshotSource

  /// Adds the next part of a snapshot to a machine that was just made.
  ///
  /// Parts come in the order and in the cuts in which `SnapshotSource.next` gave them out; after the
  /// last, the state equals the one that was read out. Throws when a part makes no sense: its
  /// checksum was right, so the machine that wrote it was of another kind or version.
  mutating func restore(_ part: RawSpan) throws
}

extension StateMachine {
  /// A machine without time-driven changes has no deadline.
  public var nextDeadline: UInt64? { nil }

  /// Replies alone tell whether the machine does what others do.
  public var stateDigest: UInt64? { nil }

  /// A machine without time-driven changes ignores time.
  public mutating func advance(to time: UInt64) {}
}

/// A machine that can have what a batch of commands or queries will touch brought into the cache.
package protocol WarmingMachine: AnyObject {
  /// Told what comes next, `{ u32 size, bytes }` each. Changes nothing that anybody could tell.
  func warm(_ commands: RawSpan)
}

/// Where and when, in log terms, a command is applied or a query is answered.
public struct ApplyContext: Sendable {
  /// The group whose log decided the command.
  public var group: UInt32
  /// The slot of the entry that holds the command; for a query, the last applied slot.
  public var slot: UInt64
  /// Log time in milliseconds since 1970: assigned by the leader, never decreasing within a group.
  /// For a query, the leader's clock when it is ahead; nothing is due between the two.
  public var time: UInt64

  /// Makes a context; the replication layer does, and tests of state machines.
  public init(group: UInt32, slot: UInt64, time: UInt64) {
    self.group = group
    self.slot = slot
    self.time = time
  }
}

/// A growable byte buffer for replies, reused from one command to the next.
public struct Reply {
  /// The bytes appended so far.
  public private(set) var bytes: [UInt8] = []

  /// Makes an empty reply.
  public init() {}

  /// The number of bytes appended so far.
  public var byteCount: Int { bytes.count }

  /// Appends one byte.
  public mutating func append(_ byte: UInt8) { bytes.append(byte) }

  /// Appends the bytes of a span.
  ///
  /// - Complexity: O(*n*) for *n* bytes.
  public mutating func append(_ span: RawSpan) {
    unsafe span.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
  }

  /// Appends a sequence of bytes.
  public mutating func append(contentsOf new: some Sequence<UInt8>) {
    bytes.append(contentsOf: new)
  }

  /// Appends a literal, without its terminator.
  public mutating func append(_ literal: StaticString) {
    unsafe bytes.append(
      contentsOf: UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount))
  }

  /// Appends an integer as little-endian bytes.
  public mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
    var value = value.littleEndian
    unsafe Swift.withUnsafeBytes(of: &value) { unsafe bytes.append(contentsOf: $0) }
  }

  /// Overwrites four bytes with a little-endian count: the size of what was appended behind them.
  mutating func patch(at position: Int, _ value: UInt32) {
    unsafe bytes.withUnsafeMutableBytes {
      unsafe $0.storeBytes(of: value.littleEndian, toByteOffset: position, as: UInt32.self)
    }
  }

  /// Forgets the bytes and keeps the memory.
  public mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }
}
