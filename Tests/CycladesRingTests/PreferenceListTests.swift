import CycladesRing
import Testing

@Suite("Preference lists")
struct PreferenceListTests {
  /// All members with points in the order in which a walk from `position` meets them.
  private func walk(_ ring: Ring, from position: UInt64) -> [Member] {
    let arcs = ring.arcs
    let start = arcs.firstIndex { $0.positions.contains(position) }!
    var seen: [String] = []
    for arc in arcs[start...] + arcs[..<start] where !seen.contains(arc.to) { seen.append(arc.to) }
    return seen.map { id in ring.members.first { $0.id == id }! }
  }

  @Test("lists begin with the owner and have distinct members with a weight")
  func distinct() throws {
    for seed in seeds {
      var rings = RandomRings(seed: seed)
      let ring = try rings.ring()
      for position in rings.probes(ring).prefix(30) {
        for spread in [Spread.strict, .bestEffort, .ignored] {
          let count = Int.random(in: 1...ring.members.count + 1, using: &rings.random)
          let list = ring.preferenceList(ofPosition: position, count: count, spread: spread)
          #expect(list.first == ring.owner(ofPosition: position))
          #expect(Set(list.map(\.id)).count == list.count)
          #expect(list.allSatisfy { $0.weight > 0 })
          #expect(list.count <= count)
          var indices = [UInt16](repeating: .max, count: count)
          var span = indices.mutableSpan
          let written = ring.preferenceIndices(ofPosition: position, spread: spread, into: &span)
          #expect(indices.prefix(written).map { ring.members[Int($0)] } == list)
        }
      }
    }
  }

  @Test("without zones a list is the walk around the ring")
  func ignored() throws {
    for seed in seeds {
      var rings = RandomRings(seed: seed)
      let ring = try rings.ring()
      let position = rings.random.next()
      let order = walk(ring, from: position)
      for count in 0...order.count + 1 {
        let list = ring.preferenceList(ofPosition: position, count: count, spread: .ignored)
        #expect(list == Array(order.prefix(count)), "seed \(seed)")
      }
    }
  }

  @Test("a strict list takes the first member of every zone, and stops when zones run out")
  func strict() throws {
    for seed in seeds {
      var rings = RandomRings(seed: seed)
      let ring = try rings.ring()
      let position = rings.random.next()
      var zones: Set<String> = []
      let firsts = walk(ring, from: position).filter {
        $0.zone.isEmpty || zones.insert($0.zone).inserted
      }
      let list = ring.preferenceList(ofPosition: position, count: .max, spread: .strict)
      #expect(list == firsts, "seed \(seed)")
    }
  }

  @Test("a best-effort list is as long as asked for and uses zones, then racks, in turns")
  func bestEffort() throws {
    for seed in seeds {
      var rings = RandomRings(seed: seed)
      let ring = try rings.ring()
      let position = rings.random.next()
      let everyone = walk(ring, from: position)
      let list = ring.preferenceList(ofPosition: position, count: .max)
      #expect(Set(list) == Set(everyone))
      for count in 1...list.count {
        let prefix = ring.preferenceList(ofPosition: position, count: count)
        #expect(prefix == Array(list.prefix(count)), "a longer list only goes on")
        expectTurns(prefix, of: everyone, \.zone)
        for zone in Set(everyone.map(\.zone)) where !zone.isEmpty {
          expectTurns(
            prefix.filter { $0.zone == zone }, of: everyone.filter { $0.zone == zone }, \.rack)
        }
      }
    }
  }

  /// No domain is used twice more than another that still has members to give.
  private func expectTurns(
    _ list: [Member], of everyone: [Member], _ domain: (Member) -> String
  ) {
    func counts(_ members: [Member]) -> [String: Int] {
      Dictionary(members.map { (domain($0), 1) }, uniquingKeysWith: +).filter { !$0.key.isEmpty }
    }
    let (used, all) = (counts(list), counts(everyone))
    let most = used.values.max() ?? 0
    for (name, size) in all { #expect(used[name, default: 0] >= min(size, most - 1)) }
    if most > 1 {
      func unlabelled(_ members: [Member]) -> Int { members.count { domain($0).isEmpty } }
      #expect(unlabelled(list) == unlabelled(everyone), "each is a domain of its own")
    }
  }

  @Test("three zones of three racks give three replicas in three zones")
  func zones() throws {
    var builder = try RingBuilder()
    for zone in ["eu", "us", "as"] {
      for rack in 0..<3 {
        for node in 0..<3 {
          try builder.add(Member(id: "\(zone)\(rack)\(node)", zone: zone, rack: "\(rack)"))
        }
      }
    }
    let ring = try builder.build()
    for key in 0..<1000 {
      let three = ring.preferenceList(of: "key \(key)", count: 3)
      #expect(Set(three.map(\.zone)).count == 3)
      let nine = ring.preferenceList(of: "key \(key)", count: 9)
      #expect(Set(nine.map { $0.zone + $0.rack }).count == 9)
      #expect(ring.preferenceList(of: "key \(key)", count: 9, spread: .strict) == three)
    }
  }
}
