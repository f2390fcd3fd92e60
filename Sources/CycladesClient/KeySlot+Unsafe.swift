internal import CCycladesRESP

/// The cluster slot of a key: CRC16 of it or of its `{tag}`, as the Redis cluster specification says.
enum KeySlot {
  static let count = 16384

  static func of(_ key: [UInt8]) -> Int {
    unsafe key.withUnsafeBufferPointer { Int(unsafe cyc_slot_of($0.baseAddress, $0.count)) }
  }
}
