import CycladesReplication
import CycladesStore

extension ServerCommands {
  static func ping(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    if client.session.version == .v2, !client.listening.isEmpty {
      reply.appendArray(2)
      reply.appendBulk("pong")
      reply.appendBulk(arguments.count > 1 ? [UInt8](copying: arguments[1]) : [])
    } else if arguments.count > 1 {
      reply.appendBulk(arguments[1])
    } else {
      reply.appendSimple("PONG")
    }
  }

  static func echo(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    reply.appendBulk(arguments[1])
  }

  /// HELLO [2|3 [AUTH user password] [SETNAME name]]
  static func hello(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    var session = client.session
    if arguments.count > 1 {
      guard let number = arguments.integer(1) else {
        throw .other("ERR Protocol version is not an integer or out of range")
      }
      guard let version = UInt8(exactly: number).flatMap(RESPVersion.init(rawValue:)) else {
        throw .other("NOPROTO unsupported protocol version")
      }
      session.version = version
    }
    var index = 2
    while index < arguments.count {
      if arguments.equals(index, "SETNAME"), index + 1 < arguments.count {
        session.name = try clientName(arguments[index + 1])
        index += 2
      } else if arguments.equals(index, "AUTH"), index + 2 < arguments.count {
        // As a Redis without password: the default user needs none and any password is right.
        guard arguments.equals(index + 1, "DEFAULT") else { throw wrongPassword }
        index += 3
      } else {
        let option = String(arguments.string(index).prefix(128))
        throw .other("ERR Syntax error in HELLO option '\(option)'")
      }
    }
    client.session = session
    greet(client, &reply)
  }

  private static func greet(_ client: Client, _ reply: inout Reply) {
    reply.appendMap(7, client.session.version)
    reply.appendBulk("server")
    reply.appendBulk("redis")
    reply.appendBulk("version")
    reply.appendBulk(ServerVersion.redis)
    reply.appendBulk("proto")
    reply.appendInteger(Int64(client.session.version.rawValue))
    reply.appendBulk("id")
    reply.appendInteger(Int64(client.id))
    reply.appendBulk("mode")
    reply.appendBulk(client.port == .cluster ? "cluster" : "standalone")
    reply.appendBulk("role")
    reply.appendBulk("master")
    reply.appendBulk("modules")
    reply.appendArray(0)
  }

  static func auth(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    switch arguments.count {
    case 2:
      throw .other(
        "ERR AUTH <password> called without any password configured for the default user. "
          + "Are you sure your configuration is correct?")
    case 3 where arguments.equals(1, "DEFAULT"): reply.appendOK()
    case 3: throw wrongPassword
    default: throw .syntax
    }
  }

  private static let wrongPassword = Misuse.other(
    "WRONGPASS invalid username-password pair or user is disabled.")

  static func select(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    guard let index = arguments.integer(1) else { throw .notAnInteger }
    guard index == 0 else { throw .other("ERR DB index is out of range") }
    reply.appendOK()
  }

  static func quit(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    reply.appendOK()
    client.end(isAnswering: true)
  }

  static func reset(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    client.stopListening()
    client.session = ClientSession()
    client.transaction = ClientTransaction()
    reply.appendSimple("RESET")
  }

  static func time(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    let (seconds, microseconds) = microsecondsSinceEpoch().quotientAndRemainder(
      dividingBy: 1_000_000)
    reply.appendArray(2)
    reply.appendBulk(String(seconds))
    reply.appendBulk(String(microseconds))
  }

  /// WAIT answers how many nodes hold every acknowledged write durably: a majority, always, since no
  /// write is acknowledged before. There is nothing to wait for.
  static func wait(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    guard let replicas = arguments.integer(1), let timeout = arguments.integer(2) else {
      throw .notAnInteger
    }
    guard timeout >= 0 else { throw .other("ERR timeout is negative") }
    guard replicas >= 0 else { throw .other("ERR value is out of range, must be positive") }
    reply.appendInteger(Int64(client.node.quorum))
  }

  static func readOnly(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    client.session.isReadOnly = true
    reply.appendOK()
  }

  static func readWrite(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    client.session.isReadOnly = false
    reply.appendOK()
  }

  /// ASK redirections are never sent, since shards change owners at one instant; so nothing changes.
  static func asking(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    reply.appendOK()
  }

  static func command(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    CommandReplies.append(arguments, client.session.version, to: &reply)
  }
}
