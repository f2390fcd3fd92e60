import Glibc

/// A blocking client that shares no code with the server: it sends bytes and reads RESP values.
final class TestClient {
  private let descriptor: Int32
  private var input: [UInt8] = []
  private var position = 0

  /// Connects to a port of this machine; every later wait ends after `patience` seconds.
  init(port: UInt16, patience: Int = 10) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var limit = timeval(tv_sec: patience, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let result = unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else { throw Failure("cannot connect to \(port): error \(errno)") }
  }

  deinit { close(descriptor) }

  struct Failure: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
  }

  /// Sends bytes as they are.
  func send(raw bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.send(
          descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { throw Failure("cannot send: error \(errno)") }
      sent += count
    }
  }

  /// Sends commands in one piece, each a list of words.
  func send(_ commands: [String]...) throws { try send(pipeline: commands) }

  func send(pipeline commands: [[String]]) throws {
    var bytes: [UInt8] = []
    for words in commands {
      bytes += "*\(words.count)\r\n".utf8
      for word in words { bytes += "$\(word.utf8.count)\r\n\(word)\r\n".utf8 }
    }
    try send(raw: bytes)
  }

  /// Sends a command and reads its reply.
  func ask(_ words: String...) throws -> Value {
    try send(words)
    return try read()
  }

  /// As `ask`, with words in an array.
  func ask(all words: [String]) throws -> Value {
    try send(words)
    return try read()
  }

  /// Tells the server that nothing more is sent.
  func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// Blocks for a moment.
  func pause(milliseconds: Int) { usleep(UInt32(milliseconds) * 1000) }

  /// Reads one value.
  func read() throws -> Value {
    let line = try readLine()
    let rest = String(decoding: line.dropFirst(), as: UTF8.self)
    switch UInt8(line.first ?? 0) {
    case UInt8(ascii: "+"): return .simple(rest)
    case UInt8(ascii: "-"): return .error(rest)
    case UInt8(ascii: ":"): return .integer(try number(rest))
    case UInt8(ascii: "_"): return .null
    case UInt8(ascii: "#"): return .boolean(rest == "t")
    case UInt8(ascii: ","): return .double(rest)
    case UInt8(ascii: "$"), UInt8(ascii: "="):
      let count = try number(rest)
      guard count >= 0 else { return .null }
      let bytes = try take(count + 2).dropLast(2)
      return .bulk(String(decoding: bytes, as: UTF8.self))
    case UInt8(ascii: "*"), UInt8(ascii: "~"), UInt8(ascii: ">"):
      let count = try number(rest)
      return count < 0 ? .null : .array(try (0..<count).map { _ in try read() })
    case UInt8(ascii: "%"):
      return .map(try (0..<2 * number(rest)).map { _ in try read() })
    default: throw Failure("not a RESP value: \(line)")
    }
  }

  /// Whether the server closes the connection without sending more.
  func isClosed() -> Bool {
    guard position == input.count else { return false }
    var byte: UInt8 = 0
    return unsafe recv(descriptor, &byte, 1, 0) == 0
  }

  private func number(_ text: String) throws -> Int {
    guard let number = Int(text) else { throw Failure("not a number: \(text)") }
    return number
  }

  private func readLine() throws -> [UInt8] {
    while true {
      if let end = input[position...].firstIndex(of: UInt8(ascii: "\n")) {
        defer { position = end + 1 }
        return Array(input[position..<end - 1])
      }
      try receive()
    }
  }

  private func take(_ count: Int) throws -> [UInt8] {
    while input.count - position < count { try receive() }
    defer { position += count }
    return Array(input[position..<position + count])
  }

  private func receive() throws {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
    guard count > 0 else {
      throw Failure(count == 0 ? "the server closed the connection" : "no reply: error \(errno)")
    }
    if position == input.count {
      input.removeAll(keepingCapacity: true)
      position = 0
    }
    input += buffer[..<count]
  }
}

/// A RESP value.
enum Value: Equatable, CustomStringConvertible {
  case simple(String)
  case error(String)
  case integer(Int)
  case bulk(String)
  case null
  case boolean(Bool)
  case double(String)
  case array([Value])
  /// Keys and values in turn.
  case map([Value])

  static let ok = Value.simple("OK")

  var text: String? {
    switch self {
    case .simple(let text), .bulk(let text), .error(let text): text
    default: nil
    }
  }

  var elements: [Value] {
    switch self {
    case .array(let elements), .map(let elements): elements
    default: []
    }
  }

  func isError(_ code: String) -> Bool {
    guard case .error(let text) = self else { return false }
    return text.hasPrefix(code + " ")
  }

  var description: String {
    switch self {
    case .simple(let text): "+" + text
    case .error(let text): "-" + text
    case .integer(let number): ":\(number)"
    case .bulk(let text): "\"\(text.prefix(200))\""
    case .null: "null"
    case .boolean(let value): "\(value)"
    case .double(let text): "," + text
    case .array(let elements): "\(elements)"
    case .map(let elements): "%\(elements)"
    }
  }
}
