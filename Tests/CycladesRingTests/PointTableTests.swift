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
}
