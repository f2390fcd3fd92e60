internal import CCycladesRESP

/// A cluster slot: one of 16384 parts of the key space, by the rule of the Redis cluster
/// specification (CRC16 of the key or of its `{tag}`).
public struct KeySlot: RawRepresentable, Hashable, Comparable, Sendable {
  /// The number of slots.
  public static let count = 16384

  /// The slot's number, below ``count``.
  public let rawValue: UInt16

  /// The slot with a number; `nil` at or above ``count``.
  public init?(rawValue: UInt16) {
    guard rawValue < Self.count else { return nil }
    self.rawValue = rawValue
  }

  /// The slot with a number, or the last one.
  init(clamping number: Int) { rawValue = UInt16(min(max(number, 0), Self.count - 1)) }

  /// The slot of a key.
  ///
  /// - Complexity: O(*n*) in the length of the key.
  public init(_ key: RawSpan) {
    rawValue = unsafe key.withUnsafeBytes { raw in
      unsafe cyc_slot_of(raw.baseAddress?.assumingMemoryBound(to: UInt8.self), raw.count)
    }
  }

  /// Orders slots by number.
  public static func < (a: KeySlot, b: KeySlot) -> Bool { a.rawValue < b.rawValue }
}
