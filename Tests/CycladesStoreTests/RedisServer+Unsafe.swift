import Glibc

/// A real redis-server on a Unix socket of its own, without persistence; stopped and removed when
/// the object goes.
final class RedisServer {
  static let path = "/usr/bin/redis-server"
  static let isInstalled = unsafe access(path, X_OK) == 0

  private let folder: String
  private let process: pid_t
  private var descriptor: Int32 = -1
  private var input: [UInt8] = []
  private var position = 0

  struct Failure: Error { let what: String }

  init() throws {
    var template = Array("/tmp/cyclades-redis-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw Failure(what: "mkdtemp") }
    folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let socket = folder + "/redis.sock"
    process = try Self.spawn([
      Self.path, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no",
      "--databases", "1", "--dir", folder, "--logfile", folder + "/log",
    ])
    for _ in 0..<500 {
      descriptor = Self.connect(socket)
      if descriptor >= 0 { return }
      usleep(10_000)
    }
    throw Failure(what: "redis-server does not answer")
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    kill(process, SIGKILL)
    _ = waitpid(process, nil, 0)
    for name in ["redis.sock", "log"] { unsafe unlink(folder + "/" + name) }
    unsafe rmdir(folder)
  }

  private static func spawn(_ arguments: [String]) throws -> pid_t {
    var process = pid_t()
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    var pointers = unsafe arguments.map { unsafe strdup($0) } + [nil]
    defer { unsafe pointers.forEach { unsafe free($0) } }
    guard unsafe posix_spawn(&process, pointers[0]!, &actions, nil, &pointers, environ) == 0
    else { throw Failure(what: "posix_spawn") }
    return process
  }

  private static func connect(_ path: String) -> Int32 {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { field in
      for (index, byte) in path.utf8.enumerated() { unsafe field[index] = byte }
    }
    let result = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    if result == 0 { return descriptor }
    close(descriptor)
    return -1
  }

  /// Sends requests in one go and returns the replies, one for each.
  func call(_ requests: [[[UInt8]]]) throws -> [[UInt8]] {
    try write(requests.flatMap { request($0) })
    return try requests.map { _ in try readReply() }
  }

  func call(_ words: String...) throws -> String {
    String(decoding: try call([words.map { Array($0.utf8) }])[0], as: UTF8.self)
  }

  /// Sends bytes that need not be a request and returns the first reply.
  func answer(_ bytes: [UInt8]) throws -> [UInt8] {
    try write(bytes)
    return try readReply()
  }

  private func write(_ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { raw in
        unsafe Glibc.send(descriptor, raw.baseAddress! + sent, raw.count - sent, 0)
      }
      guard count > 0 else { throw Failure(what: "send") }
      sent += count
    }
  }

  private func fill() throws {
    if position > 1 << 20 {
      input.removeFirst(position)
      position = 0
    }
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    let count = unsafe recv(descriptor, &chunk, chunk.count, 0)
    guard count > 0 else { throw Failure(what: "recv") }
    input += chunk[..<count]
  }

  /// The bytes of the next reply, nested elements included.
  private func readReply() throws -> [UInt8] {
    var line: [UInt8] = []
    while true {
      while position == input.count { try fill() }
      line.append(input[position])
      position += 1
      if line.count >= 2, line.suffix(2) == [13, 10] { break }
    }
    let number = Int(String(decoding: line.dropFirst().dropLast(2), as: UTF8.self)) ?? -1
    switch line[0] {
    case UInt8(ascii: "$") where number >= 0, UInt8(ascii: "=") where number >= 0:
      while input.count - position < number + 2 { try fill() }
      defer { position += number + 2 }
      return line + input[position..<position + number + 2]
    case UInt8(ascii: "*") where number > 0, UInt8(ascii: "~") where number > 0:
      return try (0..<number).reduce(into: line) { bytes, _ in bytes += try readReply() }
    case UInt8(ascii: "%") where number > 0:
      return try (0..<number * 2).reduce(into: line) { bytes, _ in bytes += try readReply() }
    default:
      return line
    }
  }
}
