import CycladesReplication
import CycladesStore
import CycladesTransport

extension ServerCommands {
  /// A client name: printable ASCII without blanks.
  static func clientName(_ bytes: RawSpan) throws(Misuse) -> String {
    for offset in 0..<bytes.byteCount {
      guard (0x21...0x7e).contains(bytes.byte(at: offset)) else { throw .badClientName }
    }
    return String(decoding: bytes)
  }

  /// CLIENT and its subcommands.
  static func client(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    let count = arguments.count
    switch arguments.string(1).uppercased() {
    case "ID" where count == 2:
      reply.appendInteger(Int64(client.id))
    case "GETNAME" where count == 2:
      if client.session.name.isEmpty {
        reply.appendNull(client.session.version)
      } else {
        reply.appendBulk(client.session.name)
      }
    case "SETNAME" where count == 3:
      client.session.name = try clientName(arguments[2])
      reply.appendOK()
    case "SETINFO" where count == 4:
      try setInfo(client, arguments)
      reply.appendOK()
    case "INFO" where count == 2:
      reply.appendVerbatim(client.listing + "\n", client.session.version)
    case "LIST":
      let listing = try list(client, arguments)
      reply.appendVerbatim(listing, client.session.version)
    case "NO-EVICT" where count == 3:
      client.session.isNoEvict = try isOn(arguments)
      reply.appendOK()
    case "NO-TOUCH" where count == 3:
      client.session.isNoTouch = try isOn(arguments)
      reply.appendOK()
    case "UNBLOCK" where count == 3 || count == 4:
      reply.appendInteger(try unblock(client, arguments) ? 1 : 0)
    case "GETREDIR" where count == 2: reply.appendInteger(-1)
    case "KILL" where count > 2:
      try kill(client, arguments, &reply)
    case "HELP" where count == 2:
      reply.appendHelp(clientHelp)
    case let name where clientSubcommands.contains(name):
      throw .wrongArity(of: name)
    default:
      throw .unknownSubcommand
    }
  }

  private static let clientSubcommands: Set<String> = [
    "ID", "GETNAME", "SETNAME", "SETINFO", "INFO", "LIST", "NO-EVICT", "NO-TOUCH", "KILL",
    "UNBLOCK", "GETREDIR", "HELP",
  ]

  private static let clientHelp = [
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ID", "    Return the number of the current connection.",
    "GETNAME", "    Return the name of the current connection.",
    "SETNAME <name>", "    Name the current connection.",
    "SETINFO LIB-NAME|LIB-VER <value>", "    Say which client library this is.",
    "INFO", "    Describe the current connection.",
    "LIST [ID <id> ...]", "    Describe all connections of this node.",
    "KILL <ip:port> | KILL (ID <id> | ADDR <ip:port> | LADDR <ip:port> | TYPE (NORMAL|PUBSUB) |",
    "     USER <name> | SKIPME (YES|NO)) ...",
    "    Close connections, without the replies that they are owed.",
    "UNBLOCK <id> [TIMEOUT|ERROR]",
    "    End a command that waits, as its timeout or an error would.",
    "NO-EVICT (ON|OFF)", "    Accepted; nothing is ever evicted.",
    "NO-TOUCH (ON|OFF)", "    Accepted; reads never change keys.",
  ]

  private static func setInfo(
    _ client: Client, _ arguments: borrowing Arguments
  ) throws(Misuse) {
    let isName = arguments.equals(2, "LIB-NAME")
    guard isName || arguments.equals(2, "LIB-VER") else {
      throw .other("ERR Unrecognized option '\(arguments.string(2).prefix(128))'")
    }
    guard let value = try? clientName(arguments[3]) else {
      let option = isName ? "lib-name" : "lib-ver"
      throw .other("ERR \(option) cannot contain spaces, newlines or special characters.")
    }
    if isName {
      client.session.libraryName = value
    } else {
      client.session.libraryVersion = value
    }
  }

  private static func isOn(_ arguments: borrowing Arguments) throws(Misuse) -> Bool {
    if arguments.equals(2, "ON") { return true }
    guard arguments.equals(2, "OFF") else { throw .syntax }
    return false
  }

  /// CLIENT UNBLOCK id [TIMEOUT|ERROR]
  private static func unblock(
    _ client: Client, _ arguments: borrowing Arguments
  ) throws(Misuse) -> Bool {
    guard let id = arguments.integer(2) else { throw .notAnInteger }
    var reason = BlockedPop.Ending.timeout
    if arguments.count == 4 {
      if arguments.equals(3, "ERROR") {
        reason = .error
      } else if !arguments.equals(3, "TIMEOUT") {
        throw .other("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
      }
    }
    guard let other = client.node.clients.byAge.first(where: { Int64($0.id) == id }),
      case .pop(let pop) = other.awaited, !pop.isTrying
    else { return false }
    other.unblock(pop, reason)
    return true
  }

  /// CLIENT LIST [ID id ...]
  private static func list(
    _ client: Client, _ arguments: borrowing Arguments
  ) throws(Misuse) -> String {
    var chosen: Set<Int64>?
    if arguments.count > 3, arguments.equals(2, "ID") {
      var ids: Set<Int64> = []
      for index in 3..<arguments.count {
        guard let id = arguments.integer(index), id > 0 else {
          throw .other("ERR Invalid client ID")
        }
        ids.insert(id)
      }
      chosen = ids
    } else if arguments.count > 2 {
      throw .syntax
    }
    var text = ""
    for other in client.node.clients.byAge where chosen?.contains(Int64(other.id)) ?? true {
      text += other.listing + "\n"
    }
    return text
  }
}

extension Client {
  /// The line that CLIENT LIST shows.
  var listing: String {
    let now = node.reactor.now
    var fields = [
      "id=\(id)", "addr=\(address)", "name=\(session.name)",
      "age=\(connectedAt.seconds(until: now))", "idle=\(lastRequestAt.seconds(until: now))",
      "flags=\(flags)", "db=0", "sub=\(listening.channels.count)",
      "psub=\(listening.patterns.count)", "ssub=\(listening.shardChannels.count)",
      "multi=\(transaction.isQueueing ? transaction.steps.count : -1)",
      "watch=\(transaction.watchedCount)", "owed=\(owed)",
    ]
    fields.append("cmd=\(lastCommand?.name ?? "NULL")")
    fields.append("user=default")
    fields.append("lib-name=\(session.libraryName)")
    fields.append("lib-ver=\(session.libraryVersion)")
    fields.append("resp=\(session.version.rawValue)")
    return fields.joined(separator: " ")
  }

  /// Redis' letters for what the connection is in.
  private var flags: String {
    var letters = ""
    if case .pop = awaited { letters += "b" }
    if !listening.isEmpty { letters += "P" }
    if session.isReadOnly { letters += "r" }
    if transaction.isQueueing { letters += "x" }
    return letters.isEmpty ? "N" : letters
  }
}
