import CycladesReplication
import CycladesTransport

/// A client with one connection and one operation at a time: `GET`, or `SET ... GET`, which answers
/// with the value that was there before.
///
/// It believes what it is told: an error that says *not done* makes an operation void, and any other
/// end without an answer leaves open whether it was done.
final class RegisterClient: Endpoint {
  private let index: Int
  private unowned let cluster: NodeCluster
  private let reactor: Reactor
  private var connection: ConnectionID?
  private var operation: Int?
  private var operationCount = 0
  private var isStopped = false
  /// Operations that were answered.
  private(set) var answered = 0

  private static let timeout = Duration.seconds(3)

  init(_ index: Int, _ cluster: NodeCluster, _ reactor: Reactor) {
    self.index = index
    self.cluster = cluster
    self.reactor = reactor
  }

  func start() { connect() }

  func stop() { isStopped = true }

  private func connect() {
    let node = cluster.random.index(below: cluster.nodes.count)
    connection = reactor.connect(
      to: cluster.plainAddress(node), timeout: .seconds(1), endpoint: self)
  }

  private func later(_ body: @escaping (RegisterClient) -> Void) {
    let delay = Duration.microseconds(Int64(cluster.random.uniform(100...4_000)))
    reactor.schedule(after: delay) { [weak self] in
      if let self { body(self) }
    }
  }

  func opened(_ connection: ConnectionID) { begin() }

  private func begin() {
    guard !isStopped, let connection, operation == nil else { return }
    let key = cluster.random.index(below: cluster.options.keys)
    let value = cluster.history.operations.count + 1
    let action: Action = cluster.random.chance(500) ? .read : .write(value)
    operation = cluster.history.begin(action, key: key)
    operationCount += 1
    let words =
      switch action {
      case .read: ["GET", "key:\(key)"]
      default: ["SET", "key:\(key)", String(value), "GET"]
      }
    var request = "*\(words.count)\r\n"
    for word in words { request += "$\(word.utf8.count)\r\n\(word)\r\n" }
    reactor.send(connection, copying: request)
    let number = operationCount
    reactor.schedule(after: Self.timeout) { [weak self] in
      guard let self, number == operationCount, operation != nil else { return }
      reactor.close(connection, flush: false)
    }
  }

  func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
    let text = String(decoding: [UInt8](copying: bytes), as: UTF8.self)
    guard text.hasSuffix("\r\n"), let current = operation else { return Progress(consumed: 0) }
    let lines = text.split(separator: "\r\n", omittingEmptySubsequences: false).dropLast()
    let first = lines[0]
    switch first.first {
    case "$":
      // `$-1`, or `$length` and the value in a line of its own.
      let isNull = first == "$-1"
      guard isNull || lines.count > 1 else { return Progress(consumed: 0) }
      finish(current, found: isNull ? 0 : Int(lines[1]) ?? -1)
    case "_": finish(current, found: 0)
    case "-": refuse(current, String(first.dropFirst()))
    default: cluster.fail(.order, "a client got \(text.debugDescription)")
    }
    return Progress(consumed: bytes.byteCount)
  }

  private func finish(_ current: Int, found: Int) {
    cluster.history.finish(current, found: found)
    answered += 1
    next()
  }

  private func refuse(_ current: Int, _ error: String) {
    let code = error.prefix { $0 != " " }
    switch code {
    case "CLUSTERDOWN", "TRYAGAIN":
      cluster.statistics.refused += 1
      cluster.history.abandon(current)
    case "UNKNOWNOUTCOME":
      cluster.statistics.unknown += 1
    default:
      cluster.fail(.order, "a client was told: \(error)")
    }
    next()
  }

  private func next() {
    operation = nil
    later { $0.begin() }
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    self.connection = nil
    if operation != nil {
      cluster.statistics.unknown += 1
      operation = nil
    }
    if !isStopped { later { $0.connect() } }
  }
}
