// transport-cyclades handler|frames|async: the echo server that users of Cyclades write.
//
// Prints its port, serves until standard input ends, prints what it counted as one line of JSON.

import CountAllocations
import CycladesTransport
import Dispatch
import Glibc
import Logging

/// Sends back what arrives: the received block itself, nothing is copied.
struct Echo: ConnectionHandler {
  mutating func received(_ bytes: RawSpan, _ io: inout ConnectionIO) -> Progress {
    io.send(received: 0..<bytes.byteCount)
    return Progress(consumed: bytes.byteCount)
  }
}

let configuration: ReactorConfiguration = {
  var configuration = ReactorConfiguration()
  configuration.receiveBlocks = 1024
  return configuration
}()

/// Tells the port, waits until standard input ends, and reports what the reactor did until then.
func finish(_ address: SocketAddress, _ figures: () async throws -> ReactorStatistics) async throws
{
  print("port \(address.port)")
  fflush(nil)
  await withCheckedContinuation { continuation in
    DispatchQueue.global().async {
      while getchar() != EOF {}
      continuation.resume()
    }
  }
  let allocations = allocations_counted()
  let end = try await figures()
  print(
    "{\"enters\":\(end.enters),\"received_bytes\":\(end.receivedBytes),"
      + "\"copied\":\(end.copiedInBytes + end.copiedOutBytes),\"allocations\":\(allocations)}")
  exit(0)
}

func serveWithHandlers(_ group: ReactorGroup) async throws {
  let executor = group.executors[0]
  let address = try await executor.withReactor { reactor in
    let endpoint = HandlerEndpoint(on: reactor) { _ in Echo() }
    return try reactor.listen(on: .loopback(), backlog: 4096, endpoint: endpoint).address
  }
  try await finish(address) { try await executor.withReactor { $0.statistics } }
}

func serveWithTasks(_ group: ReactorGroup, _ logger: Logger) async throws {
  let executor = group.executors[0]
  let server = try await ConnectionServer.bind(
    to: .loopback(), on: group, backlog: 4096, logger: logger)
  async let serving: Void = server.run { connection in
    while let bytes = try await connection.next() { try await connection.write(bytes) }
  }
  try await finish(server.address) { try await executor.withReactor { $0.statistics } }
  try await serving
}

@main
enum Servers {
  static func main() async throws {
    raiseDescriptorLimit()
    let logger = Logger(label: "echo")
    let group = try ReactorGroup(configuration: configuration, logger: logger)
    switch CommandLine.arguments.dropFirst().first {
    case "handler": try await serveWithHandlers(group)
    case "async": try await serveWithTasks(group, logger)
    default:
      print("usage: transport-cyclades handler|frames|async")
      exit(64)
    }
  }
}

func raiseDescriptorLimit() {
  var limits = rlimit()
  unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
  limits.rlim_cur = limits.rlim_max
  unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
}
