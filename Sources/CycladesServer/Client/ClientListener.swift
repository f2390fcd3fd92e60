import CycladesTransport

/// Receives what happens on the connections of one client port and hands it to their clients.
final class ClientListener: Endpoint {
  /// From before the reactor's first turn until the node has drained: strong, since a weak reference
  /// would make every use of the node slower.
  var node: StoreNode?
  private let port: Client.Port

  init(_ port: Client.Port) {
    self.port = port
  }

  func opened(_ connection: ConnectionID) { node?.opened(connection, port) }

  func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
    // A refused connection is closing; what it still sends is dropped.
    node?.clients[connection]?.received(bytes) ?? Progress(consumed: bytes.byteCount)
  }

  func inputEnded(_ connection: ConnectionID) -> InputEnd {
    node?.clients[connection]?.inputEnded() ?? .close
  }

  func drained(_ connection: ConnectionID) { node?.clients[connection]?.resumeIfPossible() }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    node?.closed(connection, reason)
  }
}
