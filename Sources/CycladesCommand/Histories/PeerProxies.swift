import CycladesTransport
import Logging

/// Stands between nodes, so that the way from any one to any other can be cut.
///
/// Each ordered pair has a port of its own, where the one reaches the other. While a way is cut its
/// connections stay open and nothing passes in either direction, as when a network loses all packets;
/// what was sent meanwhile passes when the way is open again, as TCP would have sent it again.
final class PeerProxies: Sendable {
  struct Way: Hashable {
    var from: UInt32
    var to: UInt32
  }

  private let thread: ReactorThread
  private let ways: [Way: ProxyWay]
  private let ports: [Way: UInt16]

  /// - Parameter targets: where the nodes listen for their peers.
  init(_ targets: [UInt32: UInt16], logger: Logger) throws {
    var ways: [Way: ProxyWay] = [:]
    for from in targets.keys {
      for (to, port) in targets where to != from {
        ways[Way(from: from, to: to)] = ProxyWay(to: .loopback(port: port))
      }
    }
    self.ways = ways
    let all = ways
    thread = try ReactorThread.start(name: "proxies", logger: logger) { reactor in
      for way in all.values { try way.listen(reactor) }
    }
    ports = ways.mapValues(\.port)
  }

  /// Where a node reaches another; `nil` when it does so without a proxy.
  func port(from: UInt32, to: UInt32) -> UInt16? { ports[Way(from: from, to: to)] }

  /// Cuts these ways, and opens all others.
  func cut(_ cut: Set<Way>) {
    let ways = ways
    thread.mailbox.post { _ in
      for (way, proxy) in ways { proxy.isCut = cut.contains(way) }
    }
  }

  func stop() async {
    thread.stop()
    await thread.finished()
  }
}

/// The connections of one way. Unchecked: touched on the reactor's thread only, but for `port`, which
/// is set before anybody asks.
private final class ProxyWay: Endpoint, @unchecked Sendable {
  private let target: SocketAddress
  private var reactor: Reactor!
  private var listener: Listener!
  private(set) var port: UInt16 = 0
  /// Each end of a connection, by the other.
  private var partners: [ConnectionID: ConnectionID] = [:]
  private var outgoing: Set<ConnectionID> = []

  var isCut = false {
    didSet {
      guard oldValue, !isCut else { return }
      for connection in partners.keys { reactor.resumeReading(connection) }
    }
  }

  init(to target: SocketAddress) { self.target = target }

  func listen(_ reactor: Reactor) throws {
    self.reactor = reactor
    listener = try reactor.listen(on: .loopback(), endpoint: self)
    port = listener.address.port
  }

  func opened(_ connection: ConnectionID) {
    if outgoing.contains(connection) {
      if let incoming = partners[connection] { reactor.resumeReading(incoming) }
      return
    }
    let other = reactor.connect(to: target, timeout: .seconds(2), endpoint: self)
    outgoing.insert(other)
    partners[connection] = other
    partners[other] = connection
    reactor.pauseReading(connection)
  }

  func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
    guard let other = partners[connection] else { return Progress(consumed: bytes.byteCount) }
    if isCut {
      reactor.pauseReading(connection)
      return Progress(consumed: 0)
    }
    reactor.send(other, copying: bytes)
    return Progress(consumed: bytes.byteCount)
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    outgoing.remove(connection)
    guard let other = partners.removeValue(forKey: connection) else { return }
    partners[other] = nil
    reactor.close(other, flush: true)
  }
}
