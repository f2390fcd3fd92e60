import Glibc

/// A nonblocking TCP connection to a port of this machine, closed with its last reference.
///
/// The load generator deliberately shares no code with the transport that it measures and checks.
final class LoadSocket {
  enum Transfer {
    case moved(Int)
    case notNow
    case ended
  }

  fileprivate let descriptor: Int32

  /// Starts to connect; whether that worked shows at the first transfer.
  init?(port: UInt16) {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard descriptor >= 0 else { return nil }
    var one: Int32 = 1
    unsafe setsockopt(
      descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    let result = unsafe withLoopback(port) { unsafe connect(descriptor, $0, $1) }
    if result != 0 && errno != EINPROGRESS { return nil }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Sends what the kernel takes of `bytes`, from `offset` on.
  func send(_ bytes: [UInt8], from offset: Int) -> Transfer {
    let count = unsafe bytes.withUnsafeBytes {
      unsafe Glibc.send(
        descriptor, $0.baseAddress! + offset, $0.count - offset, Int32(MSG_NOSIGNAL))
    }
    return outcome(count)
  }

  /// Receives what is there into the front of `buffer`.
  func receive(into buffer: inout [UInt8]) -> Transfer {
    let count = unsafe buffer.withUnsafeMutableBytes {
      unsafe recv(descriptor, $0.baseAddress, $0.count, 0)
    }
    return count == 0 ? .ended : outcome(count)
  }

  private func outcome(_ count: Int) -> Transfer {
    if count >= 0 { return .moved(count) }
    return errno == EAGAIN || errno == EINTR || errno == ENOTCONN ? .notNow : .ended
  }
}

/// The set of connections that a thread waits on.
struct LoadPoll {
  private var entries: [pollfd] = []

  mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

  /// Adds a connection and returns its position.
  mutating func add(_ socket: LoadSocket, forSending: Bool) -> Int {
    let events = Int16(POLLIN) | (forSending ? Int16(POLLOUT) : 0)
    entries.append(pollfd(fd: socket.descriptor, events: events, revents: 0))
    return entries.count - 1
  }

  /// Sleeps until a connection has news, or the time is over.
  mutating func wait(milliseconds: Int32) {
    unsafe entries.withUnsafeMutableBufferPointer {
      _ = unsafe poll($0.baseAddress, nfds_t($0.count), milliseconds)
    }
  }

  func hasNews(_ position: Int) -> Bool { entries[position].revents != 0 }
}

@unsafe private func withLoopback<Result>(
  _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
) -> Result {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
  return unsafe withUnsafePointer(to: &address) {
    unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
    }
  }
}
