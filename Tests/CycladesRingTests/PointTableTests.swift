import Testing

@testable import CycladesRing

@Suite("Points in cells")
struct PointTableTests {
  /// Points that hashing would hardly ever make: in clusters of any width, at both ends, in one place.
  private func clusteredPoints(_ random: inout SeededGenerator, members: Int) -> [UInt64] {
    var points: Set<UInt64> = []
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      let centre = [0, .max, random.next()].randomElement(using: &random)!
      let width = UInt64(1) << UInt64.random(in: 0...63, using: &random)
      for _ in 0..<Int.random(in: 1...200, using: &random) {
        let position = centre &+ UInt64.random(in: 0...width, using: &random)
        let owner = UInt64.random(in: 0..<UInt64(members), using: &random)
        points.insert(position & ~0xFFFF | owner)
      }
    }
    return points.shuffled(using: &random)
  }

  /// The rule itself: the first point not below, and past the last one the first.
  private func owner(_ position: UInt64, _ sorted: [UInt64]) -> Int {
    Int(UInt16(truncatingIfNeeded: sorted.first { $0 >> 16 >= position >> 16 } ?? sorted[0]))
  }

  @Test("wherever points lie, cells, search and batches find what the rule says")
  func clusters() throws {
    for seed in 0..<300 {
      var random = SeededGenerator(seed: seed)
      let members = Int.random(in: 1...50, using: &random)
      let points = clusteredPoints(&random, members: members)
      let table = try PointTable(points: points, memberCount: members)
      let sorted = points.sorted()
      #expect(table.withPoints { all in all.indices.map { all[$0] } } == sorted)
      let probes =
        [0, .max, random.next(), random.next()]
        + points.prefix(40).flatMap { [$0 &- 0x10000, $0, $0 | 0xFFFF, $0 &+ 0x10000] }
      var batch = [UInt16](repeating: .max, count: probes.count)
      var span = batch.mutableSpan
      table.owners(probes.span, into: &span)
      for (probe, batched) in zip(probes, batch) {
        let expected = owner(probe, sorted)
        #expect(table.owner(probe) == expected, "seed \(seed), position \(probe)")
        #expect(table.ownerBySearch(probe) == expected, "seed \(seed), position \(probe)")
        #expect(Int(batched) == expected, "seed \(seed), position \(probe)")
      }
    }
  }

  @Test("batches of every length are answered in full")
  func batchLengths() throws {
    var rings = RandomRings(seed: 9)
    let ring = try rings.ring()
    for count in 0...130 {
      let positions = (0..<count).map { _ in rings.random.next() }
      let keys = (0..<count).flatMap { _ in (0..<8).map { _ in UInt8.random(in: 0...255) } }
      let ends = (0..<count).map { UInt32($0 * 8 + 8) }
      var owners = [UInt16](repeating: .max, count: count)
      var span = owners.mutableSpan
      ring.owners(ofPositions: positions.span, into: &span)
      #expect(owners.map(Int.init) == positions.map { ring.ownerIndex(ofPosition: $0) })
      span = owners.mutableSpan
      ring.owners(ofKeys: keys.span, endingAt: ends.span, into: &span)
      for (index, owner) in owners.enumerated() {
        let position = Ring.position(of: Array(keys[index * 8..<index * 8 + 8]))
        #expect(ring.ownerIndex(ofPosition: position) == Int(owner), "key \(index) of \(count)")
      }
    }
  }

  @Test("a ring of the same members at a later epoch has the same points, not a copy")
  func sharing() throws {
    var rings = RandomRings(seed: 10)
    let ring = try rings.ring()
    let later = try RingBuilder(ring).build()
    #expect(later.epoch == ring.epoch + 1)
    #expect(later.table.isIdentical(to: ring.table))
    #expect(later.diff(from: ring).moves.isEmpty)
    var moved = RingBuilder(ring)
    var member = ring.members[0]
    member.zone += "elsewhere"
    try moved.update(member)
    let list = try moved.build().preferenceList(ofPosition: 0, count: .max, spread: .strict)
    #expect(
      try list
        == rings.ring(of: [member] + ring.members.dropFirst()).preferenceList(
          ofPosition: 0, count: .max, spread: .strict))
  }

  @Test(
    "one member more, less, heavier or lighter: a tenth of the index is new, the rest is shared")
  func sharedCells() throws {
    let ring = try RandomRings.even(1000, named: "node")
    let all = ring.table.ownCellCount(besides: try RandomRings.even(1000, named: "node").table)
    #expect(all == 1 << 15, "rings that were not made from each other share nothing")
    func expectShared(_ change: (inout RingBuilder) throws -> Void) throws {
      var builder = RingBuilder(ring)
      try change(&builder)
      let own = try builder.build().table.ownCellCount(besides: ring.table)
      #expect((1...all / 10).contains(own), "\(own) of \(all)")
    }
    // In the list of members these are the first, the last and those in between.
    try expectShared { try $0.add(Member(id: "a")) }
    try expectShared { try $0.add(Member(id: "z")) }
    try expectShared { try $0.remove("node-0") }
    try expectShared { try $0.remove("node-500") }
    try expectShared { try $0.update(Member(id: "node-77", weight: 2)) }
    try expectShared { try $0.update(Member(id: "node-77", weight: 0)) }
  }

  private func expectRule(_ ring: Ring, _ probes: [UInt64], _ what: Comment) {
    for probe in probes {
      let index = ring.ownerIndex(ofPosition: probe)
      #expect(index == ring.ownerIndexByBinarySearch(ofPosition: probe), what)
    }
  }

  /// A ring made from another by a random change.
  private func changed(_ ring: Ring, _ rings: inout RandomRings) throws -> Ring {
    var builder = RingBuilder(ring)
    let member = ring.members.randomElement(using: &rings.random)!
    switch Int.random(in: 0..<4, using: &rings.random) {
    case 0 where ring.members.contains { $0.id != member.id && $0.weight > 0 }:
      try builder.remove(member.id)
    case 1: try builder.update(Member(id: member.id, weight: 0.5))
    default: try builder.add(rings.member(weight: 1))
    }
    return try builder.build()
  }

  @Test("rings that share memory stay what they are while others come and go")
  func families() throws {
    for seed in 0..<200 {
      var rings = RandomRings(seed: seed)
      var living = [try rings.ring()]
      let probes = rings.probes(living[0])
      for _ in 0..<20 {
        living.append(try changed(living.randomElement(using: &rings.random)!, &rings))
        if living.count > 6 { living.remove(at: .random(in: living.indices, using: &rings.random)) }
        for ring in living { expectRule(ring, probes, "seed \(seed)") }
      }
    }
  }

  @Test("threads may build from one ring and free what they built at the same time")
  func concurrentFamilies() async throws {
    let base = try RandomRings.even(50, named: "node")
    try await withThrowingTaskGroup(of: Void.self) { group in
      for seed in 0..<4 {
        group.addTask {
          var rings = RandomRings(seed: seed)
          let probes = rings.probes(base)
          var last = base
          for step in 0..<50 {
            last = try changed(step % 10 == 0 ? base : last, &rings)
            expectRule(last, probes, "seed \(seed)")
          }
        }
      }
      try await group.waitForAll()
    }
    expectRule(base, (0..<1000).map { UInt64($0) << 54 }, "the ring that all were made from")
  }
}
