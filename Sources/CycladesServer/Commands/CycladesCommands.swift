import CycladesPaxos
import CycladesReplication
import CycladesStore
import CycladesTransport

extension ServerCommands {
  /// CYCLADES STATUS: what this node knows about the cluster, as one line of JSON.
  ///
  /// CYCLADES NODES DRAIN|UP|REMOVE id, CYCLADES NODES WEIGHT id hundredths: asks for a change of the
  /// cluster map. It is answered as soon as it is submitted; the status shows when it is made.
  ///
  /// CYCLADES SESSION and CYCLADES ONCE: see `SessionCommands.swift`.
  static func cyclades(_ client: Client, _ arguments: borrowing Arguments) -> Bool {
    if arguments.equals(1, "SESSION") { return client.openSession(arguments) }
    if arguments.equals(1, "ONCE") { return client.once(arguments) }
    client.answer { reply in
      do throws(Misuse) {
        try administer(client, arguments, &reply)
      } catch {
        reply.append(error, Command.named(arguments[0])!, arguments)
      }
    }
    return true
  }

  private static func administer(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    switch arguments.string(1).uppercased() {
    case "STATUS" where arguments.count == 2:
      reply.appendBulk(client.node.status.json())
    case "STATUS":
      throw .wrongArity(of: "status")
    case "NODES" where (4...5).contains(arguments.count):
      client.node.change((2..<arguments.count).map { arguments.string($0).lowercased() }, &reply)
    case "NODES":
      throw .wrongArity(of: "nodes")
    default:
      throw .unknownSubcommand
    }
  }
}

extension StoreNode {
  /// Submits a change of the cluster map that the map, as this node has it, would accept.
  func change(_ words: [String], _ reply: inout Reply) {
    guard let rebalancer, var map = rebalancer.map else {
      return reply.appendError("ERR this node has no map of the cluster yet, ask another")
    }
    if words[0] == "remove", let id = UInt32(words[1]), holds(NodeID(rawValue: id)) {
      return reply.appendError("ERR node \(id) still holds shards: drain it, and wait")
    }
    let change = words.joined(separator: " ")
    guard words[0] != "join" else { return reply.appendError("ERR nodes join by themselves") }
    var verdict = Reply()
    map.apply(
      Array(change.utf8).rawSpan,
      ApplyContext(group: rebalancer.group, slot: 0, time: 0), reply: &verdict)
    if verdict.bytes.first == UInt8(ascii: "+") { rebalancer.submit(change) }
    reply.append(contentsOf: verdict.bytes)
  }

  /// Whether a node is a member of any shard, as far as this node knows.
  private func holds(_ node: NodeID) -> Bool {
    host.groups.prefix(shards.shardCount).contains {
      $0.membership != nil && $0.members.contains(node)
    }
  }

  /// The nodes that should hold a shard; `nil` while this node has no map.
  private func planned(_ shard: UInt32) -> [UInt32]? {
    rebalancer?.plan?.members(of: Int(shard)).compactMap { UInt32($0) }
  }

  /// The nodes of the cluster, by number.
  var knownNodes: [NodeID] {
    if let map = rebalancer?.map { return map.nodes.map { NodeID(rawValue: $0.id) } }
    return Set(configuration.peers.keys).union(host.peers.map(\.node)).union([id]).sorted()
  }

  /// Where a node listens for its peers; `nil` while that is not known.
  func peerAddress(of node: NodeID) -> SocketAddress? {
    host.peers.first { $0.node == node }?.address ?? configuration.peers[node]
  }

  /// What this node knows about the cluster.
  var status: StatusReport {
    let log = host.logStatus
    return StatusReport(
      cluster: configuration.cluster, node: id.rawValue, version: ServerVersion.cyclades,
      uptimeSeconds: uptimeSeconds, clients: clients.count,
      founders: configuration.founders.map(\.rawValue).sorted(),
      nodes: knownNodes.map { node in
        StatusReport.Node(
          id: node.rawValue, peerAddress: peerAddress(of: node)?.description ?? "",
          weight: rebalancer?.map?.node(node.rawValue)?.weight ?? 100,
          isDraining: rebalancer?.map?.node(node.rawValue)?.isDraining ?? false,
          clusterAddress: directory.address(of: node, for: .cluster)?.description,
          plainAddress: directory.address(of: node, for: .plain)?.description,
          isConnected: directory.isConnected(to: node))
      },
      shards: host.groups.prefix(shards.shardCount).map { group in
        let slots = shards.slots(of: Int(group.id))
        return StatusReport.Shard(
          id: group.id, firstSlot: slots.lowerBound, lastSlot: slots.upperBound - 1,
          members: group.membership == nil
            ? planned(group.id) ?? group.members.map(\.rawValue) : group.members.map(\.rawValue),
          planned: planned(group.id), leader: group.leader?.rawValue,
          role: group.role.map { "\($0)" } ?? "none",
          ballot: "\(group.ballot.round).\(group.ballot.node.rawValue)",
          commit: group.commit, applied: group.applied, lag: group.commit - group.applied,
          keys: host.shard(group.id)?.keyCount ?? 0)
      },
      log: StatusReport.Log(
        bytes: log.byteCount, segments: log.segmentCount, syncs: log.writes))
  }
}
