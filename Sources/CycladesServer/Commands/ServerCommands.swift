import CycladesReplication
import CycladesStore

/// The commands that concern a connection or this server, and no key: they are answered at once.
///
/// The command table of CycladesStore knows their names, arities and documentation; this table adds
/// what they do. A command of the table that is missing here answers an error that says so.
struct ServerCommands {
  /// Appends the reply, or throws before it appended anything.
  typealias Handler = @Sendable (Client, borrowing Arguments, inout Reply) throws(Misuse) -> Void

  /// Handlers by command code.
  private let handlers: [Handler?]

  init() {
    var handlers = [Handler?](repeating: nil, count: Int(Command.all.map(\.code).max() ?? 0) + 1)
    for (name, handler) in Self.named {
      guard let command = Command.all.first(where: { $0.name == name }) else {
        preconditionFailure("\(name) is missing in the command table")
      }
      handlers[Int(command.code)] = handler
    }
    self.handlers = handlers
  }

  private static let named: [(String, Handler)] = [
    ("ping", ping), ("echo", echo), ("hello", hello), ("auth", auth), ("select", select),
    ("quit", quit), ("reset", reset), ("time", time), ("wait", wait), ("readonly", readOnly),
    ("readwrite", readWrite), ("asking", asking), ("command", command), ("client", client),
    ("config", config), ("info", info), ("cluster", cluster), ("cyclades", cyclades),
  ]

  /// Answers one command; replies leave in the order of the client's commands.
  func run(_ command: Command, _ arguments: borrowing Arguments, for client: Client) {
    client.answer { reply in
      guard let handler = handlers[Int(command.code)] else {
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
