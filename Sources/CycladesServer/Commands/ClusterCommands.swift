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
      reply.appendError("ERR keys are kept by shard and are not listed by slot")
    case "HELP" where count == 2: reply.appendHelp(clusterHelp)
    case let name where clusterSubcommands.contains(name):
      throw .wrongArity(of: name)
    default:
      throw .unknownSubcommand
    }
  }

  private static let clusterSubcommands: Set<String> = [
    "SLOTS", "SHARDS", "NODES", "INFO", "MYID", "KEYSLOT", "COUNTKEYSINSLOT", "GETKEYSINSLOT",
    "HELP",
  ]

  private static let clusterHelp = [
    "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "SLOTS", "    Return slot ranges with their nodes, the leader first.",
    "SHARDS", "    Return shards with their slots and nodes.",
    "NODES", "    Return the nodes with the slots that each leads.",
    "INFO", "    Return the state of the cluster.",
    "MYID", "    Return the id of this node.",
    "KEYSLOT <key>", "    Return the slot of a key.",
  ]
}

extension StoreNode {
  /// The members of a shard that clients can be sent to, the leader first.
  private func servers(of group: UInt32, _ port: Client.Port) -> [(NodeID, ClientAddress)] {
    let members = shards.members(of: Int(group)).map(NodeID.init(member:))
    let leader = host.leader(of: group)
    let ordered = members.filter { $0 == leader } + members.filter { $0 != leader }
    return ordered.compactMap { node in
      directory.address(of: node, for: port).map { (node, $0) }
    }
  }

  func appendSlots(for client: Client, _ reply: inout Reply) {
    reply.appendArray(shards.shardCount)
    for shard in 0..<shards.shardCount {
      let slots = shards.slots(of: shard)
      let servers = servers(of: UInt32(shard), client.port)
      reply.appendArray(2 + servers.count)
      reply.appendInteger(Int64(slots.lowerBound))
      reply.appendInteger(Int64(slots.upperBound - 1))
      for (node, address) in servers {
        reply.appendArray(4)
        reply.appendBulk(address.host)
        reply.appendInteger(Int64(address.port))
        reply.appendBulk(directory.clusterID(of: node))
        reply.appendArray(0)
      }
    }
  }

  func appendShards(for client: Client, _ reply: inout Reply) {
    let version = client.session.version
    reply.appendArray(shards.shardCount)
    for shard in 0..<shards.shardCount {
      let slots = shards.slots(of: shard)
      let leader = host.leader(of: UInt32(shard))
      let servers = servers(of: UInt32(shard), client.port)
      reply.appendMap(2, version)
      reply.appendBulk("slots")
      reply.appendArray(2)
      reply.appendInteger(Int64(slots.lowerBound))
      reply.appendInteger(Int64(slots.upperBound - 1))
      reply.appendBulk("nodes")
      reply.appendArray(servers.count)
      for (node, address) in servers {
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
        reply.appendBulk(node == leader ? "master" : "replica")
        reply.appendBulk("replication-offset")
        reply.appendInteger(0)
        reply.appendBulk("health")
        reply.appendBulk(directory.isConnected(to: node) ? "online" : "fail")
      }
    }
  }

  /// One line a node, all of them masters: each leads shards, or would at once if it had to.
  func nodesText(for port: Client.Port) -> String {
    var text = ""
    for (node, peer) in configuration.peers.sorted(by: { $0.key < $1.key }) {
      guard let address = directory.address(of: node, for: port) else { continue }
      let isConnected = directory.isConnected(to: node)
      let flags = node == id ? "myself,master" : isConnected ? "master" : "master,fail"
      var fields = [directory.clusterID(of: node), "\(address)@\(peer.port)", flags, "-"]
      // When it was last pinged and heard, and its configuration epoch: not kept.
      fields += ["0", "0", "0", isConnected ? "connected" : "disconnected"]
      fields += slotRanges(ledBy: node).map { "\($0.lowerBound)-\($0.upperBound - 1)" }
      text += fields.joined(separator: " ") + "\n"
    }
    return text
  }

  /// The slots that a node leads, neighbouring shards merged.
  private func slotRanges(ledBy node: NodeID) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    for shard in 0..<shards.shardCount where host.leader(of: UInt32(shard)) == node {
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
      ("cluster_known_nodes", String(configuration.peers.count)),
      ("cluster_size", String(leaders.count)), ("cluster_current_epoch", "0"),
      ("cluster_my_epoch", "0"),
    ]
    return fields.map { "\($0):\($1)\r\n" }.joined()
  }
}
