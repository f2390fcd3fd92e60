// transport-cyclades handler|async|frames|frames-async: the servers that users of Cyclades write,
// echo and the end of a stream of frames.
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

let configuration = ReactorConfiguration()

/// What the server has done so far.
struct Counts {
  let reactor: ReactorStatistics
  let allocations: UInt64

  init(_ executor: ReactorExecutor) async throws {
    reactor = try await executor.withReactor { $0.statistics }
    allocations = allocations_counted()
  }
}

/// Tells the port, waits until standard input ends, and reports what was done between the first
/// messages and then: what is done once, at the start, would blur what is done per message.
func finish(_ address: SocketAddress, _ executor: ReactorExecutor) async throws {
  print("port \(address.port)")
  fflush(nil)
  let warm = Task {
    while try await executor.withReactor({ $0.statistics.receivedBytes }) == 0 {
      try await executor.sleep(for: .milliseconds(20))
    }
    try await executor.sleep(for: .milliseconds(200))
    return try await Counts(executor)
  }
  await withCheckedContinuation { continuation in
    DispatchQueue.global().async {
      while getchar() != EOF {}
      continuation.resume()
    }
  }
  let end = try await Counts(executor)
  let from = try await warm.value
  func since(_ value: KeyPath<ReactorStatistics, UInt64>) -> UInt64 {
    end.reactor[keyPath: value] - from.reactor[keyPath: value]
  }
  print(
    "{\"enters\":\(since(\.enters)),\"received_bytes\":\(since(\.receivedBytes)),"
      + "\"copied\":\(since(\.copiedInBytes) + since(\.copiedOutBytes)),"
      + "\"allocations\":\(end.allocations - from.allocations)}")
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
  try await finish(address, executor)
}

func serveWithTasks(
  _ group: ReactorGroup, _ mode: Mode = .stream, _ handler: @escaping ConnectionServer.Handler
) async throws {
  let server = try await ConnectionServer.bind(
    to: .loopback(), on: group, backlog: 4096, mode: mode, logger: logger)
  async let serving: Void = server.run(handler)
  try await finish(server.address, group.executors[0])
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
