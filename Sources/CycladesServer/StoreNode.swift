import CycladesPaxos
import CycladesReplication
import CycladesRing
import CycladesStore
import CycladesTransport
import Glibc
import Logging

/// Everything of one server that lives on its reactor's thread: the shards' replicas, both client
/// listeners and the clients.
final class StoreNode {
  let configuration: StoreServerConfiguration
  let reactor: Reactor
  let shards: ShardMap
  let host: any ShardHost
  let directory: NodeDirectory
  /// `nil` where a test put another host in place.
  let rebalancer: Rebalancer?
  let commands = ServerCommands()
  let parser: RequestParser
  /// For requests that were queued by MULTI, which are parsed again while others are being handled.
  let queuedParser: RequestParser
  let windowLimits: ReplyWindow.Limits

  private(set) var clients = ClientTable()
  var subscriptions = Subscriptions()
  var blocked = BlockedPops()
  var memory: MemoryLimit
  /// The clients served at once.
  var maximumClients: Int
  let crowd: Crowd
  var statistics = ServerStatistics()
  private(set) var handovers = Handovers()

  /// Where replies are put together before they are sent, one at a time.
  private var scratch = Reply()
  private let logger: Logger
  private let startedAt: Instant
  private let listeners: [Listener]
  private let endpoints: [ClientListener]
  private let outcomes = OutcomeReceiver()
  private var whenDrained: (() -> Void)?
  /// Why the node stopped by itself, if it did.
  private(set) var failure: ReplicationError?

  /// Opens the listeners, then the replicas; nothing is served before `start`.
  ///
  /// - Parameter makeHost: makes the replication layer, given what to announce to peers.
  init(
    _ configuration: StoreServerConfiguration, reactor: Reactor, logger: Logger,
    makeHost: (NodeAnnouncement, ShardMap) throws -> any ShardHost
  ) throws {
    self.configuration = configuration
    self.reactor = reactor
    self.logger = logger
    startedAt = reactor.now
    crowd = Crowd(reactor)
    memory = MemoryLimit(configuration.maximumMemoryBytes)
    maximumClients = configuration.maximumClients
    shards = try configuration.makeShardMap()
    var limits = RequestLimits()
    limits.bulkBytesMax = UInt32(configuration.maximumValueBytes)
    parser = RequestParser(limits: limits)
    queuedParser = RequestParser(limits: limits)
    windowLimits = ReplyWindow.Limits(queuedMax: configuration.reactor.sendHighWatermark)

    endpoints = [ClientListener(.cluster), ClientListener(.plain)]
    listeners = [
      try reactor.listen(on: configuration.clusterListen, mode: .stream, endpoint: endpoints[0]),
      try reactor.listen(on: configuration.plainListen, mode: .stream, endpoint: endpoints[1]),
    ]
    let announcement = NodeAnnouncement(
      host: configuration.announcedHost, clusterPort: listeners[0].address.port,
      plainPort: listeners[1].address.port)
    host = try makeHost(announcement, shards)
    directory = NodeDirectory(own: configuration.node, announcement, host)
    rebalancer = (host as? any RebalancerHost).map {
      Rebalancer(configuration, $0, reactor: reactor, logger: logger)
    }
    for endpoint in endpoints { endpoint.node = self }
    outcomes.node = self
    host.delegate = outcomes
  }

  /// Lets go of what refers back to the node; nothing is served afterwards.
  func release() {
    for endpoint in endpoints { endpoint.node = nil }
    outcomes.node = nil
    // Connections that end in an orderly way have taken their clients along already.
    clients = ClientTable()
    subscriptions = Subscriptions()
    blocked = BlockedPops()
  }

  var id: NodeID { configuration.node }

  /// This node's copies of the shards it holds.
  var copies: some Sequence<StoreShard> {
    (0..<UInt32(shards.shardCount)).lazy.compactMap { [host] in host.shard($0) }
  }

  /// The nodes on which every acknowledged write is durable, at least.
  var quorum: Int { configuration.replicas / 2 + 1 }

  var uptimeSeconds: Int { startedAt.seconds(until: reactor.now) }

  /// Where the listeners are bound.
  var addresses: StoreServerAddresses {
    StoreServerAddresses(cluster: listeners[0].address, plain: listeners[1].address)
  }

  /// Begins to serve.
  func start() throws {
    // Before the host's: what is submitted when a pop is tried again then leaves in the same turn.
    reactor.addTurnObserver(outcomes)
    try host.start()
    rebalancer?.start()
    logger.info(
      "serving",
      metadata: [
        "node": "\(id.rawValue)", "cluster.address": "\(addresses.cluster)",
        "plain.address": "\(addresses.plain)", "shards": "\(shards.shardCount)",
      ])
  }

  // MARK: - Clients

  func opened(_ connection: ConnectionID, _ port: Client.Port) {
    guard clients.count < maximumClients, whenDrained == nil else {
      statistics.rejectedConnections += 1
      let refusal = compose { $0.appendError("ERR max number of clients reached") }
      reactor.send(connection, copying: refusal.rawSpan)
      reactor.close(connection, flush: true)
      return
    }
    statistics.connections += 1
    let address = reactor.peerAddress(connection)?.description ?? "?"
    clients.insert(
      Client(
        id: clients.nextID(), connection: connection, port: port, address: address, node: self))
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    guard let client = clients.remove(connection) else { return }
    client.stopListening()
    client.stopWaiting()
    client.stopOwing()
    logger.trace(
      "client gone",
      metadata: ["client.address": "\(client.address)", "reason": "\(reason)"])
    finishDrainIfPossible()
  }

  /// Puts a reply together; its bytes are valid until the next one, and copied when kept longer.
  func compose(_ write: (inout Reply) -> Void) -> [UInt8] {
    // Taken out meanwhile: a command may answer other clients while its own reply is put together.
    var reply = Reply()
    swap(&reply, &scratch)
    reply.removeAll()
    write(&reply)
    defer { swap(&reply, &scratch) }
    return reply.bytes
  }

  // MARK: - Drain

  /// Accepts no more clients, answers what is owed, closes every connection, then calls `done`.
  ///
  /// What is not answered within the configured time is given up: those clients see the connection
  /// close, and must take the outcome for unknown.
  func drain(_ done: @escaping () -> Void) {
    guard whenDrained == nil else { return }
    whenDrained = done
    for listener in listeners { listener.close() }
    for client in clients.byAge { client.end() }
    _ = reactor.schedule(after: configuration.drainTimeout) { [self] in
      for client in clients.byAge { reactor.close(client.connection, flush: false) }
    }
    finishDrainIfPossible()
  }

  private func finishDrainIfPossible() {
    guard let done = whenDrained, clients.count == 0 else { return }
    whenDrained = {}
    rebalancer?.stop()
    host.stop()
    release()
    done()
  }
}

/// Stands between the host, which holds its delegate, and the node, which holds the host.
private final class OutcomeReceiver: BatchDelegate, TurnObserver {
  var node: StoreNode?

  func completed(_ context: RequestContext, _ outcome: Outcome, _ reply: RawSpan) {
    node?.completed(context, outcome, reply)
  }

  func completed(_ contexts: [RequestContext], _ replies: RawSpan) {
    node?.completed(contexts, replies)
  }

  func turnEnding() {
    node?.crowd.count()
    node?.measureMemory()
    node?.retryPops()
  }

  func noticed(_ notice: RawSpan, from peer: NodeID) {
    guard let node, !node.memory.heard(notice, from: peer, now: node.reactor.now) else { return }
    node.noticed(notice)
  }

  func failed(_ error: ReplicationError) { node?.failed(error) }

  func leadershipChanged(_ group: UInt32) { node?.leadershipChanged(group) }
}

extension StoreNode {
  /// The host may be in the middle of a shard's changes: no shard is looked at before the turn ends.
  func completed(_ context: RequestContext, _ outcome: Outcome, _ reply: RawSpan) {
    if let client = clients[ConnectionID(rawValue: context.a)] {
      client.completed(Ticket(context), outcome, reply)
    } else {
      // A client that left meanwhile has no use for its replies; what it popped goes back.
      putBack(context, outcome, reply)
    }
    if !blocked.isEmpty { retryPopsSoon() }
  }

  /// Takes in the replies to a whole request, in which commands of one connection follow each other.
  func completed(_ contexts: [RequestContext], _ replies: RawSpan) {
    var next = 0
    var client: Client?
    _ = SizedItems.forEach(replies) { reply in
      let context = contexts[next]
      next += 1
      let connection = ConnectionID(rawValue: context.a)
      if client?.connection != connection {
        client?.settle()
        client = clients[connection]
      }
      if let client {
        client.take(Ticket(context), .done, reply)
      } else {
        putBack(context, .done, reply)
      }
    }
    client?.settle()
    if !blocked.isEmpty { retryPopsSoon() }
  }

  func failed(_ error: ReplicationError) {
    failure = error
    reactor.stop()
  }

  func leadershipChanged(_ group: UInt32) {
    handovers.changed(group, hasLeader: host.leader(of: group) != nil, reactor.now)
    logger.debug(
      "leader changed",
      metadata: [
        "shard.id": "\(group)", "leader": "\(host.leader(of: group)?.rawValue ?? 0)",
      ])
  }
}

extension Instant {
  /// Whole seconds from here to a later instant.
  func seconds(until later: Instant) -> Int { Int((later - self).components.seconds) }
}
