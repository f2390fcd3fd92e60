internal import CCycladesReactor
internal import Glibc

extension SocketAddress {
  /// All addresses of a name, in the order in which to try them: the system's preference, the two
  /// families by turns (RFC 8305, section 4).
  ///
  /// The system's resolver blocks, so it runs on a thread of its own. Throws `.addressUnresolved`.
  public static func resolve(host: String, port: Int) async throws -> [SocketAddress] {
    guard let port = UInt16(exactly: port) else {
      throw TransportError(.addressMalformed, "port \(port) of \(host) is not in 0...65535")
    }
    return try await withCheckedThrowingContinuation { continuation in
      let isStarted = startThread(name: "resolver") {
        continuation.resume(with: Result { try lookUp(host: host, port: port) })
      }
      if !isStarted {
        continuation.resume(
          throwing: TransportError(.threadFailed, "cannot start a thread to resolve \(host)"))
      }
    }
  }

  private static func lookUp(host: String, port: UInt16) throws -> [SocketAddress] {
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    unsafe hints.ai_flags = AI_ADDRCONFIG
    var first: UnsafeMutablePointer<addrinfo>?
    let code = unsafe getaddrinfo(host, nil, &hints, &first)
    guard code == 0 else {
      let why = unsafe String(cString: gai_strerror(code))
      throw TransportError(.addressUnresolved, "cannot resolve host \"\(host)\": \(why)")
    }
    defer { unsafe freeaddrinfo(first) }
    var found: [SocketAddress] = []
    var entry = unsafe first
    while let current = unsafe entry {
      if let address = unsafe SocketAddress(current.pointee.ai_addr, port: port),
        !found.contains(address)
      {
        found.append(address)
      }
      unsafe entry = current.pointee.ai_next
    }
    return interleaved(found)
  }

  /// The first address's family first, then the families by turns, each in its order.
  static func interleaved(_ addresses: [SocketAddress]) -> [SocketAddress] {
    guard let first = addresses.first else { return [] }
    var rows = [
      addresses.filter { $0.isIPv6 == first.isIPv6 }[...],
      addresses.filter { $0.isIPv6 != first.isIPv6 }[...],
    ]
    var order: [SocketAddress] = []
    while order.count < addresses.count {
      for index in rows.indices { if let next = rows[index].popFirst() { order.append(next) } }
    }
    return order
  }

  /// Reads what the system's resolver returned; nil for a family that is not of the internet.
  private init?(_ name: UnsafeMutablePointer<sockaddr>?, port: UInt16) {
    guard let name = unsafe name else { return nil }
    var address = cyc_address()
    address.port = port
    switch unsafe Int32(name.pointee.sa_family) {
    case AF_INET:
      let four = unsafe UnsafeRawPointer(name).load(as: sockaddr_in.self)
      unsafe withUnsafeMutableBytes(of: &address.bytes) {
        unsafe $0.storeBytes(of: four.sin_addr.s_addr, as: UInt32.self)
      }
    case AF_INET6:
      let six = unsafe UnsafeRawPointer(name).load(as: sockaddr_in6.self)
      unsafe withUnsafeMutableBytes(of: &address.bytes) { to in
        unsafe withUnsafeBytes(of: six.sin6_addr) { unsafe to.copyMemory(from: $0) }
      }
      address.scope = six.sin6_scope_id
      address.family = CYC_FAMILY_IPV6
    default: return nil
    }
    self.init(address)
  }
}
