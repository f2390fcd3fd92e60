internal import CycladesTransport
internal import Logging

/// A connection to whichever node of a cluster leads, found and kept by trying.
///
/// Tries the nodes it knows one after the other. A node that does not lead says who does, and every node
/// tells of all the others, so that one address is enough to begin with. A node that says nothing for a
/// while is given up like one that is gone: it may be stopped, and another one lead.
final class NodeLink: Endpoint {
  private let reactor: Reactor
  private var nodes: [SocketAddress]
  private var next = 0
  private var connection: ConnectionID?
  private var isOpen = false
  /// Looks at the clock since a node was last heard; not times, since a worker's own code may keep its
  /// reactor busy for long.
  private var silentLooks = 0
  private var isClosed = false
  /// When a node last took part, that is, did not send us elsewhere.
  private(set) var lastServed = Instant.current()

  /// A node is there: say hello.
  var greet: () -> Void = {}
  /// A frame that is for the user of the link.
  var take: (Frame) throws -> Void = { _ in }
  /// The node that served is gone, or leads no more.
  var lost: () -> Void = {}
  private var isServed = false

  /// Between two tries, and after how many looks without a word, each a quarter of a second after the
  /// one before, a node is given up; nodes say something twice a second.
  private static let pause = Duration.milliseconds(50)
  private static let patience = 6

  init(_ nodes: [SocketAddress], on reactor: Reactor) {
    self.nodes = nodes
    self.reactor = reactor
  }

  func start() {
    connect()
    watch()
  }

  func close() {
    isClosed = true
    if let connection { reactor.close(connection, flush: true) }
  }

  /// Sends to the node, if there is one.
  func send(_ frame: Frame) {
    if let connection, isOpen { reactor.send(connection, frame) }
  }

  private func connect() {
    guard !isClosed else { return }
    silentLooks = 0
    connection = reactor.connect(
      to: nodes[next % nodes.count], mode: .frames(maximumSize: Frame.maximumSize),
      timeout: .seconds(2), endpoint: self)
  }

  private func watch() {
    guard !isClosed else { return }
    silentLooks += 1
    if let connection, isOpen, silentLooks > NodeLink.patience {
      reactor.close(connection, flush: false)
    }
    _ = reactor.schedule(after: .milliseconds(250)) { [weak self] in self?.watch() }
  }

  func opened(_ connection: ConnectionID) {
    guard connection == self.connection else { return }
    isOpen = true
    silentLooks = 0
    greet()
  }

  func received(_ connection: ConnectionID, frame bytes: Bytes) {
    guard connection == self.connection, !isClosed else { return }
    silentLooks = 0
    do {
      let frame = try Frame(verifying: bytes)
      switch frame.kind {
      case .elsewhere:
        // The leader comes first, if there is one.
        try learn(frame, isLeaderFirst: frame.extra == 1)
        reactor.close(connection, flush: false)
      case .nodes:
        try learn(frame, isLeaderFirst: false)
        serve()
      default:
        serve()
        try take(frame)
      }
    } catch {
      reactor.logger.warning("node dropped", metadata: ["reason": "\(error)"])
      reactor.close(connection, flush: false, reason: .protocolViolation)
    }
  }

  private func serve() {
    isServed = true
    lastServed = .current()
  }

  private func learn(_ frame: Frame, isLeaderFirst: Bool) throws {
    var reader = PayloadReader(frame.payload)
    let told = try reader.list { try $0.address() }
    let current = nodes[next % nodes.count]
    for node in told where !nodes.contains(node) { nodes.append(node) }
    let wanted = isLeaderFirst ? told.first ?? current : current
    next = nodes.firstIndex(of: wanted) ?? next
    skipsNext = !isLeaderFirst
  }

  /// Whether the node at `next` is the one that was just left.
  private var skipsNext = true

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    guard connection == self.connection else { return }
    self.connection = nil
    isOpen = false
    if skipsNext { next += 1 }
    skipsNext = true
    if isServed {
      isServed = false
      lost()
    }
    guard !isClosed else { return }
    _ = reactor.schedule(after: NodeLink.pause) { [weak self] in self?.connect() }
  }
}
