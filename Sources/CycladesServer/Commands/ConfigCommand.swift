import CycladesReplication
import CycladesStore
import CycladesTransport

extension ServerCommands {
  /// CONFIG GET, SET, RESETSTAT and HELP.
  static func config(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    let count = arguments.count
    switch arguments.string(1).uppercased() {
    case "GET" where count > 2:
      var matching = client.node.settings(for: client.port)
      let patterns = (2..<count).map { GlobPattern(arguments.string($0).lowercased()) }
      matching.removeAll { setting in !patterns.contains { $0.matches(setting.name) } }
      reply.appendMap(matching.count, client.session.version)
      for setting in matching {
        reply.appendBulk(setting.name)
        reply.appendBulk(setting.value)
      }
    case "SET" where count > 3 && count.isMultiple(of: 2):
      try set(client, arguments)
      reply.appendOK()
    case "RESETSTAT" where count == 2:
      client.node.statistics = ServerStatistics()
      reply.appendOK()
    case "HELP" where count == 2:
      reply.appendHelp([
        "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET <pattern> [<pattern> ...]", "    Return settings whose names match.",
        "SET <name> <value> ...", "    Accepted for the value a setting has; flags set the others.",
        "RESETSTAT", "    Reset the statistics reported by INFO.",
      ])
    case "GET", "SET", "RESETSTAT", "HELP":
      throw .wrongArity(of: arguments.string(1))
    default:
      throw .unknownSubcommand
    }
  }

  /// Settings are fixed when the server starts, alike on all nodes; setting one to what it is already
  /// is not an error, so that tools which insist on a setting go on when it holds.
  private static func set(
    _ client: Client, _ arguments: borrowing Arguments
  ) throws(Misuse) {
    let settings = client.node.settings(for: client.port)
    for index in stride(from: 2, to: arguments.count, by: 2) {
      let name = arguments.string(index).lowercased()
      let value = arguments.string(index + 1)
      guard let setting = settings.first(where: { $0.name == name }) else {
        throw .other(
          "ERR Unknown option or number of arguments for CONFIG SET - '\(name.prefix(128))'")
      }
      guard setting.value == value else {
        throw .other(
          "ERR CONFIG SET failed (possibly related to argument '\(name)') - can't set immutable "
            + "config; restart 'cyclades serve' with other flags")
      }
    }
  }
}

extension StoreNode {
  /// A parameter as CONFIG GET shows it.
  struct Setting {
    var name: String
    var value: String
  }

  /// The parameters that Redis tools ask for, with what holds here: every write is durable before it
  /// is acknowledged, there is one database, and memory has no limit of its own.
  func settings(for port: Client.Port) -> [Setting] {
    let own = directory.address(of: id, for: port)!
    let values = [
      ("appendfsync", "always"), ("appendonly", "yes"), ("bind", own.host),
      ("cluster-enabled", port == .cluster ? "yes" : "no"),
      ("cluster-require-full-coverage", "no"), ("databases", "1"),
      ("dir", configuration.directory), ("io-threads", "1"), ("lazyfree-lazy-user-del", "yes"),
      ("maxclients", String(configuration.maximumClients)), ("maxmemory", "0"),
      ("maxmemory-policy", "noeviction"), ("notify-keyspace-events", ""),
      ("port", String(own.port)), ("proto-max-bulk-len", String(configuration.maximumValueBytes)),
      ("requirepass", ""), ("save", ""), ("tcp-keepalive", "300"), ("timeout", "0"),
    ]
    return values.map { Setting(name: $0.0, value: $0.1) }
  }
}
