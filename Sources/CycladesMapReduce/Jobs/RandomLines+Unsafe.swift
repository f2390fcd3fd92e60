import Glibc

/// Lines of 100 bytes to be sorted: a random key of 10 printable bytes, the line's number, filling.
///
/// Like the records of gensort, the generator of the sort benchmarks, and not the same bytes.
public struct RandomLines {
  private var state: UInt64

  /// The same seed gives the same lines.
  public init(seed: UInt64) { state = seed }

  // splitmix64, Steele et al. 2014.
  private mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// Writes so many lines to a file, which is replaced.
  public func write(_ count: Int, to path: String) throws {
    var generator = self
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard file >= 0 else { throw Files.failed(.output, "write", path) }
    defer { close(file) }
    var line = 0
    while line < count {
      var bytes: [UInt8] = []
      bytes.reserveCapacity(1 << 20)
      while line < count && bytes.count < 1 << 20 {
        generator.append(line, to: &bytes)
        line += 1
      }
      var from = 0
      while from < bytes.count {
        let written = unsafe bytes.withUnsafeBytes {
          unsafe Glibc.write(file, $0.baseAddress.unsafelyUnwrapped + from, $0.count - from)
        }
        if written < 0 && errno == EINTR { continue }
        guard written > 0 else { throw Files.failed(.output, "write", path) }
        from += written
      }
    }
  }

  private mutating func append(_ line: Int, to bytes: inout [UInt8]) {
    for _ in 0..<10 { bytes.append(UInt8(ascii: "!") + UInt8(next() % 94)) }
    let number = String(line, radix: 16, uppercase: true)
    bytes += "  ".utf8
    bytes += String(repeating: "0", count: 20 - number.count).utf8
    bytes += number.utf8
    bytes += [UInt8](repeating: UInt8(ascii: "A") + UInt8(line % 26), count: 67)
    bytes.append(0x0a)
  }
}
