import CycladesPaxos
import Glibc

/// One file of the log.
struct LogSegment {
  /// Numbers have no gaps. They start at 1; the oldest segments go when snapshots cover them.
  var number: UInt64
  var path: String
  var descriptor: Int32
  /// Bytes used, once the segment is full.
  var byteCount = 0
  /// The file is filled with zeros from its last record up to here.
  var zeroedThrough = 0
  /// By group: the last slot of any record in the segment, 0 for none.
  private(set) var lastSlots: [Slot]

  mutating func note(_ slot: Slot, group: Int) {
    lastSlots[group] = max(lastSlots[group], slot)
  }

  private static let head = "segment-"
  private static let tail = ".log"

  static func name(_ number: UInt64) -> String {
    let digits = String(number)
    return head + String(repeating: "0", count: max(0, 10 - digits.count)) + digits + tail
  }

  /// The number in a file's name; `nil` when it is no segment's.
  static func number(_ name: String) -> UInt64? {
    guard name.hasPrefix(head), name.hasSuffix(tail) else { return nil }
    return UInt64(name.dropFirst(head.count).dropLast(tail.count))
  }

  static func create(
    _ number: UInt64, in folder: String, groupCount: Int
  ) throws(ReplicationError) -> LogSegment {
    try open(number, in: folder, groupCount: groupCount, O_CREAT | O_EXCL)
  }

  static func open(
    _ number: UInt64, in folder: String, groupCount: Int, _ flags: Int32 = 0
  ) throws(ReplicationError) -> LogSegment {
    let path = folder + "/" + name(number)
    let descriptor = try Files.open(path, O_RDWR | flags)
    return LogSegment(
      number: number, path: path, descriptor: descriptor,
      lastSlots: Array(repeating: 0, count: groupCount))
  }
}
