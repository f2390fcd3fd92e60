import CycladesPaxos
import CycladesReplication
import CycladesStore
import CycladesTransport

extension ServerCommands {
  /// CYCLADES STATUS: what this node knows about the cluster, as one line of JSON.
  static func cyclades(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    switch arguments.string(1).uppercased() {
    case "STATUS" where arguments.count == 2:
      reply.appendBulk(client.node.status.json())
    case "STATUS":
      throw .wrongArity(of: "status")
    default:
      throw .unknownSubcommand
    }
  }
}

extension StoreNode {
  /// What this node knows about the cluster.
  var status: StatusReport {
    let log = host.logStatus
    return StatusReport(
      cluster: configuration.cluster, node: id.rawValue, version: ServerVersion.cyclades,
      uptimeSeconds: uptimeSeconds, clients: clients.count,
      nodes: configuration.peers.keys.sorted().map { node in
        StatusReport.Node(
          id: node.rawValue, peerAddress: configuration.peers[node]!.description,
          clusterAddress: directory.address(of: node, for: .cluster)?.description,
          plainAddress: directory.address(of: node, for: .plain)?.description,
          isConnected: directory.isConnected(to: node))
      },
      shards: host.groups.map { group in
        let slots = shards.slots(of: Int(group.id))
        return StatusReport.Shard(
          id: group.id, firstSlot: slots.lowerBound, lastSlot: slots.upperBound - 1,
          members: group.members.map(\.rawValue), leader: group.leader?.rawValue,
          role: group.role.map { "\($0)" } ?? "none",
          ballot: "\(group.ballot.round).\(group.ballot.node.rawValue)",
          commit: group.commit, applied: group.applied, lag: group.commit - group.applied,
          keys: host.shard(group.id)?.keyCount ?? 0)
      },
      log: StatusReport.Log(
        bytes: log.byteCount, segments: log.segmentCount, syncs: log.writes))
  }
}
