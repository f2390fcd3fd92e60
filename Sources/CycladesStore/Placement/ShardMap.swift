public import CycladesRing

/// Which shard holds a key, and which nodes hold a shard.
///
/// A key's slot is Redis' CRC16 rule; slot *x* belongs to shard `x·G/16384` of *G*, rounded down.
/// Shards are contiguous so that a cluster's topology is *G* ranges and not thousands. The
/// ring gives each shard its nodes, at the position of the shard's first slot; ``LeaderPlan`` then
/// chooses which of them leads. All of it is a pure function: nodes with the same ring and the same
/// *G* have the same map.
public struct ShardMap: Sendable {
  /// The number of shards.
  public let shardCount: Int
  private let members: [[String]]

  /// Makes the map.
  ///
  /// - Parameters:
  ///   - shardCount: from 1 to 16384; fixed when a cluster is created.
  ///   - replicas: how many nodes hold a shard; fewer do when the ring has fewer.
  ///   - ring: of nodes, by their ids.
  /// - Throws: ``StoreError`` of code ``StoreError/Code-swift.struct/badPlacement``.
  public init(shardCount: Int, replicas: Int, ring: Ring) throws(StoreError) {
    guard (1...KeySlot.count).contains(shardCount) else {
      throw StoreError(
        .badPlacement, "the number of shards must be from 1 to 16384, not \(shardCount)")
    }
    guard replicas >= 1 else {
      throw StoreError(.badPlacement, "a shard needs at least one replica, not \(replicas)")
    }
    self.shardCount = shardCount
    let preferences = (0..<shardCount).map { shard in
      ring.preferenceIndices(
        ofPosition: UInt64(Self.firstSlot(of: shard, of: shardCount)) << 50, count: replicas)
    }
    let weights = ring.members.map(\.weight)
    members = LeaderPlan.balanced(preferences, weights: weights).map { list in
      list.map { ring.members[$0].id }
    }
  }

  /// Makes the map of nodes given by id and weight.
  ///
  /// - Throws: ``StoreError`` of code ``StoreError/Code-swift.struct/badPlacement``.
  public init(
    shardCount: Int, replicas: Int, nodes: [(id: String, weight: Double)]
  ) throws(StoreError) {
    let ring: Ring
    do {
      var builder = try RingBuilder()
      for node in nodes { try builder.add(Member(id: node.id, weight: node.weight)) }
      ring = try builder.build()
    } catch {
      throw StoreError(.badPlacement, "\(error)")
    }
    try self.init(shardCount: shardCount, replicas: replicas, ring: ring)
  }

  /// The shard that holds a slot.
  public func shard(of slot: KeySlot) -> Int {
    Int(slot.rawValue) * shardCount / KeySlot.count
  }

  /// The shard that holds a key.
  public func shard(of key: RawSpan) -> Int { shard(of: KeySlot(key)) }

  /// The slots of a shard.
  public func slots(of shard: Int) -> Range<Int> {
    precondition(shard >= 0 && shard < shardCount, "there is no shard \(shard)")
    return Self.firstSlot(of: shard, of: shardCount)..<Self.firstSlot(of: shard + 1, of: shardCount)
  }

  /// The ids of the nodes that hold a shard: first the one that should lead it, then the others in
  /// the ring's order of preference.
  public func members(of shard: Int) -> [String] { members[shard] }

  /// A key's place on the ring: `slot << 50 | XXH3 >> 14`, so that the order of positions refines
  /// the order of slots.
  public static func position(of key: RawSpan) -> UInt64 {
    UInt64(KeySlot(key).rawValue) << 50 | Ring.position(of: key) >> 14
  }

  /// The least slot *x* with `x·G/16384 >= shard`.
  private static func firstSlot(of shard: Int, of shardCount: Int) -> Int {
    (shard * KeySlot.count + shardCount - 1) / shardCount
  }
}
