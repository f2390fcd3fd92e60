package import CycladesReplication
import CycladesStore
package import CycladesTransport
package import Logging

/// A node on a reactor that somebody else runs, turn by turn: what a simulation is made of.
package final class HostedStore {
  private let node: StoreNode
  private let reactor: Reactor

  /// Opens the listeners and the data folder, recovers what is in it, and begins to serve.
  package init(
    _ configuration: StoreServerConfiguration, on reactor: Reactor, logger: Logger
  ) throws {
    try configuration.validate()
    self.reactor = reactor
    node = try StoreNode(configuration, reactor: reactor, logger: logger) {
      try configuration.makeHost($0, $1, reactor: reactor, logger: logger)
    }
    do {
      try node.start()
    } catch {
      node.release()
      throw error
    }
  }

  /// Why the node stopped by itself, if it did.
  package var failure: ReplicationError? { node.failure }

  /// All shards, and behind them the group that keeps the map of the cluster, as this node sees them.
  package var groups: [GroupStatus] { node.host.groups }

  /// The digest of this node's copy of a shard; `nil` where it has none.
  package func digest(of shard: UInt32) -> UInt64? { node.host.shard(shard)?.digest }

  /// What comparing states with those of other nodes has found.
  package var audits: AuditCounts {
    (node.host as? ReplicaHost)?.logStatus.audits ?? AuditCounts()
  }

  /// Lets go of everything, when the host under it has crashed: nothing is sent or written any more.
  package func abandon() {
    node.rebalancer?.stop()
    (node.host as? ReplicaHost)?.abandon()
    node.release()
  }
}
