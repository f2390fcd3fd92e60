import CycladesPaxos
import CycladesReplication
import CycladesStore
import CycladesTransport
import Logging

/// What the rebalancer works on; `ReplicaHost` is one.
protocol RebalancerHost: ShardHost {
  func setPeer(_ peer: NodeID, _ address: SocketAddress)
  func propose(members: [Member], of group: UInt32) throws(ReplicationError)
  func transferLeadership(of group: UInt32, to node: NodeID) throws(ReplicationError)
  func machine(of group: UInt32) -> (any StateMachine)?
}

extension ReplicaHost: RebalancerHost {}

/// Brings the shards to where the cluster map wants them: on each node, for the shards it leads.
///
/// Nobody directs this. Every node has a copy of the map, from which the plan follows; the leader of
/// a shard compares the plan with the shard's members and takes the next step. A leader that is lost
/// in the middle is followed by one that sees the same plan.
final class Rebalancer {
  /// The group of the map, behind those of the shards.
  let group: UInt32
  private let configuration: StoreServerConfiguration
  private unowned let host: any RebalancerHost
  private let reactor: Reactor
  private let logger: Logger
  private var planned: (epoch: UInt64, plan: ShardMap?)?
  private var refusals: [UInt32: String] = [:]
  private var announcedAt: Instant?
  /// The map has named this node since it was started.
  private var wasNamed = false
  private var absences = Absences()
  private var isStopped = false

  private static let interval = Duration.milliseconds(200)
  /// In seconds.
  private static let announceInterval = 2
  /// Shards that one node brings new replicas to at a time; the others wait.
  private static let movesMax = 2

  init(
    _ configuration: StoreServerConfiguration, _ host: any RebalancerHost, reactor: Reactor,
    logger: Logger
  ) {
    self.configuration = configuration
    self.host = host
    self.reactor = reactor
    self.logger = logger
    group = UInt32(configuration.shards)
  }

  /// This node's copy of the map; `nil` until it was given one.
  var map: ClusterMap? { host.machine(of: group) as? ClusterMap }

  /// Where the shards should be, by the map as it is now.
  var plan: ShardMap? {
    guard let map else { return nil }
    if planned?.epoch != map.epoch {
      planned = (map.epoch, map.plan(shardCount: configuration.shards))
    }
    return planned?.plan
  }

  /// Submits a change of the map, which is made unless the map refuses it; looking at the map tells.
  func submit(_ change: String) {
    host.write(group, RequestContext(a: 0, b: 0), Array(change.utf8).rawSpan)
  }

  func start() { tick() }

  func stop() { isStopped = true }

  private func tick() {
    if isStopped { return }
    announce()
    if let map {
      meet(map)
      judge(map)
      move(map)
    }
    reactor.schedule(after: Self.interval) { [self] in tick() }
  }

  /// Has the map say that this node is there, and where.
  private func announce() {
    let address = "\(configuration.peers[configuration.node] ?? configuration.peerListen!)"
    if let own = map?.node(configuration.node.rawValue) {
      if own.address == address, own.zone == configuration.zone {
        wasNamed = true
        return
      }
    } else if wasNamed {
      // It was removed, and stays so until it is started again.
      return
    }
    let now = reactor.now
    if let announcedAt, announcedAt.seconds(until: now) < Self.announceInterval { return }
    announcedAt = now
    let zone = configuration.zone.isEmpty ? "" : " \(configuration.zone)"
    submit("join \(configuration.node.rawValue) \(address)\(zone)")
  }

  /// Where this node leads the map: has it say who is away for too long, and who is back.
  private func judge(_ map: ClusterMap) {
    guard let grace = configuration.evictionGrace,
      host.groups.last?.role == .leader
    else {
      absences = Absences()
      return
    }
    let connected = Set(host.peers.filter(\.isConnected).map(\.node.rawValue))
    let verdict = absences.verdict(
      map, own: configuration.node.rawValue, connected: connected, now: reactor.now, grace: grace)
    guard let verdict else { return }
    logger.notice(
      "a node is taken for away, or back again",
      metadata: ["change": "\(verdict)", "grace": "\(grace)"])
    submit(verdict)
  }

  /// Connects to the nodes that the map names.
  private func meet(_ map: ClusterMap) {
    let known = Set(host.peers.map(\.node))
    for node in map.nodes where node.id != configuration.node.rawValue && !node.address.isEmpty {
      let id = NodeID(rawValue: node.id)
      if known.contains(id) { continue }
      // Announced by the node itself in this form, so it can be read.
      if let address = try? SocketAddress(parsing: node.address) { host.setPeer(id, address) }
    }
  }

  /// Takes the next step for each group that this node leads.
  private func move(_ map: ClusterMap) {
    let led = host.groups.filter { $0.leader == configuration.node && $0.role == .leader }
    var moving = led.count { status in
      status.nextMembership != nil
        || status.membership?.members.contains { $0.kind == .learner } == true
    }
    for status in led {
      guard status.nextMembership == nil, let members = status.membership?.members,
        let wanted = wanted(status.id, map),
        let move = ShardMove.next(members, wanted: wanted, leader: configuration.node)
      else { continue }
      if case .propose(let proposed) = move, proposed.count > members.count {
        if moving >= Self.movesMax { continue }
        moving += 1
      }
      take(move, status.id)
    }
  }

  /// Who should be members of a group.
  private func wanted(_ id: UInt32, _ map: ClusterMap) -> [ShardMove.Wish]? {
    if id != group {
      return plan?.members(of: Int(id)).map {
        ShardMove.Wish(node: NodeID(member: $0), votes: true)
      }
    }
    let voters = map.voters()
    return voters.map { ShardMove.Wish(node: NodeID(rawValue: $0), votes: true) }
      + map.nodes.filter { !voters.contains($0.id) }.map {
        ShardMove.Wish(node: NodeID(rawValue: $0.id), votes: false)
      }
  }

  private func take(_ move: ShardMove, _ group: UInt32) {
    do {
      switch move {
      case .propose(let members):
        try host.propose(members: members, of: group)
        logger.info("moving a shard", metadata: ["shard": "\(group)", "members": "\(members)"])
      case .transfer(let node):
        try host.transferLeadership(of: group, to: node)
        logger.info("handing a shard over", metadata: ["shard": "\(group)", "to": "\(node)"])
      }
      refusals[group] = nil
    } catch {
      // It will be tried again; said once.
      if refusals[group] != error.message {
        logger.info("a shard waits", metadata: ["shard": "\(group)", "reason": "\(error)"])
      }
      refusals[group] = error.message
    }
  }
}
