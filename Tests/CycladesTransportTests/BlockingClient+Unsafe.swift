import CycladesTransport
import Glibc

/// A plain blocking socket: the peer that tests look at the reactor with. Every wait is bounded.
final class BlockingClient: Sendable {
  let descriptor: Int32
  static let timeoutSeconds = 10

  struct Failure: Error { let what: String, errno: Int32 }

  init(_ address: SocketAddress, receiveBuffer: Int32? = nil) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var timeout = timeval(tv_sec: Self.timeoutSeconds, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, size)
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, size)
    var on: Int32 = 1
    unsafe setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
    if var bytes = receiveBuffer {
      unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, 4)
    }
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = address.port.bigEndian
    name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let result = unsafe withUnsafePointer(to: &name) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if result != 0 { throw Failure(what: "connect", errno: errno) }
  }

  deinit { close(descriptor) }

  func send(_ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
      let n = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.send(
          descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      if n < 0 { throw Failure(what: "send", errno: errno) }
      sent += n
    }
  }

  /// Up to `count` bytes; fewer only at the end of the stream.
  func receive(_ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var received = 0
    while received < count {
      let n = unsafe bytes.withUnsafeMutableBytes {
        unsafe recv(descriptor, $0.baseAddress! + received, count - received, 0)
      }
      if n < 0 { throw Failure(what: "receive", errno: errno) }
      if n == 0 { break }
      received += n
    }
    bytes.removeLast(count - received)
    return bytes
  }

  /// True when the peer closed, in order or by reset, within the time limit.
  func seesEnd() -> Bool {
    do { return try receive(1).isEmpty } catch let failure as Failure {
      return failure.errno == ECONNRESET
    } catch { return false }
  }

  func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// Makes the close a reset.
  func resetOnClose() {
    var option = linger(l_onoff: 1, l_linger: 0)
    unsafe setsockopt(
      descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
  }
}

extension BlockingClient {
  /// The address this end is bound to.
  var localAddress: SocketAddress { .loopback(port: boundPort(of: descriptor)) }
}

private func boundPort(of descriptor: Int32) -> UInt16 {
  var name = sockaddr_in()
  var size = socklen_t(MemoryLayout<sockaddr_in>.size)
  unsafe withUnsafeMutablePointer(to: &name) {
    unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      _ = unsafe getsockname(descriptor, $0, &size)
    }
  }
  return UInt16(bigEndian: name.sin_port)
}

private func boundSocket() throws -> Int32 {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  var name = sockaddr_in()
  name.sin_family = sa_family_t(AF_INET)
  name.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  let result = unsafe withUnsafePointer(to: &name) {
    unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
    }
  }
  if result != 0 { throw BlockingClient.Failure(what: "bind", errno: errno) }
  return descriptor
}

/// A port of this machine that was free a moment ago.
func unusedAddress() throws -> SocketAddress {
  let descriptor = try boundSocket()
  defer { close(descriptor) }
  return .loopback(port: boundPort(of: descriptor))
}

/// A listener that never accepts and whose queue holds one connection.
final class DeafListener: Sendable {
  private let descriptor: Int32
  let address: SocketAddress

  init() throws {
    descriptor = try boundSocket()
    listen(descriptor, 0)
    address = .loopback(port: boundPort(of: descriptor))
  }

  func close() { _ = Glibc.close(descriptor) }
}

/// A file of its own that vanishes with the value.
final class ScratchFile: Sendable {
  let descriptor: Int32

  init(_ flags: Int32 = O_RDWR) {
    let path = "/tmp/cyclades-transport-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    descriptor = unsafe open(path, flags | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    unsafe unlink(path)
  }

  deinit { close(descriptor) }
}

/// All bytes of an open file.
func contents(of descriptor: Int32) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: Int(lseek(descriptor, 0, SEEK_END)))
  let read = unsafe bytes.withUnsafeMutableBytes {
    unsafe pread(descriptor, $0.baseAddress, $0.count, 0)
  }
  return read == bytes.count ? bytes : []
}

/// Whether two arrays of one length hold the same bytes.
func isSame(_ a: [UInt8], _ b: [UInt8]) -> Bool { unsafe memcmp(a, b, a.count) == 0 }

/// The descriptor that the next open will return.
func lowestFreeDescriptor() -> Int32 {
  let descriptor = dup(0)
  close(descriptor)
  return descriptor
}

/// Takes every descriptor that the process may still open.
func allFreeDescriptors() -> [Int32] {
  var taken: [Int32] = []
  while true {
    let descriptor = dup(0)
    guard descriptor >= 0 else { return taken }
    taken.append(descriptor)
  }
}

/// Sets the soft limit of descriptors; returns what it was.
func limitDescriptors(to limit: Int32) -> Int32 {
  var limits = rlimit()
  unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
  let usual = Int32(limits.rlim_cur)
  limits.rlim_cur = rlim_t(limit)
  unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
  return usual
}

/// The descriptors that this process has open.
func openDescriptors() -> Set<Int32> { Set((0..<1024).filter { fcntl($0, F_GETFD) >= 0 }) }

/// Whether a program that is started inherits a descriptor.
func isInherited(_ descriptor: Int32) -> Bool { fcntl(descriptor, F_GETFD) & FD_CLOEXEC == 0 }

/// The memory of this process that is in use and in its own pages.
func residentBytes() -> Int {
  let descriptor = unsafe open("/proc/self/statm", O_RDONLY)
  defer { close(descriptor) }
  var text = [UInt8](repeating: 0, count: 200)
  let count = unsafe read(descriptor, &text, text.count)
  let fields = String(decoding: text.prefix(max(0, count)), as: UTF8.self).split(separator: " ")
  return Int(fields[1])! * 4096
}

/// Whether a file has this name.
func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

/// A Unix socket's name with nobody behind it, as a killed process leaves it.
func leaveSocket(at path: String) throws {
  let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
  defer { close(descriptor) }
  var name = sockaddr_un()
  name.sun_family = sa_family_t(AF_UNIX)
  unsafe withUnsafeMutableBytes(of: &name.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
  let result = unsafe withUnsafePointer(to: &name) {
    unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
    }
  }
  if result != 0 { throw BlockingClient.Failure(what: "bind", errno: errno) }
}

/// Makes bytes the whole content of an open file.
func fill(_ descriptor: Int32, _ bytes: [UInt8]) throws {
  let written = unsafe bytes.withUnsafeBytes {
    unsafe pwrite(descriptor, $0.baseAddress, $0.count, 0)
  }
  if written != bytes.count { throw BlockingClient.Failure(what: "write", errno: errno) }
}

/// Runs a body on a thread of its own.
func onThread(_ body: @escaping @Sendable () -> Void) {
  final class Start {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  unsafe pthread_create(
    &thread, nil,
    { argument in
      unsafe Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
      return nil
    }, Unmanaged.passRetained(Start(body)).toOpaque())
  pthread_detach(thread)
}

/// The value of a socket's option.
func socketOption(_ descriptor: Int32, _ level: Int32, _ name: Int32) -> Int32? {
  var value: Int32 = 0
  var size = socklen_t(MemoryLayout<Int32>.size)
  return unsafe getsockopt(descriptor, level, name, &value, &size) == 0 ? value : nil
}

/// This process's connected TCP sockets that have `port` at either end.
func connectedSockets(port: UInt16) -> [Int32] {
  (0..<1024).filter { descriptor in
    var own = sockaddr_in()
    var peer = sockaddr_in()
    return unsafe name(of: descriptor, &own, getsockname)
      && name(of: descriptor, &peer, getpeername)
      && (own.sin_port == port.bigEndian || peer.sin_port == port.bigEndian)
  }
}

private func name(
  of descriptor: Int32, _ address: inout sockaddr_in,
  _ call: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
) -> Bool {
  var size = socklen_t(MemoryLayout<sockaddr_in>.size)
  let result = unsafe withUnsafeMutablePointer(to: &address) {
    unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      unsafe call(descriptor, $0, &size)
    }
  }
  return result == 0 && address.sin_family == sa_family_t(AF_INET)
}
