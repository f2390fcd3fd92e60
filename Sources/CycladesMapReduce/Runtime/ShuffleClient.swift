internal import CycladesTransport

/// The connections on which a worker pulls from others: one per peer, made when it is needed.
final class ShuffleClient: Endpoint {
  private let reactor: Reactor
  private var job: UInt64 = 0
  private var token: UInt64 = 0
  private var connections: [WorkerID: ConnectionID] = [:]
  private var peers: [ConnectionID: WorkerID] = [:]
  /// What is to be sent on connections that are not open yet.
  private var early: [ConnectionID: [Frame]] = [:]
  /// What the answers go to.
  var fetch: ShuffleFetch?
  /// Called when there may be something to do.
  var wake: () -> Void = {}

  init(on reactor: Reactor) { self.reactor = reactor }

  /// Pulls for a job from now on.
  func serve(job: UInt64, token: UInt64) {
    if job == self.job && token == self.token { return }
    self.job = job
    self.token = token
    for connection in peers.keys { reactor.close(connection, flush: false) }
    // At once: pulls of the next job must not go to connections that are being closed.
    (connections, peers, early) = ([:], [:], [:])
  }

  func send(_ pull: ShuffleFetch.Pull, partition: Int) {
    var frame = Frame(.pull, job: job)
    frame.map = pull.map
    frame.attempt = pull.source.attempt
    frame.partition = partition
    frame.sequence = pull.sequence
    frame.extra = UInt64(pull.credit)
    let connection = connection(to: pull.source)
    if early[connection]?.append(frame) == nil { reactor.send(connection, frame) }
  }

  private func connection(to source: PeerSource) -> ConnectionID {
    if let connection = connections[source.worker] { return connection }
    let connection = reactor.connect(
      to: source.address, mode: .frames(maximumSize: Frame.maximumSize),
      endpoint: self)
    connections[source.worker] = connection
    peers[connection] = source.worker
    var greeting = Frame(.greet, job: job)
    greeting.extra = token
    early[connection] = [greeting]
    return connection
  }

  func opened(_ connection: ConnectionID) {
    for frame in early.removeValue(forKey: connection) ?? [] { reactor.send(connection, frame) }
  }

  func received(_ connection: ConnectionID, frame bytes: Bytes) {
    defer { wake() }
    do {
      if Frame.kind(of: bytes) == .block {
        let block = try Block(verifying: bytes)
        guard block.name.job == job else { return }
        fetch?.take(block, now: reactor.now.nanoseconds)
        return
      }
      let frame = try Frame(verifying: bytes)
      guard frame.job == job, frame.partition == fetch?.partition else { return }
      switch frame.kind {
      case .pulled:
        fetch?.pulled(map: frame.map, attempt: frame.attempt, total: Int(clamping: frame.extra))
      case .gone: fetch?.gone(map: frame.map, attempt: frame.attempt)
      default: reactor.close(connection, flush: false, reason: .protocolViolation)
      }
    } catch {
      // Damaged on the way: the connection goes, and what is missing is pulled again.
      reactor.close(connection, flush: false, reason: .protocolViolation)
    }
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    guard let peer = peers.removeValue(forKey: connection) else { return }
    connections[peer] = nil
    early[connection] = nil
    fetch?.lost(peer)
    wake()
  }
}
