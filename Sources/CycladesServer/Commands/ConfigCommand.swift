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
        "SET <name> <value> ...", "    Set maxmemory or maxclients; others only to what they are.",
        "RESETSTAT", "    Reset the statistics reported by INFO.",
      ])
    case "GET", "SET", "RESETSTAT", "HELP":
      throw .wrongArity(of: arguments.string(1))
    default:
      throw .unknownSubcommand
    }
  }

  /// `maxmemory` and `maxclients` can be changed, on this node and until it ends. The others are fixed
  /// when the server starts; setting one to what it is already is not an error, so that tools which
  /// insist on a setting go on when it holds. All are set, or none.
  private static func set(
    _ client: Client, _ arguments: borrowing Arguments
  ) throws(Misuse) {
    let settings = client.node.settings(for: client.port)
    var memory = client.node.memory.limit
    var maximumClients = client.node.maximumClients
    for index in stride(from: 2, to: arguments.count, by: 2) {
      let name = arguments.string(index).lowercased()
      let value = arguments.string(index + 1)
      guard let setting = settings.first(where: { $0.name == name }) else {
        throw .other(
          "ERR Unknown option or number of arguments for CONFIG SET - '\(name.prefix(128))'")
      }
      switch name {
      case "maxmemory":
        guard let bytes = MemoryLimit.parse(value) else {
          throw failure(name, "argument must be a memory value")
        }
        memory = bytes > 0 ? bytes : nil
      case "maxclients":
        guard let count = Int(value), (1...1_000_000).contains(count) else {
          throw failure(name, "argument must be between 1 and 1000000 inclusive")
        }
        maximumClients = count
      default:
        guard setting.value == value else {
          throw failure(
            name, "can't set immutable config; restart 'cyclades serve' with other flags")
        }
      }
    }
    client.node.memory.limit = memory
    client.node.maximumClients = maximumClients
    client.node.measureMemory()
  }

  private static func failure(_ name: String, _ reason: String) -> Misuse {
    .other("ERR CONFIG SET failed (possibly related to argument '\(name)') - \(reason)")
  }
}

extension StoreNode {
  /// A parameter as CONFIG GET shows it.
  struct Setting {
    var name: String
    var value: String
  }

  /// The parameters that Redis tools ask for, with what holds here: every write is durable before it
  /// is acknowledged, and there is one database.
  func settings(for port: Client.Port) -> [Setting] {
    let own = directory.address(of: id, for: port)!
    let values = [
      ("appendfsync", "always"), ("appendonly", "yes"), ("bind", own.host),
      ("cluster-enabled", port == .cluster ? "yes" : "no"),
      ("cluster-require-full-coverage", "no"), ("databases", "1"),
      ("dir", configuration.directory), ("io-threads", "1"), ("lazyfree-lazy-user-del", "yes"),
      ("maxclients", String(maximumClients)), ("maxmemory", String(memory.limit ?? 0)),
      ("maxmemory-policy", "noeviction"), ("notify-keyspace-events", ""),
      ("port", String(own.port)), ("proto-max-bulk-len", String(configuration.maximumValueBytes)),
      ("requirepass", ""), ("save", ""), ("tcp-keepalive", "300"), ("timeout", "0"),
    ]
    return values.map { Setting(name: $0.0, value: $0.1) }
  }
}
