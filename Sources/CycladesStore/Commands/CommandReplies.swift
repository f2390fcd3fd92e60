public import CycladesReplication

/// The replies of COMMAND and its subcommands, made from ``Command/all``.
public enum CommandReplies {
  /// Answers a COMMAND request; `arguments` are those of the request, the name first.
  public static func append(
    _ arguments: borrowing Arguments, _ version: RESPVersion, to reply: inout Reply
  ) {
    guard arguments.count > 1 else { return appendInfo(Command.all, version, &reply) }
    let count = arguments.count
    if arguments.equals(1, "COUNT") {
      guard count == 2 else { return appendWrongArity("count", &reply) }
      reply.appendInteger(Int64(Command.all.count))
    } else if arguments.equals(1, "INFO") {
      guard count > 2 else { return appendInfo(Command.all, version, &reply) }
      reply.appendArray(count - 2)
      for index in 2..<count {
        if let command = Command.named(arguments[index]) {
          appendInfo(command, version, &reply)
        } else {
          reply.appendNull(version)
        }
      }
    } else if arguments.equals(1, "DOCS") {
      appendDocumentation(arguments, version, &reply)
    } else if arguments.equals(1, "LIST") {
      appendList(arguments, version, &reply)
    } else if arguments.equals(1, "GETKEYS") || arguments.equals(1, "GETKEYSANDFLAGS") {
      appendKeys(arguments, withUse: !arguments.equals(1, "GETKEYS"), version, &reply)
    } else if arguments.equals(1, "HELP") {
      guard count == 2 else { return appendWrongArity("help", &reply) }
      reply.appendArray(help.count)
      for line in help { reply.appendStatus(line) }
    } else if let command = Command.named(arguments[0]) {
      reply.appendUnknownSubcommand(command, arguments[1])
    }
  }

  private static func appendWrongArity(_ subcommand: String, _ reply: inout Reply) {
    reply.appendError("ERR wrong number of arguments for 'command|\(subcommand)' command")
  }

  private static let help = [
    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "(no subcommand)",
    "    Return details about all commands.",
    "COUNT",
    "    Return the number of commands.",
    "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
    "    Return the names of commands.",
    "INFO [<command-name> ...]",
    "    Return details about commands, or about all.",
    "DOCS [<command-name> ...]",
    "    Return documentation of commands, or of all.",
    "GETKEYS <full-command>",
    "    Return the keys of a full command.",
    "GETKEYSANDFLAGS <full-command>",
    "    Return the keys of a full command and how it uses them.",
    "HELP",
    "    Print this help.",
  ]
}

// MARK: - INFO

extension CommandReplies {
  private static func appendInfo(
    _ commands: [Command], _ version: RESPVersion, _ reply: inout Reply
  ) {
    reply.appendArray(commands.count)
    for command in commands { appendInfo(command, version, &reply) }
  }

  private static func appendInfo(
    _ command: Command, _ version: RESPVersion, _ reply: inout Reply
  ) {
    reply.appendArray(10)
    reply.appendBulk(command.name)
    reply.appendInteger(Int64(command.arity))
    reply.appendStatuses(command.flags.names, version)
    reply.appendInteger(Int64(command.keys?.first ?? 0))
    reply.appendInteger(Int64(command.keys?.last ?? 0))
    reply.appendInteger(Int64(command.keys?.step ?? 0))
    reply.appendStatuses(command.accessCategories.map { "@" + $0 }, version)
    let tips = command.allTips
    reply.appendSet(tips.count, version)
    for tip in tips { reply.appendBulk(tip) }
    appendKeySpecs(command, version, &reply)
    reply.appendSet(0, version)  // subcommands
  }

  private static func appendKeySpecs(
    _ command: Command, _ version: RESPVersion, _ reply: inout Reply
  ) {
    guard let keys = command.keys else { return reply.appendSet(0, version) }
    reply.appendSet(keys.uses.count, version)
    for (offset, use) in keys.uses.enumerated() {
      reply.appendMap(3, version)
      reply.appendBulk("flags")
      reply.appendStatuses(use.split(separator: " ").map(String.init), version)
      reply.appendBulk("begin_search")
      reply.appendMap(2, version)
      reply.appendPair("type", "index")
      reply.appendBulk("spec")
      reply.appendMap(1, version)
      let isLast = offset == keys.uses.count - 1
      if let count = keys.count, isLast {
        reply.appendPair("index", count)
        reply.appendBulk("find_keys")
        reply.appendMap(2, version)
        reply.appendPair("type", "keynum")
        reply.appendBulk("spec")
        reply.appendMap(3, version)
        reply.appendPair("keynumidx", 0)
        reply.appendPair("firstkey", 1)
        reply.appendPair("keystep", 1)
        continue
      }
      reply.appendPair("index", keys.first + offset)
      reply.appendBulk("find_keys")
      reply.appendMap(2, version)
      reply.appendPair("type", "range")
      reply.appendBulk("spec")
      reply.appendMap(3, version)
      reply.appendPair("lastkey", isLast && keys.last < 0 ? keys.last : 0)
      reply.appendPair("keystep", keys.step)
      reply.appendPair("limit", 0)
    }
  }
}

extension Command.Flags {
  /// Redis' names of the flags, in Redis' order.
  fileprivate var names: [String] {
    let all: [(Self, String)] = [
      (.write, "write"), (.readOnly, "readonly"), (.denyOOM, "denyoom"),
      (.pubsub, "pubsub"), (.noScript, "noscript"), (.blocking, "blocking"),
      (.loading, "loading"), (.stale, "stale"), (.fast, "fast"), (.noAuth, "no_auth"),
      (.movableKeys, "movablekeys"), (.allowBusy, "allow_busy"),
    ]
    return all.filter { contains($0.0) }.map(\.1)
  }
}

extension Command {
  /// Redis' access categories, in Redis' order.
  fileprivate var accessCategories: [String] {
    var all = Set(categories)
    switch group {
    case .generic where keys != nil || run != nil: all.insert("keyspace")
    case .string, .connection, .hash, .list, .set: all.insert(group.rawValue)
    case .sortedSet: all.insert("sortedset")
    case .transactions: all.insert("transaction")
    case .generic, .server, .cluster, .pubsub: break
    }
    if flags.contains(.pubsub) { all.insert("pubsub") }
    if flags.contains(.blocking) { all.insert("blocking") }
    if flags.contains(.readOnly) { all.insert("read") }
    if flags.contains(.write) { all.insert("write") }
    all.insert(flags.contains(.fast) ? "fast" : "slow")
    return [
      "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "pubsub", "fast",
      "slow", "blocking", "dangerous", "connection", "transaction",
    ].filter(all.contains)
  }

  /// How a client of a cluster may split the command, in Redis' words.
  fileprivate var allTips: [String] {
    switch scope {
    case .keys(let join):
      return tips + ["request_policy:multi_shard"] + join.tip
    case .everyShard(let join):
      return tips + ["request_policy:all_shards"] + join.tip
    case .server, .shard, .scan:
      return tips
    }
  }
}

extension Command.Join {
  fileprivate var tip: [String] {
    switch self {
    case .sum: return ["response_policy:agg_sum"]
    case .allOK: return ["response_policy:all_succeeded"]
    case .anyOne: return ["response_policy:special"]
    case .gather, .concatenate: return []
    }
  }
}

// MARK: - DOCS

extension CommandReplies {
  private static func appendDocumentation(
    _ arguments: borrowing Arguments, _ version: RESPVersion, _ reply: inout Reply
  ) {
    var commands = Command.all
    if arguments.count > 2 {
      commands = []
      for index in 2..<arguments.count {
        if let command = Command.named(arguments[index]) { commands.append(command) }
      }
    }
    reply.appendMap(commands.count, version)
    for command in commands {
      reply.appendBulk(command.name)
      reply.appendMap(command.replacement == nil ? 4 : 7, version)
      reply.appendPair("summary", command.summary)
      reply.appendPair("since", command.since)
      reply.appendPair("group", command.group.rawValue)
      reply.appendPair("complexity", command.complexity)
      guard let replacement = command.replacement else { continue }
      reply.appendBulk("doc_flags")
      reply.appendStatuses(["deprecated"], version)
      reply.appendPair("deprecated_since", replacement.since)
      reply.appendPair("replaced_by", replacement.command)
    }
  }
}

// MARK: - LIST

extension CommandReplies {
  private static func appendList(
    _ arguments: borrowing Arguments, _ version: RESPVersion, _ reply: inout Reply
  ) {
    var commands = Command.all
    if arguments.count > 2 {
      guard arguments.count == 5, arguments.equals(2, "FILTERBY") else {
        return reply.appendSyntaxError()
      }
      let operand = arguments.string(4)
      if arguments.equals(3, "MODULE") {
        commands = []
      } else if arguments.equals(3, "ACLCAT") {
        commands.removeAll { !$0.accessCategories.contains(operand.lowercased()) }
      } else if arguments.equals(3, "PATTERN") {
        let pattern = GlobPattern(operand.lowercased())
        commands.removeAll { !pattern.matches($0.name) }
      } else {
        return reply.appendSyntaxError()
      }
    }
    reply.appendArray(commands.count)
    for command in commands { reply.appendBulk(command.name) }
  }
}

// MARK: - GETKEYS

extension CommandReplies {
  private static func appendKeys(
    _ arguments: borrowing Arguments, withUse: Bool, _ version: RESPVersion,
    _ reply: inout Reply
  ) {
    let count = arguments.count - 2
    guard count >= 2 else {
      return appendWrongArity(withUse ? "getkeysandflags" : "getkeys", &reply)
    }
    guard let command = Command.named(arguments[2]) else {
      return reply.appendError("ERR Invalid command specified")
    }
    guard let keys = command.keys else {
      return reply.appendError("ERR The command has no key arguments")
    }
    guard command.accepts(argumentCount: count) else {
      return reply.appendError("ERR Invalid number of arguments specified for command")
    }
    let positions = Array(command.keyPositions(of: arguments.dropFirst(2)))
    guard !positions.isEmpty else {
      return reply.appendError("ERR Invalid arguments specified for command")
    }
    reply.appendArray(positions.count)
    for (index, position) in positions.enumerated() {
      if withUse { reply.appendArray(2) }
      reply.appendBulk(arguments[2 + position])
      guard withUse else { continue }
      let use = keys.uses[min(index, keys.uses.count - 1)]
      reply.appendStatuses(use.split(separator: " ").map(String.init), version)
    }
  }
}

extension Reply {
  fileprivate mutating func appendStatus(_ text: String) {
    append(UInt8(ascii: "+"))
    append(contentsOf: text.utf8)
    append("\r\n")
  }

  fileprivate mutating func appendStatuses(_ texts: [String], _ version: RESPVersion) {
    appendSet(texts.count, version)
    for text in texts { appendStatus(text) }
  }

  fileprivate mutating func appendPair(_ name: String, _ value: String) {
    appendBulk(name)
    appendBulk(value)
  }

  fileprivate mutating func appendPair(_ name: String, _ value: Int) {
    appendBulk(name)
    appendInteger(Int64(value))
  }
}
