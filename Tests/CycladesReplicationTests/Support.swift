import CycladesPaxos
import CycladesTransport
import Glibc
import Logging
import Synchronization

@testable import CycladesReplication

/// A folder that goes away with the test.
final class TemporaryFolder: Sendable {
  let path: String

  init() {
    var template = Array("/tmp/cyclades-test-XXXXXX\0".utf8.map { CChar(bitPattern: $0) })
    guard unsafe mkdtemp(&template) != nil else { preconditionFailure("cannot make a folder") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { TemporaryFolder.remove(path) }

  static func remove(_ path: String) {
    for name in (try? Files.names(in: path)) ?? [] {
      if unsafe unlink(path + "/" + name) != 0 { remove(path + "/" + name) }
    }
    unsafe rmdir(path)
  }
}

private func bindToLoopback(_ descriptor: Int32, _ port: UInt16) -> Bool {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  return unsafe withUnsafePointer(to: &address) {
    unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
    }
  }
}

/// A socket on which the kernel takes connections; nil when the port is taken.
func listenOnLoopback(_ port: UInt16) -> Int32? {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK, 0)
  guard bindToLoopback(descriptor, port), listen(descriptor, 16) == 0 else {
    close(descriptor)
    return nil
  }
  return descriptor
}

/// The next connection that waits to be accepted; nil when none does.
func acceptNow(_ listener: Int32) -> Int32? {
  let descriptor = accept(listener, nil, nil)
  return descriptor < 0 ? nil : descriptor
}

func quietLogger() -> Logger {
  var logger = Logger(label: "test")
  logger.logLevel = .critical
  return logger
}

/// Counts; replies with the count after the command, as eight bytes. A command is what to add.
struct Counter: StateMachine {
  private(set) var value: UInt64 = 0
  private(set) var applied = 0

  mutating func apply(_ command: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    value += command.littleEndianInteger(as: UInt64.self) ?? 0
    applied += 1
    reply.append(littleEndian: value)
  }

  func read(_ query: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    reply.append(littleEndian: value)
  }

  func snapshot() -> any SnapshotSource { WholeSnapshot(bytes(value)) }

  mutating func restore(_ part: RawSpan) throws {
    value = part.littleEndianInteger() ?? 0
  }
}

func bytes(_ value: UInt64) -> [UInt8] {
  (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}

func integer(_ bytes: [UInt8]) -> UInt64 {
  bytes.enumerated().reduce(0) { $0 | UInt64($1.element) << (8 * UInt64($1.offset)) }
}

/// Replicas of a counter in this process, each on a thread of its own, over real sockets and files.
final class CounterCluster: Sendable {
  let folders: [TemporaryFolder]
  let configurations: [ReplicaConfiguration]

  init(_ count: Int = 3) throws {
    let folders = (0..<count).map { _ in TemporaryFolder() }
    var peers: [NodeID: SocketAddress] = [:]
    for (position, port) in try freePorts(count).enumerated() {
      peers[NodeID(rawValue: UInt32(position + 1))] = try SocketAddress(
        host: "127.0.0.1", port: Int(port))
    }
    self.folders = folders
    let all = peers
    configurations = (0..<count).map { position in
      var configuration = ReplicaConfiguration(
        cluster: "counter", node: NodeID(rawValue: UInt32(position + 1)), peers: all,
        directory: folders[position].path + "/data")
      configuration.timing = Timing(
        heartbeat: 20_000_000, electionTimeout: 250_000_000, rankDelay: 60_000_000,
        jitter: 60_000_000)
      return configuration
    }
  }

  func start(_ position: Int) async throws -> Replica {
    try await Replica.start(configurations[position], logger: quietLogger()) { Counter() }
  }

  func startAll() async throws -> [Replica] {
    var replicas: [Replica] = []
    for position in configurations.indices { replicas.append(try await start(position)) }
    return replicas
  }
}
