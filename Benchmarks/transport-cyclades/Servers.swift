// transport-cyclades handler|frames|async: the echo server that users of Cyclades write.
//
// Prints its port, serves until standard input ends, prints what it counted as one line of JSON.

import CountAllocations
import CycladesTransport
import Glibc
import Logging

/// Sends back what arrives: the received block itself, nothing is copied.
struct Echo: ConnectionHandler {
  mutating func received(_ bytes: RawSpan, _ io: inout ConnectionIO) -> Progress {
    io.send(io.share(0..<bytes.byteCount))
    return Progress(consumed: bytes.byteCount)
  }
}

let configuration: ReactorConfiguration = {
  var configuration = ReactorConfiguration()
  configuration.receiveBlocks = 1024
  return configuration
}()

func serve(_ setUp: @escaping @Sendable (Reactor) throws -> SocketAddress) throws {
  let thread = try ReactorThread.start(
    name: "reactor", configuration: configuration, logger: Logger(label: "echo")
  ) { reactor in
    let address = try setUp(reactor)
    print("port \(address.port)")
    fflush(nil)
  }
  while getchar() != EOF {}
  report(thread)
}

func report(_ thread: ReactorThread) {
  let allocations = allocations_counted()
  thread.stop()
  thread.join()
  guard let end = thread.finalStatistics else { return }
  print(
    "{\"enters\":\(end.enters),\"received_bytes\":\(end.receivedBytes),"
      + "\"copied\":\(end.copiedInBytes + end.copiedOutBytes),\"allocations\":\(allocations)}")
}

@main
enum Servers {
  static func main() throws {
    raiseDescriptorLimit()
    switch CommandLine.arguments.dropFirst().first {
    case "handler":
      try serve { reactor in
        let endpoint = HandlerEndpoint(on: reactor) { _ in Echo() }
        return try reactor.listen(on: .loopback(), backlog: 4096, endpoint: endpoint).address
      }
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
