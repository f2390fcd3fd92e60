import CycladesPaxos
import CycladesReplication
import CycladesRing
import CycladesStore
import CycladesTransport
import Logging

extension StoreServerConfiguration {
  /// The first replicas of each shard: three, or as many as there were nodes.
  var replicas: Int { min(3, founders.count) }

  /// The host that clients are told to use for this node: the one its peers use.
  var announcedHost: String { peers[node]?.host ?? plainListen.host }

  /// The reactor's limits, with room for a few of the largest values under way at a time.
  var reactorForValues: ReactorConfiguration {
    var reactor = reactor
    reactor.poolBudgetBytes = max(reactor.poolBudgetBytes, 8 * maximumValueBytes)
    return reactor
  }

  /// Which nodes hold which shard in a new cluster: a function of the founders' numbers and the shard
  /// count alone, so that every node arrives at the same.
  func makeShardMap() throws -> ShardMap {
    try ShardMap(
      shardCount: shards, replicas: replicas,
      nodes: founders.sorted().map { CycladesRing.Member(id: String($0.rawValue)) })
  }

  /// An empty shard, its table seeded alike on all nodes and for all shards: a SCAN that crosses from
  /// one shard to the next, or that a shard is split under, goes on in the same order.
  func makeShard(_ shard: Int) -> StoreShard {
    StoreShard(seed: Ring.position(of: cluster))
  }

  /// What the replication layer is told of the cluster: a group for each shard, and one for the map.
  func makeHostConfiguration(_ shards: ShardMap) -> HostConfiguration {
    var host = HostConfiguration(
      cluster: cluster, node: node, peers: peers, peerListen: peerListen ?? peers[node]!,
      directory: directory,
      groups: (0..<self.shards).map { shard in
        GroupConfiguration(
          id: UInt32(shard), members: shards.members(of: shard).map(NodeID.init(member:)))
      } + [GroupConfiguration(id: UInt32(self.shards), members: founders.sorted())])
    host.limits = hostLimits
    host.lease = lease
    // A command has other arguments beside its largest; more than that are refused as too large.
    host.limits.commandBytesMax = maximumValueBytes + (1 << 20)
    host.limits.requestBytesPendingMax = max(
      host.limits.requestBytesPendingMax, 2 * host.limits.commandBytesMax)
    host.limits.patienceNanoseconds = UInt64(max(patience / .nanoseconds(1), 0))
    return host
  }

  /// The initial state of a group.
  func makeMachine(_ group: UInt32) -> any StateMachine {
    group < UInt32(shards)
      ? makeShard(Int(group)) : ClusterMap(founders: founders.map(\.rawValue))
  }

  /// Opens the replication layer for every shard.
  func makeHost(
    _ announcement: NodeAnnouncement, _ shards: ShardMap, reactor: Reactor, logger: Logger
  ) throws -> any ShardHost {
    var host = makeHostConfiguration(shards)
    host.announcement = announcement.bytes
    return try ReplicaHost(host, reactor: reactor, logger: logger) { makeMachine($0) }
  }
}

extension NodeID {
  /// The node that a member of the placement ring stands for.
  init(member: String) { self.init(rawValue: UInt32(member)!) }
}

extension ReplicaHost: ShardHost {
  func shard(_ group: UInt32) -> StoreShard? { machine(of: group) as? StoreShard }
}
