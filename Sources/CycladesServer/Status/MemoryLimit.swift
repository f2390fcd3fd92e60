import CycladesPaxos
import CycladesStore
import CycladesTransport

/// Whether this node, or another that said so lately, has as many keys and values as it may.
struct MemoryLimit {
  /// In bytes; `nil` is none.
  var limit: Int?
  /// This node has reached its limit.
  private(set) var isReached = false
  /// Nodes that said that they have, and when.
  private var others: [NodeID: Instant] = [:]
  private var toldAt: Instant?

  /// What a notice among nodes begins with that is about memory; published messages begin otherwise.
  private static let mark: UInt8 = 0x4d
  /// How often a node that is full says so, and for how long it is believed.
  private static let interval = Duration.seconds(1)
  private static let validity = Duration.seconds(3)

  init(_ limit: Int?) { self.limit = limit }

  /// Whether commands that may need more memory are refused.
  var isShort: Bool { isReached || !others.isEmpty }

  /// Takes in how much is used; returns what the other nodes are to be told, if anything.
  mutating func measure(_ used: Int, now: Instant) -> [UInt8]? {
    if !others.isEmpty { others = others.filter { now - $0.value < Self.validity } }
    let wasReached = isReached
    isReached = limit.map { used >= $0 } ?? false
    guard isReached != wasReached || isReached && now - (toldAt ?? now) >= Self.interval else {
      return nil
    }
    toldAt = now
    return [Self.mark, isReached ? 1 : 0]
  }

  /// Takes in what another node told; false when it is about something else.
  mutating func heard(_ notice: RawSpan, from node: NodeID, now: Instant) -> Bool {
    guard notice.byteCount == 2, notice.byte(at: 0) == Self.mark else { return false }
    others[node] = notice.byte(at: 1) == 1 ? now : nil
    return true
  }

  /// Reads a size as `CONFIG SET` takes it: bytes, or with k, m, g (thousands) or kb, mb, gb
  /// (1024) behind; `nil` when it is none.
  static func parse(_ text: String) -> Int? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let units: [String: Int] = [
      "": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 1_000_000, "mb": 1 << 20,
      "g": 1_000_000_000, "gb": 1 << 30,
    ]
    guard let number = Int(digits), let unit = units[text.dropFirst(digits.count).lowercased()]
    else { return nil }
    let (bytes, isTooLarge) = number.multipliedReportingOverflow(by: unit)
    return isTooLarge ? nil : bytes
  }
}

extension StoreNode {
  /// The bytes of keys and values that this node holds.
  var usedBytes: Int { copies.reduce(0) { $0 + $1.usedBytes } }

  /// Looks at the memory in use, where there is a limit; once a turn.
  func measureMemory() {
    guard memory.limit != nil || memory.isShort else { return }
    if let notice = memory.measure(usedBytes, now: reactor.now) { host.notify(notice.rawSpan) }
  }
}
