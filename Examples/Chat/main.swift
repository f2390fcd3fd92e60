// Chat [PORT]: what one says, all others hear. Ctrl-C lets everybody finish, then ends.
//
// The room is an actor that lives on the reactor of the connections, so that a line from one task
// to all others never leaves the thread. Needs the package trait "ServiceLifecycle".

import CycladesTransport
import Logging
import ServiceLifecycle

actor Room {
  private var members: [String: ConnectionWriter] = [:]
  nonisolated let executor: ReactorExecutor
  nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe executor.asUnownedSerialExecutor()
  }

  init(on executor: ReactorExecutor) { self.executor = executor }

  /// False when somebody else has the name.
  func enter(_ name: String, _ writer: ConnectionWriter) async -> Bool {
    guard members[name] == nil else { return false }
    members[name] = writer
    await say("* \(name) is here, one of \(members.count)", from: name)
    return true
  }

  func leave(_ name: String) async {
    members[name] = nil
    await say("* \(name) has left", from: name)
  }

  /// Who does not take a line within a second misses it: nobody holds up the room.
  func say(_ line: String, from name: String) async {
    for (member, writer) in members where member != name {
      try? await writer.write(line + "\n", within: .seconds(1))
    }
  }
}

let port = CommandLine.arguments.dropFirst().first.flatMap { UInt16($0) } ?? 0
let logger = Logger(label: "chat")
let reactors = try ReactorGroup(logger: logger)
let room = Room(on: reactors.next())
let server = try await ConnectionServer.bind(
  to: .loopback(port: port), on: reactors, logger: logger)
print("listening on \(server.address)")

let chat = ConnectionService(server) { connection in
  try await connection.write("Your name?\n")
  guard let name = try await connection.nextLine(byteLimit: 20, within: .seconds(60)) else {
    return
  }
  guard await room.enter(name, connection.writer) else {
    return try await connection.write("Somebody is called that already.\n")
  }
  do {
    while let line = try await connection.nextLine(byteLimit: 1000) {
      await room.say("\(name): \(line)", from: name)
    }
  } catch {
    logger.info("\(name) was lost: \(error)")
  }
  await room.leave(name)
}

let services = ServiceGroup(
  services: [reactors, chat], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
try await services.run()
