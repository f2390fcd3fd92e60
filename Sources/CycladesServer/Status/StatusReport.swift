import FoundationEssentials

/// What one node knows about its cluster, as `CYCLADES STATUS` answers it in JSON.
///
/// A report is one node's view: it is exact about the replicas the node hosts and about the shards
/// it leads, and only as fresh as the last message from the leader about the others.
public struct StatusReport: Codable, Sendable, Equatable {
  /// A member of the cluster.
  public struct Node: Codable, Sendable, Equatable {
    /// The node's number.
    public var id: UInt32
    /// Where other nodes reach it.
    public var peerAddress: String
    /// Its share of the shards, in hundredths of the usual.
    public var weight: UInt32
    /// True when it should hold nothing.
    public var isDraining: Bool
    /// True when it was out of reach for so long that others get what it had.
    public var isAway: Bool?
    /// Where it stands; empty when it did not say.
    public var zone: String?
    /// Where cluster clients reach it; `nil` until the node was heard once.
    public var clusterAddress: String?
    /// Where any client reaches it; `nil` until the node was heard once.
    public var plainAddress: String?
    /// True when the reporting node is connected to it, or is it.
    public var isConnected: Bool
  }

  /// A shard, seen from the reporting node's replica.
  public struct Shard: Codable, Sendable, Equatable {
    /// The shard's number, which is that of its Paxos group.
    public var id: UInt32
    /// The first key slot of the shard.
    public var firstSlot: Int
    /// The last key slot of the shard.
    public var lastSlot: Int
    /// The nodes that replicate it, the preferred leader first.
    public var members: [UInt32]
    /// The nodes that should replicate it; `nil` while the reporting node has no map.
    public var planned: [UInt32]?
    /// The node that leads it; `nil` when none is known.
    public var leader: UInt32?
    /// What the reporting node is in the shard: leader, candidate or follower.
    public var role: String
    /// The ballot of that leader as `round.node`.
    public var ballot: String
    /// The last log slot known to be chosen.
    public var commit: UInt64
    /// The last log slot applied by the reporting node.
    public var applied: UInt64
    /// Chosen slots that the reporting node has not applied yet.
    public var lag: UInt64
    /// Keys in the reporting node's replica.
    public var keys: Int
  }

  /// The reporting node's memory.
  public struct Memory: Codable, Sendable, Equatable {
    /// Bytes of keys and values.
    public var usedBytes: Int
    /// What they may be; `nil` without a limit.
    public var limitBytes: Int?
    /// Bytes of the process in memory.
    public var residentBytes: Int
  }

  /// The reporting node's log.
  public struct Log: Codable, Sendable, Equatable {
    /// Bytes in use.
    public var bytes: Int
    /// Segment files.
    public var segments: Int
    /// Durable writes since the start.
    public var syncs: UInt64
  }

  /// The cluster's name.
  public var cluster: String
  /// The reporting node.
  public var node: UInt32
  /// The version of the server software.
  public var version: String
  /// Seconds since the reporting node started.
  public var uptimeSeconds: Int
  /// Connected clients of the reporting node.
  public var clients: Int
  /// The nodes that the cluster began with.
  public var founders: [UInt32]
  /// All nodes, by number.
  public var nodes: [Node]
  /// All shards, by number.
  public var shards: [Shard]
  /// The reporting node's log.
  public var log: Log
  /// The reporting node's memory; `nil` from a node of an earlier version.
  public var memory: Memory?

  /// True when every shard has a leader that the reporting node knows.
  public var isEveryShardLed: Bool { shards.allSatisfy { $0.leader != nil } }

}

extension StatusReport {
  /// The report as one line of JSON.
  public func json() -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Encoding strings and integers cannot fail.
    return [UInt8](try! encoder.encode(self))
  }

  /// Reads a report that another node sent.
  ///
  /// - Throws: `ServerError` with code `badStatus` when the bytes are not a report.
  public init(json: [UInt8]) throws(ServerError) {
    do {
      self = try JSONDecoder().decode(StatusReport.self, from: Data(json))
    } catch {
      throw ServerError(.badStatus, "the node's status is not a report this version reads", error)
    }
  }
}
