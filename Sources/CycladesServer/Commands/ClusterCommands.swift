import CycladesPaxos
import CycladesReplication
import CycladesStore
import CycladesTransport

extension ServerCommands {
  /// CLUSTER and its subcommands. Topology is what this node knows; clients that meet a stale leader
  /// are sent on with MOVED.
  static func cluster(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    let node = client.node
    let count = arguments.count
    switch arguments.string(1).uppercased() {
    case "SLOTS" where count == 2: node.appendSlots(for: client, &reply)
    case "SHARDS" where count == 2: node.appendShards(for: client, &reply)
    case "NODES" where count == 2:
      reply.appendVerbatim(node.nodesText(for: client.port), client.session.version)
    case "INFO" where count == 2:
      reply.appendVerbatim(node.clusterInfoText, client.session.version)
    case "MYID" where count == 2: reply.appendBulk(node.directory.clusterID(of: node.id))
    case "KEYSLOT" where count == 3:
      reply.appendInteger(Int64(KeySlot(arguments[2]).rawValue))
    case "COUNTKEYSINSLOT" where count == 3, "GETKEYSINSLOT" where count == 4:
      reply.appendError("ERR keys of slots are not listed inside a transaction")
    case "HELP" where count == 2: reply.appendHelp(clusterHelp)
    case let name where clusterSubcommands.contains(name):
      throw .wrongArity(of: name)
    default:
      throw .unknownSubcommand
    }
  }

  /// CLUSTER COUNTKEYSINSLOT slot and CLUSTER GETKEYSINSLOT slot count: asked of the slot's shard,
  /// wherever that is led. Takes time in proportion to the shard's keys.
  static func clusterKeys(_ client: Client, _ arguments: borrowing Arguments) -> Bool? {
    let isCount = arguments.equals(1, "COUNTKEYSINSLOT") && arguments.count == 3
    guard isCount || arguments.equals(1, "GETKEYSINSLOT") && arguments.count == 4 else {
      return nil
    }
    let limit = isCount ? nil : arguments.integer(3)
    guard let number = arguments.integer(2), let slot = UInt16(exactly: number),
      let slot = KeySlot(rawValue: slot), isCount || limit.map({ $0 >= 0 }) == true
    else {
      let isNumber = arguments.integer(2) != nil && (isCount || limit != nil)
      client.answer {
        $0.appendError(
          isNumber
            ? "ERR Invalid slot or number of keys" : "ERR value is not an integer or out of range")
      }
      return true
    }
    return client.submit(isReadOnly: true, to: UInt32(client.node.shards.shard(of: slot))) {
      PackedCommand.keys(in: slot, limit: limit.map { Int(min($0, 1 << 20)) })
    } != nil
  }

  private static let clusterSubcommands: Set<String> = [
    "SLOTS", "SHARDS", "NODES", "INFO", "MYID", "KEYSLOT", "COUNTKEYSINSLOT", "GETKEYSINSLOT",
    "HELP",
  ]

  private static let clusterHelp = [
    "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "SLOTS", "    Return slot ranges with the nodes that lead them.",
    "SHARDS", "    Return nodes with the slots that each leads.",
    "NODES", "    Return the nodes with the slots that each leads.",
    "INFO", "    Return the state of the cluster.",
    "MYID", "    Return the id of this node.",
    "KEYSLOT <key>", "    Return the slot of a key.",
    "COUNTKEYSINSLOT <slot>", "    Return the number of keys in a slot.",
    "GETKEYSINSLOT <slot> <count>", "    Return keys of a slot.",
  ]
}

/// The cluster as its clients see it: every node is the master of the slots that it leads.
///
/// Replicas are not listed. They would serve nothing that the master does not, since any node answers
/// reads by asking the leader; and as each node leads some shards and follows in others, clients that
/// file a node as either master or replica (redis-py does) would ask too few nodes for DBSIZE.
extension StoreNode {
  /// Whom to ask for a shard: its leader, or while there is none, a member that may become it.
  private func server(of shard: Int) -> NodeID {
    if let leader = host.leader(of: UInt32(shard)) { return leader }
    let members = (rebalancer?.plan ?? shards).members(of: shard).map(NodeID.init(member:))
    return members.first { directory.isConnected(to: $0) } ?? members[0]
  }

  func appendSlots(for client: Client, _ reply: inout Reply) {
    let ranges = (0..<shards.shardCount).compactMap { shard in
      let node = server(of: shard)
      return directory.address(of: node, for: client.port).map { (shard, node, $0) }
    }
    reply.appendArray(ranges.count)
    for (shard, node, address) in ranges {
      let slots = shards.slots(of: shard)
      reply.appendArray(3)
      reply.appendInteger(Int64(slots.lowerBound))
      reply.appendInteger(Int64(slots.upperBound - 1))
      reply.appendArray(4)
      reply.appendBulk(address.host)
      reply.appendInteger(Int64(address.port))
      reply.appendBulk(directory.clusterID(of: node))
      reply.appendArray(0)
    }
  }

  func appendShards(for client: Client, _ reply: inout Reply) {
    let version = client.session.version
    let nodes = addresses(for: client.port)
    reply.appendArray(nodes.count)
    for (node, address) in nodes {
      let ranges = slotRanges(servedBy: node)
      reply.appendMap(2, version)
      reply.appendBulk("slots")
      reply.appendArray(2 * ranges.count)
      for range in ranges {
        reply.appendInteger(Int64(range.lowerBound))
        reply.appendInteger(Int64(range.upperBound - 1))
      }
      reply.appendBulk("nodes")
      reply.appendArray(1)
      reply.appendMap(7, version)
      reply.appendBulk("id")
      reply.appendBulk(directory.clusterID(of: node))
      reply.appendBulk("port")
      reply.appendInteger(Int64(address.port))
      reply.appendBulk("ip")
      reply.appendBulk(address.host)
      reply.appendBulk("endpoint")
      reply.appendBulk(address.host)
      reply.appendBulk("role")
      reply.appendBulk("master")
      reply.appendBulk("replication-offset")
      reply.appendInteger(0)
      reply.appendBulk("health")
      reply.appendBulk(directory.isConnected(to: node) ? "online" : "failed")
    }
  }

  /// One line a node.
  func nodesText(for port: Client.Port) -> String {
    var text = ""
    for (node, address) in addresses(for: port) {
      let isConnected = directory.isConnected(to: node)
      let flags = node == id ? "myself,master" : isConnected ? "master" : "master,fail"
      let peerPort = peerAddress(of: node)?.port ?? 0
      var fields = [directory.clusterID(of: node), "\(address)@\(peerPort)", flags, "-"]
      // When it was last pinged and heard, and its configuration epoch: not kept.
      fields += ["0", "0", "0", isConnected ? "connected" : "disconnected"]
      fields += slotRanges(servedBy: node).map { "\($0.lowerBound)-\($0.upperBound - 1)" }
      text += fields.joined(separator: " ") + "\n"
    }
    return text
  }

  /// The nodes whose client addresses are known, by number.
  private func addresses(for port: Client.Port) -> [(NodeID, ClientAddress)] {
    knownNodes.compactMap { node in
      directory.address(of: node, for: port).map { (node, $0) }
    }
  }

  /// The slots to ask a node for, neighbouring shards merged.
  private func slotRanges(servedBy node: NodeID) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    for shard in 0..<shards.shardCount where server(of: shard) == node {
      let slots = shards.slots(of: shard)
      if let last = ranges.last, last.upperBound == slots.lowerBound {
        ranges[ranges.count - 1] = last.lowerBound..<slots.upperBound
      } else {
        ranges.append(slots)
      }
    }
    return ranges
  }

  var clusterInfoText: String {
    var led = 0
    var leaders: Set<NodeID> = []
    for shard in 0..<shards.shardCount {
      guard let leader = host.leader(of: UInt32(shard)) else { continue }
      led += shards.slots(of: shard).count
      leaders.insert(leader)
    }
    let fields = [
      ("cluster_enabled", "1"), ("cluster_state", led == KeySlot.count ? "ok" : "fail"),
      ("cluster_slots_assigned", String(KeySlot.count)), ("cluster_slots_ok", String(led)),
      ("cluster_slots_pfail", "0"), ("cluster_slots_fail", String(KeySlot.count - led)),
      ("cluster_known_nodes", String(knownNodes.count)),
      ("cluster_size", String(leaders.count)), ("cluster_current_epoch", "0"),
      ("cluster_my_epoch", "0"),
    ]
    return fields.map { "\($0):\($1)\r\n" }.joined()
  }
}
