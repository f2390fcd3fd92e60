/// A state at one moment, read out in parts while the machine goes on.
///
/// What a machine returns from `snapshot()`. A value type can return a copy of itself: its storage
/// is shared until the machine changes it. A machine with storage of its own has to keep what it
/// overwrites until the part that holds it was read.
public protocol SnapshotSource {
  /// Appends the next part, of about `byteCountTarget` bytes; false when there is none.
  ///
  /// Parts reach `restore` in this order and cut in the same places, so a part may be a complete
  /// message of its own. One part holds at most 64 MiB.
  mutating func next(into part: inout Reply, byteCountTarget: Int) -> Bool
}

/// A snapshot of one part, for machines whose whole state is small.
public struct WholeSnapshot: SnapshotSource {
  private var bytes: [UInt8]?

  /// Makes a snapshot of the bytes that `restore` is to be given; at most 64 MiB.
  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Appends all of it, once.
  public mutating func next(into part: inout Reply, byteCountTarget: Int) -> Bool {
    guard let bytes else { return false }
    part.append(contentsOf: bytes)
    self.bytes = nil
    return true
  }
}
