import CycladesPaxos
import CycladesTransport
import Logging

/// What a link or the listener for peers reports to.
protocol PeerHost: AnyObject {
  var reactor: Reactor { get }
  var logger: Logger { get }
  /// This node's introduction, the first frame on every connection in both directions.
  func sendHello(_ connection: ConnectionID)
  /// Judges a first frame: who it is from, or why it is refused.
  func recognise(_ frame: Bytes) -> Result<NodeID, PeerRefusal>
  func opened(_ peer: NodeID)
  func lost(_ peer: NodeID)
  /// A frame after the first; false closes the connection.
  func received(_ frame: Bytes, from peer: NodeID) -> Bool
}

/// Why a peer was not recognised.
struct PeerRefusal: Error {
  var reason: String
}

/// The frames that peers exchange.
enum PeerFrames {
  /// A connection whose other side has not introduced itself by then is closed: its process may be
  /// paused, or its machine gone without a word, and one who has nothing to send never learns that.
  static let helloTimeout = Duration.seconds(2)

  /// The largest frame: an entry with the largest command, or a promise of a window of them.
  static func mode(_ limits: HostLimits) -> Mode {
    .frames(maximumSize: min(1 << 30, 2 * limits.commandBytesMax + (64 << 20)))
  }
}

/// The connection on which this node talks to one peer. It dials, introduces itself, waits to be
/// recognised, and dials again whenever the connection is lost.
///
/// Each direction of a pair of nodes has a connection of its own, so nobody has to agree on which of
/// two connections to keep.
final class PeerLink: Endpoint {
  let peer: NodeID
  let address: SocketAddress
  private unowned let host: any PeerHost
  private let mode: Mode
  private var connection: ConnectionID?
  private(set) var isReady = false
  private var isStopped = false
  private var delay = PeerLink.delayMin
  private var lastRefusal = ""

  private static let delayMin = Duration.milliseconds(20)
  private static let delayMax = Duration.milliseconds(500)
  /// Beyond this many queued bytes messages are dropped: what matters is said again.
  private static let queueMax = 256 << 20

  init(_ peer: NodeID, _ address: SocketAddress, _ mode: Mode, host: any PeerHost) {
    self.peer = peer
    self.address = address
    self.mode = mode
    self.host = host
  }

  func dial() {
    guard !isStopped, connection == nil else { return }
    connection = host.reactor.connect(
      to: address, mode: mode, timeout: .seconds(2), endpoint: self)
  }

  /// Sends a frame that is complete, by reference.
  func send(_ frame: Bytes) {
    if let connection = open() { host.reactor.send(connection, frame) }
  }

  /// Sends a frame of a header and a body that is copied, both straight into the send queue.
  func send(_ header: inout WireHeader, _ body: RawSpan) {
    if let connection = open() { host.reactor.send(connection, &header, body) }
  }

  private func open() -> ConnectionID? {
    guard isReady, let connection, host.reactor.queuedBytes(connection) < PeerLink.queueMax else {
      return nil
    }
    return connection
  }

  func stop() {
    isStopped = true
    isReady = false
    if let connection { host.reactor.close(connection, flush: false) }
  }

  func opened(_ connection: ConnectionID) {
    host.sendHello(connection)
    host.reactor.schedule(after: PeerFrames.helloTimeout) { [weak self] in
      guard let self, !isReady, connection == self.connection else { return }
      host.reactor.close(connection, flush: false, reason: .timedOut)
    }
  }

  func received(_ connection: ConnectionID, frame: Bytes) {
    guard !isReady else { return }  // Peers say only hello on a connection that was dialled.
    switch host.recognise(frame) {
    case .success(let node) where node == peer:
      isReady = true
      delay = PeerLink.delayMin
      lastRefusal = ""
      host.opened(peer)
    case .success(let node):
      refuse(connection, "node \(node) answers at \(address), where node \(peer) should")
    case .failure(let refusal): refuse(connection, refusal.reason)
    }
  }

  private func refuse(_ connection: ConnectionID, _ reason: String) {
    if reason != lastRefusal {
      lastRefusal = reason
      host.logger.error("peer refused", metadata: ["peer": "\(peer)", "reason": "\(reason)"])
    }
    delay = PeerLink.delayMax
    host.reactor.close(connection, flush: false)
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    self.connection = nil
    if isReady {
      isReady = false
      host.logger.debug("peer lost", metadata: ["peer": "\(peer)", "reason": "\(reason)"])
      host.lost(peer)
    }
    if isStopped { return }
    host.reactor.schedule(after: delay) { [weak self] in self?.dial() }
    delay = min(delay * 2, PeerLink.delayMax)
  }
}

/// The connections on which peers talk to this node.
final class PeerListener: Endpoint {
  private unowned let host: any PeerHost
  private var listener: Listener?
  private var peers: [ConnectionID: NodeID?] = [:]
  /// Said once, however often the refused one tries again.
  private var lastRefusal = ""

  init(host: any PeerHost) { self.host = host }

  var address: SocketAddress? { listener?.address }

  func listen(on address: SocketAddress, _ mode: Mode) throws(TransportError) {
    listener = try host.reactor.listen(on: address, mode: mode, endpoint: self)
  }

  func stop() {
    listener?.close()
    for connection in peers.keys { host.reactor.close(connection, flush: false) }
  }

  func opened(_ connection: ConnectionID) {
    peers[connection] = .some(nil)
    host.reactor.schedule(after: PeerFrames.helloTimeout) { [weak self] in
      guard let self, let known = peers[connection], known == nil else { return }
      host.reactor.close(connection, flush: false)
    }
  }

  func received(_ connection: ConnectionID, frame: Bytes) {
    guard let known = peers[connection] else { return }
    if let peer = known {
      if !host.received(frame, from: peer) {
        host.reactor.close(connection, flush: false, reason: .protocolViolation)
      }
      return
    }
    switch host.recognise(frame) {
    case .success(let peer):
      peers[connection] = peer
      host.sendHello(connection)
    case .failure(let refusal):
      if refusal.reason != lastRefusal {
        lastRefusal = refusal.reason
        host.logger.warning(
          "connection refused",
          metadata: [
            "from": "\(host.reactor.peerAddress(connection)?.description ?? "?")",
            "reason": "\(refusal.reason)",
          ])
      }
      // Say who is here before closing: the other side then knows why, too.
      host.sendHello(connection)
      host.reactor.close(connection, flush: true)
    }
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) { peers[connection] = nil }
}
