internal import CycladesTransport

/// Writes integers and strings of a frame's payload, in order and without names.
struct PayloadWriter {
  private(set) var bytes: [UInt8] = []

  mutating func put(_ value: UInt64) {
    var rest = value
    for _ in 0..<8 {
      bytes.append(UInt8(truncatingIfNeeded: rest))
      rest >>= 8
    }
  }

  mutating func put(_ value: Int) { put(UInt64(bitPattern: Int64(value))) }

  mutating func put(_ text: String) { put(Array(text.utf8)) }

  mutating func put(_ more: [UInt8]) {
    put(more.count)
    bytes += more
  }

  mutating func put(_ address: SocketAddress) { put(address.description) }

  mutating func put<T>(_ values: [T], _ each: (inout PayloadWriter, T) -> Void) {
    put(values.count)
    for value in values { each(&self, value) }
  }
}

/// Reads what `PayloadWriter` wrote; every count is checked against the bytes that are there.
struct PayloadReader {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  private static let truncated = MapReduceError(
    .protocolViolation, "a peer sent a frame with a malformed payload")

  mutating func word() throws -> UInt64 {
    guard rest.count >= 8 else { throw PayloadReader.truncated }
    let value = rest.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    rest.removeFirst(8)
    return value
  }

  /// A number that is not negative.
  mutating func number() throws -> Int {
    guard let value = Int(exactly: try word()) else { throw PayloadReader.truncated }
    return value
  }

  mutating func signed() throws -> Int { Int(truncatingIfNeeded: try word()) }

  mutating func port() throws -> UInt16 {
    guard let value = UInt16(exactly: try word()) else { throw PayloadReader.truncated }
    return value
  }

  /// An address in numbers; names are not looked up.
  mutating func address() throws -> SocketAddress {
    let text = try text()
    guard text.allSatisfy({ $0.isHexDigit || ".:[]%".contains($0) }),
      let address = try? SocketAddress(parsing: text)
    else { throw PayloadReader.truncated }
    return address
  }

  mutating func text() throws -> String {
    guard let text = String(validating: try bytes(), as: UTF8.self) else {
      throw PayloadReader.truncated
    }
    return text
  }

  mutating func bytes() throws -> [UInt8] {
    let count = try number()
    guard count <= rest.count else { throw PayloadReader.truncated }
    defer { rest.removeFirst(count) }
    return Array(rest.prefix(count))
  }

  /// A list whose items take at least 8 bytes each.
  mutating func list<T>(_ each: (inout PayloadReader) throws -> T) throws -> [T] {
    let count = try number()
    guard count <= rest.count / 8 else { throw PayloadReader.truncated }
    return try (0..<count).map { _ in try each(&self) }
  }
}
