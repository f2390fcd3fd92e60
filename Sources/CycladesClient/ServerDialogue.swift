package import CycladesTransport

/// One connection to one server, for those who ask one question after the other: tools.
package struct ServerDialogue: ~Copyable {
  private var connection: Connection
  private var parser = ReplyParser()
  private var items: [ReplyParser.Item] = []

  /// Connects, and chooses RESP3.
  package static func begin(
    with address: SocketAddress, on executor: ReactorExecutor, timeout: Duration
  ) async throws -> ServerDialogue {
    var dialogue = ServerDialogue(
      connection: try await Connection.connect(to: [address], on: executor, timeout: timeout))
    _ = try await dialogue.ask(["HELLO", "3"], within: timeout)
    return dialogue
  }

  private init(connection: consuming Connection) { self.connection = connection }

  /// Sends a command and waits for its reply.
  ///
  /// - Throws: `StoreServerError` when that is an error, `TransportError` when there is none in time.
  package mutating func ask(_ words: [String], within limit: Duration) async throws -> StoreReply {
    var request: [UInt8] = []
    RequestEncoding.appendHead(words.count, to: &request)
    for word in words { RequestEncoding.append(word, to: &request) }
    try await connection.write(request)
    while items.isEmpty {
      guard let bytes = try await connection.next(within: limit) else {
        throw StoreServerError("CLOSED the server closed the connection")
      }
      items = try parser.take(bytes.span)
    }
    switch items.removeFirst() {
    case .reply(let reply), .push(let reply): return reply
    case .failure(let error): throw error
    }
  }
}
