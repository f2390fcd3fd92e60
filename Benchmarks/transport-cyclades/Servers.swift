// transport-cyclades handler|async|frames|frames-async: the servers that users of Cyclades write, echo
// and the end of a stream of frames.
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
    io.send(sharing: 0..<bytes.byteCount)
    return Progress(consumed: bytes.byteCount)
  }
}

/// Takes verified frames, and answers the end of input with the number of bytes.
struct Sink: FrameHandler {
  var byteCount: UInt64 = 0

  mutating func received(_ kind: UInt16, _ payload: RawSpan, _ io: inout ConnectionIO) {
    byteCount += UInt64(payload.byteCount + SealedFrame.headerSize)
  }

  mutating func inputEnded(_ io: inout ConnectionIO) -> InputEnd {
    io.send(copying: bytes(of: byteCount))
    return .close
  }
}

func bytes(of number: UInt64) -> [UInt8] {
  (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
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

let frames = Mode.frames(maximumSize: 1 << 20)

func serveWithHandlers(
  _ group: ReactorGroup, _ mode: Mode = .stream,
  _ makeEndpoint: @escaping @Sendable (Reactor) -> any Endpoint
) async throws {
  let executor = group.executors[0]
  let address = try await executor.withReactor { reactor in
    try reactor.listen(
      on: .loopback(), backlog: 4096, mode: mode, endpoint: makeEndpoint(reactor)
    ).address
  }
  try await finish(address) { try await executor.withReactor { $0.statistics } }
}

func serveWithTasks(
  _ group: ReactorGroup, _ mode: Mode = .stream, _ handler: @escaping ConnectionServer.Handler
) async throws {
  let executor = group.executors[0]
  let server = try await ConnectionServer.bind(
    to: .loopback(), on: group, backlog: 4096, mode: mode, logger: logger)
  async let serving: Void = server.run(handler)
  try await finish(server.address) { try await executor.withReactor { $0.statistics } }
  try await serving
}

let logger = Logger(label: "echo")

@main
enum Servers {
  static func main() async throws {
    raiseDescriptorLimit()
    let group = try ReactorGroup(configuration: configuration, logger: logger)
    switch CommandLine.arguments.dropFirst().first {
    case "handler":
      try await serveWithHandlers(group) { HandlerEndpoint(on: $0) { _ in Echo() } }
    case "frames":
      try await serveWithHandlers(group, frames) {
        HandlerEndpoint(on: $0) { _ in SealedFrames(Sink()) }
      }
    case "async":
      try await serveWithTasks(group) { connection in
        while let bytes = try await connection.next() { try await connection.write(bytes) }
      }
    case "frames-async":
      try await serveWithTasks(group, frames) { connection in
        var byteCount: UInt64 = 0
        while let frame = try await connection.nextFrame() {
          byteCount += UInt64(frame.byteCount + SealedFrame.headerSize)
        }
        try await connection.write(bytes(of: byteCount))
      }
    default:
      print("usage: transport-cyclades handler|async|frames|frames-async")
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
