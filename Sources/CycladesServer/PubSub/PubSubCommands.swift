import CycladesReplication
import CycladesStore
import CycladesTransport

extension ServerCommands {
  static func publish(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    publish(.channel, client, arguments, &reply)
  }

  /// Every node hears of every message, so no client is sent to another node for its slot.
  static func publishToShard(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    publish(.shardChannel, client, arguments, &reply)
  }

  private static func publish(
    _ kind: Subscriptions.Kind, _ client: Client, _ arguments: borrowing Arguments,
    _ reply: inout Reply
  ) {
    let message = PublishedMessage(
      kind, channel: [UInt8](copying: arguments[1]), payload: [UInt8](copying: arguments[2]))
    reply.appendInteger(Int64(client.node.publish(message)))
  }

  static func subscribe(_ client: Client, _ arguments: borrowing Arguments) -> Bool {
    client.subscribe(.channel, "subscribe", arguments)
  }

  static func subscribeToPatterns(_ client: Client, _ arguments: borrowing Arguments) -> Bool {
    client.subscribe(.pattern, "psubscribe", arguments)
  }

  static func subscribeToShard(_ client: Client, _ arguments: borrowing Arguments) -> Bool {
    client.subscribe(.shardChannel, "ssubscribe", arguments)
  }

  static func unsubscribe(_ client: Client, _ arguments: borrowing Arguments) -> Bool {
    client.unsubscribe(.channel, "unsubscribe", arguments)
  }

  static func unsubscribeFromPatterns(_ client: Client, _ arguments: borrowing Arguments) -> Bool {
    client.unsubscribe(.pattern, "punsubscribe", arguments)
  }

  static func unsubscribeFromShard(_ client: Client, _ arguments: borrowing Arguments) -> Bool {
    client.unsubscribe(.shardChannel, "sunsubscribe", arguments)
  }

  /// PUBSUB and its subcommands, about the clients of this node.
  static func pubsub(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    let subscriptions = client.node.subscriptions
    let count = arguments.count
    switch arguments.string(1).uppercased() {
    case "CHANNELS" where count <= 3:
      appendNames(subscriptions.names(.channel), arguments, &reply)
    case "SHARDCHANNELS" where count <= 3:
      appendNames(subscriptions.names(.shardChannel), arguments, &reply)
    case "NUMSUB": appendCounts(subscriptions, .channel, arguments, &reply)
    case "SHARDNUMSUB": appendCounts(subscriptions, .shardChannel, arguments, &reply)
    case "NUMPAT" where count == 2: reply.appendInteger(Int64(subscriptions.count(.pattern)))
    case "HELP" where count == 2: reply.appendHelp(pubsubHelp)
    case let name where ["CHANNELS", "SHARDCHANNELS", "NUMPAT", "HELP"].contains(name):
      throw .wrongArity(of: name)
    default: throw .unknownSubcommand
    }
  }

  private static let pubsubHelp = [
    "PUBSUB <subcommand> [<arg> ...], about the clients of this node. Subcommands are:",
    "CHANNELS [<pattern>]", "    Return the channels that have listeners.",
    "NUMSUB [<channel> ...]", "    Return how many listen to each channel.",
    "NUMPAT", "    Return how many patterns have listeners.",
    "SHARDCHANNELS [<pattern>]", "    Return the sharded channels that have listeners.",
    "SHARDNUMSUB [<channel> ...]", "    Return how many listen to each sharded channel.",
  ]

  private static func appendNames(
    _ names: [[UInt8]], _ arguments: borrowing Arguments, _ reply: inout Reply
  ) {
    var matching = names
    if arguments.count > 2 {
      let pattern = GlobPattern([UInt8](copying: arguments[2]))
      matching.removeAll { !pattern.matches($0) }
    }
    reply.appendArray(matching.count)
    for name in matching { reply.appendBulk(name) }
  }

  private static func appendCounts(
    _ subscriptions: Subscriptions, _ kind: Subscriptions.Kind, _ arguments: borrowing Arguments,
    _ reply: inout Reply
  ) {
    reply.appendArray(2 * (arguments.count - 2))
    for index in 2..<max(arguments.count, 2) {
      reply.appendBulk(arguments[index])
      let count = subscriptions.count(kind, [UInt8](copying: arguments[index]))
      reply.appendInteger(Int64(count))
    }
  }
}

extension Client {
  /// Adds names to listen to, and confirms each.
  func subscribe(
    _ kind: Subscriptions.Kind, _ word: String, _ arguments: borrowing Arguments
  ) -> Bool {
    for index in 1..<arguments.count {
      let name = [UInt8](copying: arguments[index])
      if listening.add(kind, name) { node.subscriptions.add(kind, name, connection) }
      confirm(kind, word, name)
    }
    return true
  }

  /// Ends listening to names, or to all of a kind when none is given, and confirms each.
  func unsubscribe(
    _ kind: Subscriptions.Kind, _ word: String, _ arguments: borrowing Arguments
  ) -> Bool {
    var names: [[UInt8]] = []
    for index in 1..<max(arguments.count, 1) { names.append([UInt8](copying: arguments[index])) }
    if arguments.count == 1 {
      names = listening[kind].sorted { $0.lexicographicallyPrecedes($1) }
      if names.isEmpty { confirm(kind, word, nil) }
    }
    for name in names {
      if listening.remove(kind, name) { node.subscriptions.remove(kind, name, connection) }
      confirm(kind, word, name)
    }
    return true
  }

  private func confirm(_ kind: Subscriptions.Kind, _ word: String, _ name: [UInt8]?) {
    let (version, count) = (session.version, listening.count(kind))
    answer { reply in
      reply.appendPush(3, version)
      reply.appendBulk(word)
      if let name { reply.appendBulk(name) } else { reply.appendNull(version) }
      reply.appendInteger(Int64(count))
    }
  }

  /// Ends listening without a word.
  func stopListening() {
    for kind in Subscriptions.Kind.allCases {
      for name in listening[kind] { node.subscriptions.remove(kind, name, connection) }
    }
    listening = Listening()
  }

  /// Sends a message behind everything that is owed: a RESP2 client takes what comes for the reply it
  /// waits for, and nobody's confirmation may come after the first message.
  ///
  /// Who listens but does not read is closed: messages cannot wait in the client, and must not wait
  /// here without end.
  func push(_ message: [UInt8]) {
    replies.append(message.rawSpan) { node.reactor.send(connection, copying: $0) }
    let waiting = node.reactor.queuedBytes(connection) + replies.parkedBytes
    if waiting > node.configuration.listenerBytesMax, !isCut {
      isCut = true
      node.statistics.slowListeners += 1
      node.reactor.close(connection, flush: false)
    }
  }
}
