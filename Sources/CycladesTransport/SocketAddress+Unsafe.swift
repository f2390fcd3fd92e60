internal import CCycladesReactor
import Glibc

/// An IPv4 or IPv6 address with a port.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
  private let high: UInt64
  private let low: UInt64
  private let scope: UInt32
  let isIPv6: Bool
  /// The port; 0 lets the system choose one when listening.
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

  /// Reads `HOST:PORT` or `[IPV6]:PORT` and resolves it as `init(host:port:)` does.
  public init(parsing text: String) throws(TransportError) {
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
    SocketAddress(high: 0x7f00_0001 << 32, low: 0, scope: 0, isIPv6: false, port: port)
  }

  /// The same host with another port.
  public func withPort(_ port: UInt16) -> SocketAddress {
    SocketAddress(high: high, low: low, scope: scope, isIPv6: isIPv6, port: port)
  }

  private init(high: UInt64, low: UInt64, scope: UInt32, isIPv6: Bool, port: UInt16) {
    self.high = high
    self.low = low
    self.scope = scope
    self.isIPv6 = isIPv6
    self.port = port
  }

  /// `1.2.3.4:80` or `[::1]:80`.
  public var description: String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 80) { text in
      var address = cAddress
      unsafe cyc_address_format(&address, text.baseAddress!, text.count)
      return unsafe String(cString: text.baseAddress!)
    }
  }

  /// The host part of `description`, without brackets.
  public var host: String {
    let text = description
    let host = text[..<text.lastIndex(of: ":")!]
    return String(isIPv6 ? host.dropFirst().dropLast() : host)
  }

  init(_ address: cyc_address) {
    let halves = unsafe Swift.withUnsafeBytes(of: address.bytes) {
      unsafe ($0.load(as: UInt64.self), $0.load(fromByteOffset: 8, as: UInt64.self))
    }
    self.init(
      high: UInt64(bigEndian: halves.0), low: UInt64(bigEndian: halves.1), scope: address.scope,
      isIPv6: address.ipv6, port: address.port)
  }

  var cAddress: cyc_address {
    var address = cyc_address()
    unsafe Swift.withUnsafeMutableBytes(of: &address.bytes) {
      unsafe $0.storeBytes(of: high.bigEndian, as: UInt64.self)
      unsafe $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
    }
    address.scope = scope
    address.ipv6 = isIPv6
    address.port = port
    return address
  }
}
