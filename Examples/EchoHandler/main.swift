// EchoHandler [PORT]: sends everything back, with a handler: a value per connection whose code runs
// on the reactor, without tasks, objects or allocations.

import CycladesTransport
import Logging

struct Echo: ConnectionHandler {
  var byteCount = 0

  mutating func received(_ bytes: RawSpan, _ io: inout ConnectionIO) -> Progress {
    byteCount += bytes.byteCount
    io.send(received: 0..<bytes.byteCount)  // the block that the kernel filled is sent as it is
    return Progress(consumed: bytes.byteCount)
  }

  mutating func closed(_ reason: CloseReason) {
    print("\(byteCount) bytes, then: \(reason)")
  }
}

let port = CommandLine.arguments.dropFirst().first.flatMap { UInt16($0) } ?? 0

let thread = try ReactorThread.start(name: "echo", logger: Logger(label: "echo")) { reactor in
  let endpoint = HandlerEndpoint(on: reactor) { _ in Echo() }
  let listener = try reactor.listen(on: .loopback(port: port), endpoint: endpoint)
  print("listening on \(listener.address)")
}
await thread.finished()
