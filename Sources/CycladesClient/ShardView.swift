/// What a client knows about one shard: its slots, who leads it, and the session it has there.
///
/// Belongs to its client's actor.
final class ShardView {
  let slots: ClosedRange<Int>
  var leader: NodeAddress

  /// The session, once the shard has given its number out.
  private(set) var session: UInt64?
  var isOpening = false
  /// Calls that wait for the session, or for room in its window.
  var waiting: [Call] = []
  private var next: UInt64 = 1
  /// Commands of the session without an answer, in order: a sequence is added at the end.
  private var outstanding: [UInt64] = []

  /// How many commands of a session may be without acknowledgement; half of what a shard allows.
  static let windowMax: UInt64 = 512

  init(slots: ClosedRange<Int>, leader: NodeAddress) {
    self.slots = slots
    self.leader = leader
  }

  /// Every sequence below it is answered or given up.
  var floor: UInt64 { outstanding.first ?? next }

  /// Whether one more command may be numbered.
  var hasRoom: Bool { session != nil && next - floor < Self.windowMax }

  func begin(_ session: UInt64) {
    self.session = session
    isOpening = false
    next = 1
    outstanding = []
  }

  /// Forgets a session that the shard does not know any more.
  func lose(_ session: UInt64) {
    if self.session == session { self.session = nil }
  }

  /// Gives out the next number.
  func number() -> SessionNumber? {
    guard hasRoom, let session else { return nil }
    defer { next += 1 }
    outstanding.append(next)
    return SessionNumber(shard: self, session: session, sequence: next)
  }

  /// A command was answered, or given up.
  func complete(_ number: SessionNumber) {
    guard number.session == session else { return }
    if let index = outstanding.firstIndex(of: number.sequence) { outstanding.remove(at: index) }
  }
}

/// Where a node listens for clients.
struct NodeAddress: Hashable, CustomStringConvertible {
  var host: String
  var port: Int

  var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

  init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  /// Reads `host:port`; `nil` when it is not that.
  init?(_ text: Substring) {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
      (1...65_535).contains(port)
    else { return nil }
    var host = text[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    guard !host.isEmpty else { return nil }
    self.init(host: String(host), port: port)
  }
}

/// Which shard has a slot, as the nodes tell.
struct Topology {
  private(set) var shards: [ShardView] = []
  /// By slot, the index into `shards`.
  private var owners: [Int32] = []
  private(set) var nodes: [NodeAddress] = []

  var isKnown: Bool { !shards.isEmpty }

  func shard(of slot: Int) -> ShardView? {
    guard slot < owners.count, owners[slot] >= 0 else { return nil }
    return shards[Int(owners[slot])]
  }

  /// Takes in a reply to CLUSTER SLOTS; shards that there were before keep their sessions. False when
  /// it is none.
  mutating func update(_ reply: StoreReply) -> Bool {
    guard let ranges = reply.array, !ranges.isEmpty else { return false }
    var updated: [ShardView] = []
    for range in ranges {
      guard let fields = range.array, fields.count >= 3, let first = fields[0].integer,
        let last = fields[1].integer, first >= 0, first <= last, last < KeySlot.count,
        let node = fields[2].array, node.count >= 2, let host = node[0].string,
        let port = node[1].integer
      else { return false }
      let address = NodeAddress(host: host, port: port)
      if let known = shard(of: first), known.slots == first...last {
        known.leader = address
        updated.append(known)
      } else {
        updated.append(ShardView(slots: first...last, leader: address))
      }
      if !nodes.contains(address) { nodes.append(address) }
    }
    shards = updated
    owners = [Int32](repeating: -1, count: KeySlot.count)
    for (index, shard) in shards.enumerated() {
      for slot in shard.slots { owners[slot] = Int32(index) }
    }
    return true
  }

  /// Notes a node that was heard of.
  mutating func learn(_ node: NodeAddress) {
    if !nodes.contains(node) { nodes.append(node) }
  }
}
