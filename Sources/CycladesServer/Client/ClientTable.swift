import CycladesTransport

/// The clients of a node, found by connection.
struct ClientTable {
  /// By the connection's slot.
  private var slots: [Client?] = []
  private var lastID: UInt64 = 0
  private(set) var count = 0

  /// All clients, the oldest first.
  var byAge: [Client] { slots.compactMap { $0 }.sorted { $0.id < $1.id } }

  /// The number of the next client.
  mutating func nextID() -> UInt64 {
    lastID += 1
    return lastID
  }

  /// The client of a connection; `nil` when it is gone, whoever has its slot now.
  subscript(_ connection: ConnectionID) -> Client? {
    guard connection.slot < slots.count, let client = slots[connection.slot],
      client.connection == connection
    else { return nil }
    return client
  }

  mutating func insert(_ client: Client) {
    let slot = client.connection.slot
    while slots.count <= slot { slots.append(nil) }
    precondition(slots[slot] == nil, "a slot is free again before it is reused")
    slots[slot] = client
    count += 1
  }

  mutating func remove(_ connection: ConnectionID) -> Client? {
    guard let client = self[connection] else { return nil }
    slots[connection.slot] = nil
    count -= 1
    return client
  }
}
