import CycladesReplication
import Testing

@testable import CycladesStore

@Suite("Cluster map")
struct ClusterMapTests {
  @discardableResult
  private func apply(_ command: String, to map: inout ClusterMap) -> String {
    var reply = Reply()
    let bytes = Array(command.utf8)
    map.apply(bytes.rawSpan, ApplyContext(group: 16, slot: 1, time: 0), reply: &reply)
    return String(decoding: reply.bytes, as: UTF8.self)
  }

  private func holders(_ map: ClusterMap) throws -> [Set<String>] {
    let plan = try #require(map.plan(shardCount: 64))
    return (0..<64).map { Set(plan.members(of: $0)) }
  }

  @Test("nodes join, drain, weigh and leave, and repeating that changes nothing")
  func changes() {
    var map = ClusterMap(founders: [3, 1, 2])
    #expect(map.nodes.map(\.id) == [1, 2, 3])
    for command in ["join 4 host:1", "weight 4 250", "drain 2", "up 2", "drain 1", "remove 1"] {
      #expect(apply(command, to: &map) == "+OK\r\n")
      let before = map
      if command != "remove 1" {
        #expect(apply(command, to: &map) == "+OK\r\n")
        #expect(map == before)
      }
    }
    #expect(map.epoch == 6)
    #expect(map.nodes.map(\.id) == [2, 3, 4])
    #expect(map.node(4) == ClusterMap.Node(id: 4, address: "host:1", weight: 250))
  }

  @Test(
    "what makes no sense is refused, and changes nothing",
    arguments: [
      "", "drain", "drain x", "drain 9", "drain 0", "weight 1", "weight 1 -5", "weight 1 10001",
      "remove 1", "paint 1", "join 1", "up 1 2", "join 99999999999 a:1",
    ])
  func refused(command: String) {
    var map = ClusterMap(founders: [1, 2])
    #expect(apply(command, to: &map).hasPrefix("-ERR "))
    #expect(map == ClusterMap(founders: [1, 2]))
  }

  @Test("any bytes are answered")
  func anyBytes() {
    var map = ClusterMap(founders: [1])
    var random = SystemRandomNumberGenerator()
    for length in 0..<300 {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
      var reply = Reply()
      map.apply(bytes.rawSpan, ApplyContext(group: 0, slot: 1, time: 0), reply: &reply)
      #expect(reply.byteCount > 0)
    }
  }

  @Test("the plan moves little: a newcomer takes its share, and a leaver's goes to the others")
  func sticky() throws {
    var map = ClusterMap(founders: [1, 2, 3, 4, 5])
    let before = try holders(map)
    apply("join 6 a:1", to: &map)
    let joined = try holders(map)
    var moved = 0
    for (old, new) in zip(before, joined) {
      #expect(new.subtracting(old).isSubset(of: ["6"]))
      moved += new.subtracting(old).count
    }
    #expect(moved > 64 * 3 / 12 && moved < 64 * 3 / 3, "of 192 replicas \(moved) move")
    apply("drain 6", to: &map)
    #expect(try holders(map) == before)
  }

  @Test("with fewer nodes than replicas all hold everything, with none there is no plan")
  func few() throws {
    var map = ClusterMap(founders: [1, 2])
    #expect(try holders(map).allSatisfy { $0 == ["1", "2"] })
    apply("drain 1", to: &map)
    #expect(try holders(map).allSatisfy { $0 == ["2"] })
    #expect(map.voters() == [2])
    apply("drain 2", to: &map)
    #expect(map.plan(shardCount: 64) == nil)
    #expect(map.voters() == [1, 2])
  }

  @Test("a node is given up only when enough are left, and one takes the place of another")
  func awayAndReplace() throws {
    var map = ClusterMap(founders: [1, 2, 3])
    #expect(apply("away 1", to: &map).hasPrefix("-ERR too few nodes"))
    apply("join 4 host:1", to: &map)
    #expect(apply("away 1", to: &map) == "+OK\r\n")
    #expect(try holders(map).allSatisfy { $0 == ["2", "3", "4"] })
    #expect(map.voters() == [2, 3, 4])
    #expect(apply("away 2", to: &map).hasPrefix("-ERR"))
    #expect(apply("back 1", to: &map) == "+OK\r\n")
    apply("weight 2 300", to: &map)
    for _ in 0..<2 { #expect(apply("replace 2 4", to: &map) == "+OK\r\n") }
    #expect(map.node(4)?.weight == 300 && map.node(2)?.isDraining == true)
  }

  @Test("replicas are spread over zones")
  func zones() throws {
    var map = ClusterMap(founders: [])
    for (id, zone) in ["a", "a", "a", "b", "b", "c"].enumerated() {
      apply("join \(id + 1) host:\(id) \(zone)", to: &map)
    }
    for members in try holders(map) {
      let zones = members.map { map.node(UInt32($0)!)!.zone }
      #expect(Set(zones) == ["a", "b", "c"])
    }
  }

  @Test("a snapshot restores the map, and damage is refused")
  func snapshot() throws {
    var map = ClusterMap(founders: [1, 2, 3])
    for command in ["join 4 host:1", "join 5 host:2 east", "weight 4 250", "drain 2", "away 3"] {
      apply(command, to: &map)
    }
    var source = map.snapshot()
    var part = Reply()
    #expect(source.next(into: &part, byteCountTarget: 1 << 16))
    var restored = ClusterMap(founders: [9])
    try restored.restore(part.bytes.rawSpan)
    #expect(restored == map)
    let old = Array("map 7\n1 100 1 host:1".utf8)
    try restored.restore(old.rawSpan)
    #expect(restored.node(1)?.isDraining == true && restored.node(1)?.zone == "")
    for text in ["", "map", "map x", "map 1\n1", "map 1\na 1 0 x", "map 1\n1 1 4 x", "pam 1"] {
      let bytes = Array(text.utf8)
      #expect(throws: StoreError.self) { try restored.restore(bytes.rawSpan) }
    }
  }
}
