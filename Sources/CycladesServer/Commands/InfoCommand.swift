import CycladesPaxos
import CycladesReplication
import CycladesStore
import CycladesTransport
import Glibc

/// What the server calls itself.
enum ServerVersion {
  /// The version of Cyclades.
  static let cyclades = "0.1.0"
  /// The version of Redis whose protocol and replies are followed; clients switch features by it.
  static let redis = "7.0.15"
}

/// What the clients of a node did since it started, or since CONFIG RESETSTAT.
struct ServerStatistics {
  var connections: UInt64 = 0
  var rejectedConnections: UInt64 = 0
  var commands: UInt64 = 0
  var protocolErrors: UInt64 = 0
  /// Commands answered with an error that says they were not executed.
  var refusals: UInt64 = 0
  /// Messages that clients of this node published.
  var messages: UInt64 = 0
  /// Elements that were popped for clients that had left, and were put back.
  var popsPutBack: UInt64 = 0
  /// Clients that were closed because they listened but did not read.
  var slowListeners: UInt64 = 0
  /// Commands answered with UNKNOWNOUTCOME.
  var unknownOutcomes: UInt64 = 0

  mutating func note(_ outcome: Outcome) {
    switch outcome {
    case .done: break
    case .notDone: refusals += 1
    case .unknown: unknownOutcomes += 1
    }
  }
}

extension ServerCommands {
  /// INFO [section ...]
  static func info(
    _ client: Client, _ arguments: borrowing Arguments, _ reply: inout Reply
  ) throws(Misuse) {
    var chosen: Set<String> = []
    for index in 1..<max(arguments.count, 1) { chosen.insert(arguments.string(index).lowercased()) }
    let isEverything =
      chosen.isEmpty || !chosen.isDisjoint(with: ["default", "all", "everything"])
    var text = ""
    for section in client.node.infoSections(for: client)
    where isEverything || chosen.contains(section.name.lowercased()) {
      if !text.isEmpty { text += "\r\n" }
      text += "# \(section.name)\r\n"
      for (name, value) in section.fields { text += "\(name):\(value)\r\n" }
    }
    reply.appendVerbatim(text, client.session.version)
  }
}

extension StoreNode {
  /// A part of INFO.
  struct InfoSection {
    var name: String
    var fields: [(String, String)]
  }

  func infoSections(for client: Client) -> [InfoSection] {
    [
      serverSection(client.port), clientsSection, memorySection, persistenceSection, statsSection,
      replicationSection,
      InfoSection(
        name: "Cluster", fields: [("cluster_enabled", client.port == .cluster ? "1" : "0")]),
      keyspaceSection,
    ]
  }

  private func serverSection(_ port: Client.Port) -> InfoSection {
    let own = directory.address(of: id, for: port)!
    return InfoSection(
      name: "Server",
      fields: [
        ("redis_version", ServerVersion.redis), ("cyclades_version", ServerVersion.cyclades),
        ("redis_mode", port == .cluster ? "cluster" : "standalone"), ("os", "Linux"),
        ("arch_bits", "64"), ("process_id", String(getpid())),
        ("run_id", directory.clusterID(of: id)),
        ("tcp_port", String(own.port)), ("node_id", String(id.rawValue)),
        ("cluster_name", configuration.cluster),
        ("uptime_in_seconds", String(uptimeSeconds)),
        ("uptime_in_days", String(uptimeSeconds / 86_400)),
      ])
  }

  private var clientsSection: InfoSection {
    InfoSection(
      name: "Clients",
      fields: [
        ("connected_clients", String(clients.count)),
        ("maxclients", String(maximumClients)),
        ("blocked_clients", String(blocked.count)),
      ])
  }

  private var memorySection: InfoSection {
    let used = usedBytes
    let limit = memory.limit ?? 0
    return InfoSection(
      name: "Memory",
      fields: [
        ("used_memory", String(used)), ("used_memory_human", Self.humanBytes(used)),
        ("used_memory_rss", String(residentBytes())), ("maxmemory", String(limit)),
        ("maxmemory_human", Self.humanBytes(limit)), ("maxmemory_policy", "noeviction"),
      ])
  }

  private var persistenceSection: InfoSection {
    let log = host.logStatus
    return InfoSection(
      name: "Persistence",
      fields: [
        ("loading", "0"), ("rdb_bgsave_in_progress", "0"), ("aof_enabled", "1"),
        ("aof_last_write_status", "ok"), ("log_bytes", String(log.byteCount)),
        ("log_syncs", String(log.writes)), ("snapshot_bytes", String(log.snapshotBytes)),
        ("snapshots_written", String(log.snapshotsWritten)),
        ("snapshots_installed", String(log.snapshotsInstalled)),
      ])
  }

  private var statsSection: InfoSection {
    InfoSection(
      name: "Stats",
      fields: [
        ("total_connections_received", String(statistics.connections)),
        ("total_commands_processed", String(statistics.commands)),
        ("rejected_connections", String(statistics.rejectedConnections)),
        ("protocol_errors", String(statistics.protocolErrors)),
        ("refused_commands", String(statistics.refusals)),
        ("unknown_outcomes", String(statistics.unknownOutcomes)), ("evicted_keys", "0"),
        ("pubsub_channels", String(subscriptions.count(.channel))),
        ("pubsub_patterns", String(subscriptions.count(.pattern))),
        ("pubsubshard_channels", String(subscriptions.count(.shardChannel))),
        ("pops_put_back", String(statistics.popsPutBack)),
        ("pubsub_messages", String(statistics.messages)),
        ("slow_listeners_closed", String(statistics.slowListeners)),
      ])
  }

  /// Any node takes writes, so each calls itself a master; tools look no further than that.
  private var replicationSection: InfoSection {
    let led = host.groups.prefix(shards.shardCount).filter { $0.leader == id }.count
    return InfoSection(
      name: "Replication",
      fields: [
        ("role", "master"), ("connected_slaves", "0"), ("shards", String(shards.shardCount)),
        ("shards_led", String(led)), ("quorum", String(quorum)),
      ])
  }

  private var keyspaceSection: InfoSection {
    let keys = copies.reduce(0) { $0 + $1.keyCount }
    return InfoSection(
      name: "Keyspace", fields: keys > 0 ? [("db0", "keys=\(keys),expires=0,avg_ttl=0")] : [])
  }

  static func humanBytes(_ count: Int) -> String {
    var value = Double(count)
    var units = ["B", "K", "M", "G", "T"][...]
    while value >= 1024, units.count > 1 {
      value /= 1024
      units.removeFirst()
    }
    let hundredths = Int(value * 100 + 0.5)
    let fraction = hundredths % 100
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)\(units.first!)"
  }
}
