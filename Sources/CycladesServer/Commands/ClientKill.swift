import CycladesReplication
import CycladesStore
import CycladesTransport

/// CLIENT KILL: closes connections at once. What they asked for and was not answered yet may or may
/// not be carried out, as after any lost connection.
extension ServerCommands {
  /// CLIENT KILL ip:port, or CLIENT KILL with filters that all must hold.
  static func kill(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    if arguments.count == 3 {
      let address = arguments.string(2)
      guard let victim = client.node.clients.byAge.first(where: { $0.address == address }) else {
        throw .other("ERR No such client")
      }
      victim.cut(by: client)
      reply.appendOK()
      return
    }
    guard arguments.count.isMultiple(of: 2) else { throw .syntax }
    var filter = KillFilter()
    for index in stride(from: 2, to: arguments.count, by: 2) {
      try filter.add(arguments, at: index)
    }
    let victims = client.node.clients.byAge.filter {
      filter.matches($0) && ($0 !== client || !filter.skipsCaller)
    }
    for victim in victims { victim.cut(by: client) }
    reply.appendInteger(Int64(victims.count))
  }
}

/// Which connections CLIENT KILL is to close.
private struct KillFilter {
  private var id: UInt64?
  private var address: String?
  private var localAddress: String?
  private var listens: Bool?
  /// A kind of connection that there is none of here, such as replicas.
  private var matchesNone = false
  /// As in Redis, filters spare the connection that asks, unless told otherwise.
  private(set) var skipsCaller = true

  mutating func add(_ arguments: borrowing Arguments, at index: Int) throws(Misuse) {
    let value = arguments.string(index + 1)
    switch arguments.string(index).uppercased() {
    case "ID":
      guard let number = arguments.integer(index + 1), number > 0 else {
        throw .other("ERR client-id should be greater than 0")
      }
      id = UInt64(number)
    case "ADDR": address = value
    case "LADDR": localAddress = value
    case "USER":
      guard value == "default" else { throw .other("ERR No such user '\(value.prefix(128))'") }
    case "TYPE":
      switch value.lowercased() {
      case "normal": listens = false
      case "pubsub": listens = true
      case "master", "replica", "slave": matchesNone = true
      default: throw .other("ERR Unknown client type '\(value.prefix(128))'")
      }
    case "SKIPME":
      switch value.lowercased() {
      case "yes": skipsCaller = true
      case "no": skipsCaller = false
      default: throw .syntax
      }
    default: throw .syntax
    }
  }

  func matches(_ client: Client) -> Bool {
    guard !matchesNone else { return false }
    return (id ?? client.id) == client.id && (address ?? client.address) == client.address
      && (localAddress.map { $0 == client.localAddress } ?? true)
      && (listens.map { $0 != client.listening.isEmpty } ?? true)
  }
}

extension Client {
  /// Where the client connected to.
  fileprivate var localAddress: String {
    node.directory.address(of: node.id, for: port)?.description ?? ""
  }

  /// Closes the connection for another client, or after the reply for this one.
  fileprivate func cut(by client: Client) {
    guard self !== client else { return end(isAnswering: true) }
    node.reactor.close(connection, flush: false)
  }
}
