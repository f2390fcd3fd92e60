import CycladesReplication
import CycladesStore

/// The commands that concern a connection or this server, and no key: they are answered at once.
///
/// The command table of CycladesStore knows their names, arities and documentation; this table adds
/// what they do. A command of the table that is missing here answers an error that says so.
struct ServerCommands {
  /// Appends the reply, or throws before it appended anything.
  typealias Handler = @Sendable (Client, borrowing Arguments, inout Reply) throws(Misuse) -> Void
  /// Answers by itself, now or later; false when it must wait for what the client is owed.
  typealias Actor = @Sendable (Client, borrowing Arguments) -> Bool

  private enum Action {
    case answer(Handler)
    case act(Actor)
  }

  /// By command code.
  private let actions: [Action?]
  private let isImmediate: [Bool]
  private let isForListeners: [Bool]

  init() {
    let count = Int(Command.all.map(\.code).max() ?? 0) + 1
    var actions = [Action?](repeating: nil, count: count)
    for (name, handler) in Self.answered { actions[Self.index(of: name)] = .answer(handler) }
    for (name, actor) in Self.acted { actions[Self.index(of: name)] = .act(actor) }
    var isImmediate = [Bool](repeating: false, count: count)
    for name in Self.immediate { isImmediate[Self.index(of: name)] = true }
    var isForListeners = [Bool](repeating: false, count: count)
    for name in Self.forListeners { isForListeners[Self.index(of: name)] = true }
    self.actions = actions
    self.isForListeners = isForListeners
    self.isImmediate = isImmediate
  }

  private static func index(of name: String) -> Int {
    guard let command = Command.all.first(where: { $0.name == name }) else {
      preconditionFailure("\(name) is missing in the command table")
    }
    return Int(command.code)
  }

  private static let answered: [(String, Handler)] = [
    ("ping", ping), ("echo", echo), ("hello", hello), ("auth", auth), ("select", select),
    ("quit", quit), ("reset", reset), ("time", time), ("wait", wait), ("readonly", readOnly),
    ("readwrite", readWrite), ("asking", asking), ("command", command), ("client", client),
    ("config", config), ("info", info), ("cluster", cluster),
    ("multi", multi), ("discard", discard), ("unwatch", unwatch),
    ("publish", publish), ("spublish", publishToShard), ("pubsub", pubsub),
  ]

  private static let acted: [(String, Actor)] = [
    ("cyclades", cyclades), ("watch", watch), ("exec", exec), ("subscribe", subscribe),
    ("unsubscribe", unsubscribe),
    ("psubscribe", subscribeToPatterns), ("punsubscribe", unsubscribeFromPatterns),
    ("ssubscribe", subscribeToShard), ("sunsubscribe", unsubscribeFromShard),
  ]

  /// What is carried out after MULTI and not queued.
  private static let immediate = ["multi", "exec", "discard", "watch", "quit", "reset"]

  /// What a RESP2 connection that listens may ask for: it could not tell other replies from messages.
  private static let forListeners = [
    "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe", "ping",
    "quit", "reset",
  ]

  /// Whether a RESP2 connection that listens to channels may ask for a command.
  func isForListeners(_ command: Command) -> Bool { isForListeners[Int(command.code)] }

  /// Whether a command is carried out at once even after MULTI.
  func isImmediate(_ command: Command) -> Bool { isImmediate[Int(command.code)] }

  /// Whether a command may be part of a transaction.
  func isQueueable(_ command: Command) -> Bool {
    if case .act = actions[Int(command.code)] { false } else { true }
  }

  /// Carries out one command; replies leave in the order of the client's commands. False when it must
  /// wait.
  func run(_ command: Command, _ arguments: borrowing Arguments, for client: Client) -> Bool {
    if case .act(let actor) = actions[Int(command.code)] { return actor(client, arguments) }
    client.answer { reply in answer(command, arguments, for: client, &reply) }
    return true
  }

  /// Appends the reply to a command that is answered at once.
  func answer(
    _ command: Command, _ arguments: borrowing Arguments, for client: Client, _ reply: inout Reply
  ) {
    guard case .answer(let handler) = actions[Int(command.code)] else {
      reply.appendError("ERR the command '\(command.name)' is not served")
      return
    }
    do throws(Misuse) {
      try handler(client, arguments, &reply)
    } catch {
      reply.append(error, command, arguments)
    }
  }
}

/// Why a command of the table cannot be carried out as it was given.
enum Misuse: Error {
  case syntax
  case notAnInteger
  case badClientName
  case unknownSubcommand
  /// A known subcommand with the wrong number of arguments.
  case wrongArity(of: String)
  /// Anything else, in Redis' words.
  case other(String)
}

extension Reply {
  /// Appends the error for a command that was given wrongly.
  mutating func append(_ misuse: Misuse, _ command: Command, _ arguments: borrowing Arguments) {
    switch misuse {
    case .syntax: appendError("ERR syntax error")
    case .notAnInteger: appendError("ERR value is not an integer or out of range")
    case .badClientName:
      appendError("ERR Client names cannot contain spaces, newlines or special characters.")
    case .unknownSubcommand: appendUnknownSubcommand(command, arguments[1])
    case .wrongArity(let subcommand):
      let name = "\(command.name)|\(subcommand.lowercased())"
      appendError("ERR wrong number of arguments for '\(name)' command")
    case .other(let text): appendError(text)
    }
  }

  /// Appends lines of help, as Redis lays them out.
  mutating func appendHelp(_ lines: [String]) {
    appendArray(lines.count)
    for line in lines {
      append(UInt8(ascii: "+"))
      append(contentsOf: line.utf8)
      append("\r\n")
    }
  }
}
