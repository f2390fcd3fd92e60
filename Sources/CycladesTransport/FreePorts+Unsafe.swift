import Glibc

/// Ports of this machine that are free now, all different: below those that the system gives to
/// outgoing connections, one of which could have taken them by the time they are listened on.
///
/// For clusters on one machine, in demonstrations and tests, whose nodes must know each other's ports
/// before they start.
package func freePorts(_ count: Int) throws(TransportError) -> [UInt16] {
  var descriptors: [Int32] = []
  defer { for descriptor in descriptors { close(descriptor) } }
  var ports: [UInt16] = []
  while ports.count < count {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    descriptors.append(descriptor)
    guard let port = bindSomewhere(descriptor) else {
      throw TransportError(.listenFailed, "no free port on 127.0.0.1", errno: errno)
    }
    ports.append(port)
  }
  return ports
}

private func bindSomewhere(_ descriptor: Int32) -> UInt16? {
  for _ in 0..<1000 {
    let port = UInt16.random(in: 10_000..<32_768)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let isBound = unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
    if isBound { return port }
  }
  return nil
}
