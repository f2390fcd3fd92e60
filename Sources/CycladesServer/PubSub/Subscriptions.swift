import CycladesReplication
import CycladesStore
import CycladesTransport

/// Which clients of this node listen to what.
///
/// Every node is told of every message and delivers it to its own clients, so nodes need not know who
/// listens elsewhere, and a client may listen through any node.
struct Subscriptions {
  /// What a client can listen to; each has names of its own.
  enum Kind: UInt8, CaseIterable {
    case channel, pattern, shardChannel
  }

  private var byName: [[[UInt8]: Set<ConnectionID>]] = Kind.allCases.map { _ in [:] }
  private var patterns: [[UInt8]: GlobPattern] = [:]

  /// How many names of a kind have listeners.
  func count(_ kind: Kind) -> Int { byName[Int(kind.rawValue)].count }

  /// How many clients listen to a name.
  func count(_ kind: Kind, _ name: [UInt8]) -> Int { byName[Int(kind.rawValue)][name]?.count ?? 0 }

  /// The names of a kind that have listeners, in order.
  func names(_ kind: Kind) -> [[UInt8]] {
    byName[Int(kind.rawValue)].keys.sorted { $0.lexicographicallyPrecedes($1) }
  }

  mutating func add(_ kind: Kind, _ name: [UInt8], _ client: ConnectionID) {
    byName[Int(kind.rawValue)][name, default: []].insert(client)
    if kind == .pattern, patterns[name] == nil { patterns[name] = GlobPattern(name) }
  }

  mutating func remove(_ kind: Kind, _ name: [UInt8], _ client: ConnectionID) {
    guard var clients = byName[Int(kind.rawValue)].removeValue(forKey: name) else { return }
    clients.remove(client)
    if !clients.isEmpty {
      byName[Int(kind.rawValue)][name] = clients
    } else if kind == .pattern {
      patterns[name] = nil
    }
  }

  /// Visits who listens to a name.
  func forEach(_ kind: Kind, _ name: [UInt8], _ body: (ConnectionID) -> Void) {
    byName[Int(kind.rawValue)][name]?.forEach(body)
  }

  /// Visits who listens to patterns that match a channel, with the pattern.
  func forEachMatch(of channel: [UInt8], _ body: ([UInt8], Set<ConnectionID>) -> Void) {
    for (name, pattern) in patterns where pattern.matches(channel) {
      body(name, byName[Int(Kind.pattern.rawValue)][name] ?? [])
    }
  }
}

/// What one connection listens to.
struct Listening {
  private var names: [Set<[UInt8]>] = []

  var isEmpty: Bool { names.isEmpty || names.allSatisfy(\.isEmpty) }

  var channels: Set<[UInt8]> { self[.channel] }
  var patterns: Set<[UInt8]> { self[.pattern] }
  var shardChannels: Set<[UInt8]> { self[.shardChannel] }

  subscript(_ kind: Subscriptions.Kind) -> Set<[UInt8]> {
    names.isEmpty ? [] : names[Int(kind.rawValue)]
  }

  /// The number that confirmations of a kind tell: channels and patterns count together.
  func count(_ kind: Subscriptions.Kind) -> Int {
    kind == .shardChannel ? shardChannels.count : channels.count + patterns.count
  }

  mutating func add(_ kind: Subscriptions.Kind, _ name: [UInt8]) -> Bool {
    if names.isEmpty { names = Subscriptions.Kind.allCases.map { _ in [] } }
    return names[Int(kind.rawValue)].insert(name).inserted
  }

  mutating func remove(_ kind: Subscriptions.Kind, _ name: [UInt8]) -> Bool {
    names.isEmpty ? false : names[Int(kind.rawValue)].remove(name) != nil
  }
}

/// A published message as nodes pass it on:
///
/// ```
/// | kind u8 | length of the channel's name u32 LE | name | payload |
/// ```
struct PublishedMessage {
  var kind: Subscriptions.Kind
  var channel: [UInt8]
  var payload: [UInt8]

  init(_ kind: Subscriptions.Kind, channel: [UInt8], payload: [UInt8]) {
    self.kind = kind
    self.channel = channel
    self.payload = payload
  }

  /// Reads what a peer passed on; `nil` when it is none.
  init?(_ notice: RawSpan) {
    guard notice.byteCount >= 5, let kind = Subscriptions.Kind(rawValue: notice.byte(at: 0)),
      kind != .pattern
    else { return nil }
    let length = (0..<4).reduce(0) { $0 | Int(notice.byte(at: 1 + $1)) << (8 * $1) }
    guard length <= notice.byteCount - 5 else { return nil }
    self.kind = kind
    channel = [UInt8](copying: notice.extracting(5..<5 + length))
    payload = [UInt8](copying: notice.extracting(5 + length..<notice.byteCount))
  }

  var bytes: [UInt8] {
    var bytes = [kind.rawValue]
    for byte in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: channel.count >> (8 * byte))) }
    return bytes + channel + payload
  }
}
