/// A position in the log of a group. Slots start at 1; zero stands for "before the first".
public typealias Slot = UInt64

/// A 128-bit checksum of a value.
public struct Checksum: Hashable, Sendable, CustomStringConvertible {
  /// The low half.
  public var low: UInt64
  /// The high half.
  public var high: UInt64

  /// Makes a checksum of its halves.
  @inlinable public init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  /// The checksum in hexadecimal.
  public var description: String {
    String(high, radix: 16) + "." + String(low, radix: 16)
  }
}

/// A value that a group decides on. Opaque to the protocol, which only moves references.
///
/// The shell subclasses it with the bytes of the entry, the simulator with a command. A payload is
/// immutable as far as the protocol can see, and stays on the thread of the core that holds it.
open class Payload {
  /// The size of the value in bytes; bounds what may be in flight.
  public final let byteCount: Int
  /// Identifies the value to an observer; the protocol itself decides nothing by it.
  public final let checksum: Checksum
  /// Whether the value fills a slot and changes nothing.
  public final let isNoop: Bool
  /// The membership that the value decides on, if it is such a one.
  public final let membership: Membership?

  /// Makes a payload.
  public init(
    byteCount: Int, checksum: Checksum, isNoop: Bool, membership: Membership? = nil
  ) {
    precondition(byteCount >= 0)
    self.byteCount = byteCount
    self.checksum = checksum
    self.isNoop = isNoop
    self.membership = membership
  }
}

/// One slot of the log as a proposer sent it: the unit that travels, is stored and is applied.
///
/// The same slot and ballot always hold the same entry, whoever has it.
public struct Entry {
  /// The position in the log, from 1.
  public var slot: Slot
  /// The ballot the value was proposed in.
  public var ballot: Ballot
  /// The proposer's commit when it proposed: every slot up to this one was decided by then.
  ///
  /// It is part of the entry, so that it lies in the log beside it: the largest one in a log is a
  /// lower bound of what was decided when the node stopped.
  public var commit: Slot
  /// The value.
  public var payload: Payload

  /// Makes an entry.
  public init(slot: Slot, ballot: Ballot, commit: Slot, payload: Payload) {
    self.slot = slot
    self.ballot = ballot
    self.commit = commit
    self.payload = payload
  }
}
