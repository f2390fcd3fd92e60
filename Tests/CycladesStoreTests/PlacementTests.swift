import CycladesRing
import Testing

@testable import CycladesStore

@Suite("Placement")
struct PlacementTests {
  private func ring(_ nodes: Int) throws -> Ring {
    var builder = try RingBuilder()
    for node in 1...nodes { try builder.add(Member(id: "\(node)")) }
    return try builder.build()
  }

  private func slot(_ key: String) -> Int { Int(KeySlot(Array(key.utf8).rawSpan).rawValue) }

  @Test("slots are those of the Redis cluster specification")
  func keySlots() {
    // CRC16 of the specification's check string is 0x31c3.
    #expect(slot("123456789") == 0x31c3)
    #expect(slot("foo") == 12182 && slot("bar") == 5061 && slot("") == 0)
    #expect(slot("{user1000}.following") == slot("user1000"))
    #expect(slot("foo{}{bar}") != slot("bar"))
    #expect(slot("foo{{bar}}zap") == slot("{bar"))
    #expect(slot("foo{bar}{zap}") == slot("bar"))
    #expect(KeySlot(rawValue: 16383) != nil && KeySlot(rawValue: 16384) == nil)
  }

  @Test("shards are contiguous and cover every slot once", arguments: [1, 3, 16, 100, 16384])
  func coverage(shardCount: Int) throws {
    let map = try ShardMap(shardCount: shardCount, replicas: 3, ring: try ring(3))
    var next = 0
    for shard in 0..<shardCount {
      let slots = map.slots(of: shard)
      #expect(slots.lowerBound == next && !slots.isEmpty)
      #expect(slots.count - 16384 / shardCount <= 1)
      for slot in slots where map.shard(of: KeySlot(rawValue: UInt16(slot))!) != shard {
        Issue.record("slot \(slot) is not in shard \(shard)")
      }
      next = slots.upperBound
    }
    #expect(next == 16384)
  }

  @Test("three nodes lead sixteen shards 6, 5 and 5, and each holds every shard")
  func threeNodes() throws {
    let map = try ShardMap(shardCount: 16, replicas: 3, ring: try ring(3))
    var led: [String: Int] = [:]
    for shard in 0..<16 {
      let members = map.members(of: shard)
      #expect(Set(members) == ["1", "2", "3"])
      led[members[0], default: 0] += 1
    }
    #expect(led.values.sorted() == [5, 5, 6])
  }

  @Test("leaders are spread as evenly as the replicas allow", arguments: [4, 5, 9, 30])
  func manyNodes(nodes: Int) throws {
    let ring = try ring(nodes)
    let map = try ShardMap(shardCount: 256, replicas: 3, ring: ring)
    var led: [String: Int] = [:]
    for shard in 0..<256 {
      let members = map.members(of: shard)
      #expect(Set(members).count == 3)
      let position = UInt64(map.slots(of: shard).lowerBound) << 50
      let preferred = ring.preferenceList(ofPosition: position, count: 3).map(\.id)
      #expect(members.dropFirst().elementsEqual(preferred.filter { $0 != members[0] }))
      led[members[0], default: 0] += 1
    }
    #expect(led.count == nodes)
    #expect(led.values.max()! - led.values.min()! <= 1)
  }

  @Test("the plan respects weights, and finds chains where no single move helps")
  func leaderPlan() {
    let leaders = { (plan: [[Int]]) in plan.map { $0[0] } }
    // Node 0 leads everything; node 2 can be reached only through node 1.
    let chain = LeaderPlan.balanced(
      [[0, 1], [0, 1], [0, 1], [1, 2], [1, 2]], weights: [1, 1, 1])
    #expect(Set([0, 1, 2].map { node in leaders(chain).count { $0 == node } }) == [1, 2])
    let weighted = LeaderPlan.balanced(
      Array(repeating: [0, 1], count: 8), weights: [3, 1])
    #expect(leaders(weighted).count { $0 == 0 } == 6)
    #expect(leaders(LeaderPlan.balanced([[2], [2]], weights: [1, 1, 1])) == [2, 2])
  }

  @Test("nodes that know the same ring compute the same map, however they learned it")
  func sameMap() throws {
    var builder = try RingBuilder()
    for node in ["3", "1", "2"] { try builder.add(Member(id: node)) }
    let (a, b) = (try ring(3), try Ring(bytes: try builder.build().bytes))
    let (mapA, mapB) = (
      try ShardMap(shardCount: 64, replicas: 2, ring: a),
      try ShardMap(shardCount: 64, replicas: 2, ring: b)
    )
    for shard in 0..<64 { #expect(mapA.members(of: shard) == mapB.members(of: shard)) }
  }

  @Test("impossible placements are refused")
  func errors() throws {
    let ring = try ring(1)
    for (shards, replicas) in [(0, 1), (16385, 1), (16, 0), (-1, 3)] {
      #expect(throws: StoreError.self) {
        _ = try ShardMap(shardCount: shards, replicas: replicas, ring: ring)
      }
    }
    #expect(try ShardMap(shardCount: 4, replicas: 3, ring: ring).members(of: 3) == ["1"])
  }

  @Test("a position begins with the slot")
  func positions() {
    let key = Array("{tag}key".utf8)
    let position = ShardMap.position(of: key.rawSpan)
    #expect(Int(position >> 50) == slot("tag"))
    #expect(position != ShardMap.position(of: Array("{tag}other".utf8).rawSpan))
  }
}

@Suite("Routing")
struct RoutingTests {
  private let map: ShardMap

  init() throws {
    var builder = try RingBuilder()
    for node in 1...3 { try builder.add(Member(id: "\(node)")) }
    map = try ShardMap(shardCount: 16, replicas: 3, ring: try builder.build())
  }

  private func route(_ words: String...) -> (Route, KeySlot?) {
    let parser = RequestParser()
    let bytes = request(words.map { Array($0.utf8) })
    let span = bytes.rawSpan
    _ = parser.parse(span)
    let arguments = parser.arguments(of: span)
    let command = Command.all.first { $0.name == words[0].lowercased() }!
    return (map.route(command, arguments, .v2), ShardMap.commonSlot(command, arguments))
  }

  private func shard(_ key: String) -> Int { map.shard(of: Array(key.utf8).rawSpan) }

  @Test("a command whose keys share a shard goes there whole")
  func whole() {
    #expect(route("GET", "foo").0 == .shard(shard("foo")))
    let (tagged, slot) = route("MSETNX", "{a}1", "x", "{a}2", "y")
    #expect(tagged == .shard(shard("a")))
    #expect(slot == KeySlot(Array("a".utf8).rawSpan))
    #expect(route("PING").0 == .server)
    #expect(route("DBSIZE").0 == .everyShard(.sum))
  }

  @Test("keys in several shards split a command that can be split, and refuse another")
  func split() {
    #expect(shard("foo") != shard("bar"))
    let (split, slot) = route("MSET", "foo", "1", "bar", "2", "foo", "3")
    #expect(slot == nil)
    #expect(
      split
        == .parts(
          [
            .init(shard: shard("foo"), positions: [1, 5], keys: [0, 2]),
            .init(shard: shard("bar"), positions: [3], keys: [1]),
          ], .allOK))
    #expect(route("RENAME", "foo", "bar").0 == .crossSlot)
    #expect(route("MSETNX", "foo", "1", "bar", "2").0 == .crossSlot)
  }
}
