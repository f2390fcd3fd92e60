// Echo [PORT]: sends everything back. One task per connection, on the connection's reactor.
//
//   $ Echo 7777 &
//   $ nc 127.0.0.1 7777

import CycladesTransport
import Logging

let port = CommandLine.arguments.dropFirst().first.flatMap { UInt16($0) } ?? 0
let logger = Logger(label: "echo")

try await withReactors(count: 2, logger: logger) { reactors in
  let server = try await ConnectionServer.bind(
    to: .loopback(port: port), on: reactors, logger: logger)
  print("listening on \(server.address)")
  try await server.run { connection in
    while let bytes = try await connection.next() {
      try await connection.write(bytes)
    }
  }
}
