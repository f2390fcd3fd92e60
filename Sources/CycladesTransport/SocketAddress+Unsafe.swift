internal import CCycladesReactor
import Glibc

/// An IPv4 or IPv6 address with a port, or the path of a Unix socket.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
  private enum Host: Hashable {
    case ipv4(UInt64)
    case ipv6(high: UInt64, low: UInt64, scope: UInt32)
    case local(path: String)
  }
  private let kind: Host
  /// The port; 0 lets the system choose one when listening, and is that of every Unix socket.
  public let port: UInt16

  /// Resolves a literal (`127.0.0.1`, `::1`) or a name.
  ///
  /// A name is looked up with the system's resolver and blocks the thread meanwhile; an IPv4
  /// address is preferred when it has both. An empty host is every local IPv4 address.
  public init(host: String, port: Int) throws(TransportError) {
    guard let port = UInt16(exactly: port) else {
      throw TransportError(.addressMalformed, "port \(port) of \(host) is not in 0...65535")
    }
    var address = cyc_address()
    let code = unsafe cyc_address_resolve(host.isEmpty ? "0.0.0.0" : host, port, &address)
    guard code == 0 else {
      let why = unsafe String(cString: gai_strerror(code))
      throw TransportError(.addressUnresolved, "cannot resolve host \"\(host)\": \(why)")
    }
    self.init(address)
  }

  /// A Unix socket. The path must fit what the system takes, 107 bytes.
  ///
  /// Listening makes it in the file system, in place of one that nobody listens at any more, and
  /// closing the listener removes it.
  public init(path: String) throws(TransportError) {
    guard (1..<CYC_PATH_BYTES).contains(path.utf8.count), !path.utf8.contains(0) else {
      throw TransportError(
        .addressMalformed, "the path of a Unix socket has 1 to 107 bytes, not \"\(path)\"")
    }
    self.init(kind: .local(path: path), port: 0)
  }

  /// Whether it is an IPv6 address.
  var isLocal: Bool { if case .local = kind { true } else { false } }
  var isIPv6: Bool { if case .ipv6 = kind { true } else { false } }

  /// Reads `HOST:PORT` or `[IPV6]:PORT` and resolves it as `init(host:port:)` does, or
  /// `unix:PATH`.
  public init(parsing text: String) throws(TransportError) {
    if text.hasPrefix("unix:") {
      try self.init(path: String(text.dropFirst(5)))
      return
    }
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...])
    else {
      throw TransportError(.addressMalformed, "\"\(text)\" is not HOST:PORT")
    }
    var host = text[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
    } else if host.contains(":") {
      throw TransportError(.addressMalformed, "\"\(text)\": write an IPv6 host in brackets")
    }
    try self.init(host: String(host), port: port)
  }

  /// The IPv4 loopback address.
  public static func loopback(port: UInt16 = 0) -> SocketAddress {
    SocketAddress(kind: .ipv4(0x7f00_0001 << 32), port: port)
  }

  /// The same host with another port; a Unix socket stays as it is.
  public func withPort(_ port: UInt16) -> SocketAddress {
    if case .local = kind { return self }
    return SocketAddress(kind: kind, port: port)
  }

  private init(kind: Host, port: UInt16) {
    self.kind = kind
    self.port = port
  }

  /// `1.2.3.4:80`, `[::1]:80` or `unix:/path`.
  public var description: String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { text in
      var address = cAddress
      unsafe cyc_address_format(&address, text.baseAddress!, text.count)
      return unsafe String(cString: text.baseAddress!)
    }
  }

  /// The host part of `description`, without brackets; a Unix socket's path.
  public var host: String {
    if case .local(let path) = kind { return path }
    let text = description
    let host = text[..<text.lastIndex(of: ":")!]
    return String(host.hasPrefix("[") ? host.dropFirst().dropLast() : host)
  }

  init(_ address: cyc_address) {
    let halves = unsafe Swift.withUnsafeBytes(of: address.bytes) {
      unsafe ($0.load(as: UInt64.self), $0.load(fromByteOffset: 8, as: UInt64.self))
    }
    let high = UInt64(bigEndian: halves.0)
    switch address.family {
    case CYC_FAMILY_LOCAL:
      let path = unsafe Swift.withUnsafeBytes(of: address.path) { path in
        unsafe String(decoding: path.prefix { $0 != 0 }, as: UTF8.self)
      }
      self.init(kind: .local(path: path), port: 0)
    case CYC_FAMILY_IPV6:
      let low = UInt64(bigEndian: halves.1)
      self.init(kind: .ipv6(high: high, low: low, scope: address.scope), port: address.port)
    default:
      self.init(kind: .ipv4(high), port: address.port)
    }
  }

  var cAddress: cyc_address {
    var address = cyc_address()
    var halves: (UInt64, UInt64) = (0, 0)
    switch kind {
    case .ipv4(let high):
      halves.0 = high
    case .ipv6(let high, let low, let scope):
      address.family = CYC_FAMILY_IPV6
      address.scope = scope
      halves = (high, low)
    case .local(let path):
      address.family = CYC_FAMILY_LOCAL
      unsafe Swift.withUnsafeMutableBytes(of: &address.path) { room in
        unsafe room.copyBytes(from: path.utf8)
      }
    }
    unsafe Swift.withUnsafeMutableBytes(of: &address.bytes) {
      unsafe $0.storeBytes(of: halves.0.bigEndian, as: UInt64.self)
      unsafe $0.storeBytes(of: halves.1.bigEndian, toByteOffset: 8, as: UInt64.self)
    }
    address.port = port
    return address
  }
}
