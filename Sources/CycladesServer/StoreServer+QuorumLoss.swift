public import CycladesPaxos
public import CycladesReplication
public import Logging

extension StoreServer {
  /// Reads the data folder of a node that does not run, for when `lost` nodes will not come back and
  /// took the quorum with them; ``CycladesReplication/QuorumLoss`` has what can be done then, and what
  /// that may cost.
  public static func quorumLoss(
    of configuration: StoreServerConfiguration, lost: Set<NodeID>, logger: Logger
  ) throws -> QuorumLoss {
    try configuration.validate()
    let host = configuration.makeHostConfiguration(try configuration.makeShardMap())
    return try QuorumLoss(host, lost: lost, logger: logger) { configuration.makeMachine($0) }
  }
}
