/// What a client knows about every key it wrote: what must be there, and what may be.
///
/// A key is a number; each write of it has a sequence number, and the value says both. A write is
/// *acknowledged*, *refused* (it did not happen and never will), or *uncertain*: its reply never
/// came, so it may have happened, or may yet happen.
struct LoadLedger: Sendable {
  /// The last sequence number issued, by key; 0 for none.
  private var issued: [UInt32]
  /// The last sequence number acknowledged, by key; 0 for none.
  private(set) var acknowledged: [UInt32]
  /// Sequence numbers whose outcome is not known, by key.
  private(set) var uncertain: [Int: [UInt32]] = [:]

  init(keyCount: Int) {
    issued = .init(repeating: 0, count: keyCount)
    acknowledged = issued
  }

  var keyCount: Int { issued.count }

  /// How many keys have an acknowledged value.
  var acknowledgedKeyCount: Int { acknowledged.count { $0 > 0 } }

  mutating func issue(_ key: Int) -> UInt32 {
    issued[key] += 1
    return issued[key]
  }

  mutating func acknowledge(_ write: LoadWrite) {
    acknowledged[write.key] = max(acknowledged[write.key], write.sequence)
  }

  mutating func doubt(_ write: LoadWrite) {
    uncertain[write.key, default: []].append(write.sequence)
  }
}

/// One write of one key.
struct LoadWrite {
  var key: Int
  var sequence: UInt32

  static func appendKey(_ key: Int, to output: inout [UInt8]) {
    output += "demo:".utf8
    appendDigits(UInt64(key), base: 10, width: 8, to: &output)
  }

  /// The value of the write, 64 bytes: the key, the sequence, and a digest of both as filler, so
  /// that a value under the wrong key, or a torn one, is never taken for a right one.
  var value: [UInt8] {
    var value: [UInt8] = []
    value.reserveCapacity(64)
    Self.appendKey(key, to: &value)
    value.append(UInt8(ascii: "#"))
    Self.appendDigits(UInt64(sequence), base: 10, width: 10, to: &value)
    value += "#".utf8
    var digest = SplitMix(seed: UInt64(key) << 32 | UInt64(sequence))
    while value.count < 64 {
      Self.appendDigits(digest.next(), base: 16, width: 16, to: &value)
    }
    value.removeLast(value.count - 64)
    return value
  }

  func appendSet(to output: inout [UInt8]) {
    output += "*3\r\n$3\r\nSET\r\n$13\r\n".utf8
    Self.appendKey(key, to: &output)
    output += "\r\n$64\r\n".utf8
    output += value
    output += "\r\n".utf8
  }

  static func appendGet(_ key: Int, to output: inout [UInt8]) {
    output += "*2\r\n$3\r\nGET\r\n$13\r\n".utf8
    appendKey(key, to: &output)
    output += "\r\n".utf8
  }

  private static func appendDigits(
    _ value: UInt64, base: UInt64, width: Int, to output: inout [UInt8]
  ) {
    var rest = value
    let start = output.count
    for _ in 0..<width {
      let digit = UInt8(rest % base)
      output.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      rest /= base
    }
    output[start...].reverse()
  }
}
