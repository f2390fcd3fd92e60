public import CycladesReplication
internal import CycladesRing

/// Which nodes the cluster has and what is wanted of each: the replicated state of one small group,
/// beside those of the shards, that every node of the cluster holds.
///
/// It says nothing of where shards are: that is decided in the log of each shard's own group. From
/// the map follows where they should be (``plan(shardCount:)``), and the leader of each shard brings
/// that about step by step. So there is no second truth to keep in agreement with the first.
///
/// Commands are lines of text, applied in the order of the log; a change that changes nothing is
/// answered with OK, too, so that it may be repeated:
///
///     join 4 10.0.0.4:7300 z1  the node is there; where its peers reach it, and its zone if any
///     drain 4                  it should hold nothing
///     up 4                     it should hold its share again
///     weight 4 250             its share, in hundredths of the usual
///     replace 2 4              4 gets what 2 had: its weight; and 2 should hold nothing
///     away 4                   it was out of reach for long: others should hold what it had
///     back 4                   it is there again
///     remove 4                 it is gone for good; only after `drain`
public struct ClusterMap: StateMachine, Sendable, Equatable {
  /// A node of the cluster.
  public struct Node: Sendable, Equatable {
    /// Its number.
    public var id: UInt32
    /// Where its peers reach it; empty until it said so itself.
    public var address = ""
    /// Its share of the shards, in hundredths of the usual.
    public var weight: UInt32 = 100
    /// It should hold nothing.
    public var isDraining = false
    /// It was out of reach for longer than the cluster waits: others should hold what it had.
    public var isAway = false
    /// Where it stands; replicas of a shard are spread over zones. Empty: a zone of its own.
    public var zone = ""

    /// Whether shards may be planned on it.
    var isEligible: Bool { !isDraining && !isAway && weight > 0 }
  }

  /// How many nodes must be left for one that is out of reach to be given up: with fewer its shards
  /// would have fewer replicas than before.
  public static let eligibleMin = 3

  /// The nodes, by number.
  public private(set) var nodes: [Node]
  /// How many changes led to this map.
  public private(set) var epoch: UInt64 = 0

  /// The most nodes a cluster may have: all of them are members of the map's group.
  public static let nodesMax = 32

  /// The map of a new cluster.
  ///
  /// - Parameter founders: the numbers of its first nodes, the same on all of them.
  public init(founders: [UInt32]) {
    nodes = Set(founders).sorted().map { Node(id: $0) }
  }

  /// The node with a number.
  public func node(_ id: UInt32) -> Node? { nodes.first { $0.id == id } }

  // MARK: The plan

  /// Where the shards should be: on the nodes that are not draining, by the ring of their weights.
  /// `nil` while no node may hold any.
  ///
  /// A pure function of the map. The ring makes it stick: a node that comes or goes changes only the
  /// shards that it gets or had.
  /// - Complexity: that of building a ring of all nodes.
  public func plan(shardCount: Int, replicas: Int = 3) -> ShardMap? {
    let eligible = nodes.filter(\.isEligible)
    guard !eligible.isEmpty else { return nil }
    return try? ShardMap(
      shardCount: shardCount, replicas: min(replicas, eligible.count),
      nodes: eligible.map {
        Member(id: String($0.id), weight: Double($0.weight) / 100, zone: $0.zone)
      })
  }

  /// Whether a node could be given up without any shard having fewer replicas than before.
  public func canSpare(_ id: UInt32) -> Bool {
    nodes.count { $0.isEligible && $0.id != id } >= Self.eligibleMin
  }

  /// The nodes that should vote on the map itself: the first few that stay. The others only hold it.
  public func voters(atMost count: Int = 5) -> [UInt32] {
    let staying = nodes.filter { !$0.isDraining && !$0.isAway }
    return (staying.isEmpty ? nodes : staying).prefix(count).map(\.id)
  }

  // MARK: The state machine

  /// Applies a command; appends `+OK` or an error as RESP.
  public mutating func apply(_ command: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    let words = String(decoding: [UInt8](copying: command), as: UTF8.self).split(separator: " ")
    do {
      var changed = self
      try changed.perform(words)
      if changed != self {
        changed.epoch += 1
        self = changed
      }
      reply.appendOK()
    } catch {
      reply.appendError("ERR \(error.message)")
    }
  }

  private mutating func perform(_ words: [Substring]) throws(StoreError) {
    guard words.count >= 2, let id = UInt32(words[1]), id > 0 else {
      throw StoreError(.badPlacement, "a change of the nodes names one by its number")
    }
    if words[0] == "join", (3...4).contains(words.count) {
      return try join(id, String(words[2]), zone: words.count == 4 ? String(words[3]) : "")
    }
    guard let index = nodes.firstIndex(where: { $0.id == id }) else {
      throw StoreError(.badPlacement, "there is no node \(id)")
    }
    switch (words[0], words.count) {
    case ("drain", 2): nodes[index].isDraining = true
    case ("up", 2): nodes[index].isDraining = false
    case ("weight", 3):
      guard let weight = UInt32(words[2]), weight <= 10_000 else {
        throw StoreError(.badPlacement, "a weight is from 0 to 100")
      }
      nodes[index].weight = weight
    case ("away", 2):
      guard nodes[index].isAway || canSpare(id) else {
        throw StoreError(.badPlacement, "too few nodes are left for what node \(id) holds")
      }
      nodes[index].isAway = true
    case ("back", 2): nodes[index].isAway = false
    case ("replace", 3):
      guard let by = UInt32(words[2]), by != id,
        let successor = nodes.firstIndex(where: { $0.id == by })
      else { throw StoreError(.badPlacement, "there is no other node \(words[2])") }
      if nodes[index].isDraining { return }
      nodes[successor].weight = nodes[index].weight
      nodes[successor].isDraining = false
      nodes[index].isDraining = true
    case ("remove", 2):
      guard nodes[index].isDraining, nodes.count > 1 else {
        throw StoreError(.badPlacement, "drain node \(id) first, so that others hold what it has")
      }
      nodes.remove(at: index)
    default: throw StoreError(.badPlacement, "unknown change '\(words[0])' of the nodes")
    }
  }

  private mutating func join(
    _ id: UInt32, _ address: String, zone: String
  ) throws(StoreError) {
    guard address.utf8.count <= 256, zone.utf8.count <= 64 else {
      throw StoreError(.badPlacement, "an address has at most 256 bytes, a zone 64")
    }
    if let index = nodes.firstIndex(where: { $0.id == id }) {
      nodes[index].address = address
      nodes[index].zone = zone
      return
    }
    guard nodes.count < ClusterMap.nodesMax else {
      throw StoreError(.badPlacement, "a cluster has at most \(ClusterMap.nodesMax) nodes")
    }
    nodes.append(Node(id: id, address: address, zone: zone))
    nodes.sort { $0.id < $1.id }
  }

  /// Answers nothing: every node looks at its own copy.
  public func read(_ query: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    reply.appendError("ERR the map is not read this way")
  }

  // MARK: Snapshots

  /// The map as lines of text, in one part.
  public func snapshot() -> any SnapshotSource {
    var lines = ["map \(epoch)"]
    for node in nodes {
      let flags = (node.isDraining ? 1 : 0) | (node.isAway ? 2 : 0)
      lines.append("\(node.id) \(node.weight) \(flags) \(node.address) \(node.zone)")
    }
    return WholeSnapshot(Array(lines.joined(separator: "\n").utf8))
  }

  /// Reads what `snapshot` gave out.
  ///
  /// - Throws: ``StoreError`` of code ``StoreError/Code-swift.struct/badPlacement``.
  public mutating func restore(_ part: RawSpan) throws {
    let lines = String(decoding: [UInt8](copying: part), as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false)
    let head = lines[0].split(separator: " ")
    guard head.count == 2, head[0] == "map", let epoch = UInt64(head[1]) else {
      throw StoreError(.badPlacement, "the snapshot is not one of a cluster map")
    }
    self.epoch = epoch
    nodes = try lines.dropFirst().map { line in
      // Maps had no zones once, and then no more than four fields.
      let fields = line.split(separator: " ", maxSplits: 4, omittingEmptySubsequences: false)
      guard fields.count >= 4, let id = UInt32(fields[0]), let weight = UInt32(fields[1]),
        let flags = UInt8(fields[2]), flags < 4
      else {
        throw StoreError(.badPlacement, "the snapshot of the cluster map has a line '\(line)'")
      }
      return Node(
        id: id, address: String(fields[3]), weight: weight, isDraining: flags & 1 != 0,
        isAway: flags & 2 != 0, zone: fields.count > 4 ? String(fields[4]) : "")
    }
  }
}
