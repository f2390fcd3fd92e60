import CycladesRing
import Glibc
import Testing

/// Enough rings to meet every kind of member beside every other.
let seeds = 0..<1000

@Suite("Placement")
struct PlacementTests {
  @Test(
    "the bucket index, binary search and batches find the same owners", arguments: [0, 1, 2, 3])
  func lookupsAgree(quarter: Int) throws {
    for seed in seeds where seed % 4 == quarter {
      var rings = RandomRings(seed: seed)
      let ring = try rings.ring()
      let positions = rings.probes(ring)
      var owners = [UInt16](repeating: .max, count: positions.count)
      var span = owners.mutableSpan
      ring.owners(ofPositions: positions.span, into: &span)
      for (position, owner) in zip(positions, owners) {
        #expect(ring.ownerIndex(ofPosition: position) == Int(owner), "seed \(seed)")
        #expect(ring.ownerIndexByBinarySearch(ofPosition: position) == Int(owner), "seed \(seed)")
      }
    }
  }

  @Test("keys are owned alike one by one, in a batch, and by position")
  func keysAgree() throws {
    var rings = RandomRings(seed: 1)
    let ring = try rings.ring()
    let keys = (0..<100).map { String(repeating: "k", count: $0 % 37) + "\($0)" }
    var ends: [UInt32] = []
    var bytes: [UInt8] = []
    for key in keys {
      bytes += Array(key.utf8)
      ends.append(UInt32(bytes.count))
    }
    var owners = [UInt16](repeating: .max, count: keys.count)
    var span = owners.mutableSpan
    ring.owners(ofKeys: bytes.span, endingAt: ends.span, into: &span)
    for (key, owner) in zip(keys, owners) {
      let member = ring.members[Int(owner)]
      #expect(ring.owner(of: key) == member)
      #expect(ring.owner(of: Array(key.utf8)) == member)
      #expect(ring.owner(of: key.utf8Span.span) == member)
      #expect(ring.owner(ofPosition: Ring.position(of: key)) == member)
    }
  }

  @Test("the order in which members come does not matter")
  func insertionOrder() throws {
    for seed in seeds {
      var rings = RandomRings(seed: seed)
      let members = rings.members()
      let ring = try rings.ring(of: members)
      #expect(try rings.ring(of: members.shuffled(using: &rings.random)) == ring)
      #expect(try rings.ring(of: members.reversed()).arcs == ring.arcs)
    }
  }

  @Test("shares of all members add up to the whole circle, and are those of their arcs")
  func sharesAreExact() throws {
    for seed in seeds {
      var rings = RandomRings(seed: seed)
      let ring = try rings.ring()
      let shares = ring.shares
      #expect(shares.values.reduce(0, +) == 1, "seed \(seed)")
      let arcs = ring.arcs
      for (id, share) in shares {
        #expect(arcs.filter { $0.to == id }.reduce(0) { $0 + $1.share } == share)
      }
    }
  }

  @Test("weight 0 owns nothing, the slightest weight owns something")
  func extremeWeights() throws {
    var builder = try RingBuilder()
    try builder.add(Member(id: "drained", weight: 0))
    try builder.add(Member(id: "slight", weight: 1e-300))
    try builder.add(Member(id: "plain"))
    let parts = try builder.build().statistics.parts
    #expect(parts.map(\.member.id) == ["drained", "plain", "slight"])
    #expect(parts.map(\.pointCount) == [0, 256, 1])
    #expect(parts[0].share == 0 && parts[0].load == 0)
    #expect(parts[2].share > 0)
  }

  /// What the article on placement promises. The names are fixed, so the rings are, too.
  @Test(
    "the mean peak is 1.10 of the average at 10 members, 1.22 at 1000; few rings exceed the bound",
    arguments: [(10, 300, 1.10), (1000, 24, 1.22)])
  func balance(count: Int, rings: Int, bar: Double) throws {
    let all = try (0..<rings).map { try RandomRings.even(count, named: "node-\($0)").statistics }
    let peaks = all.map(\.peakToAverage)
    let mean = peaks.reduce(0, +) / Double(rings)
    #expect(mean > 1.05 && mean <= bar)
    let bound = 1 + (2 * log(Double(count)) / 256).squareRoot()
    #expect(all.allSatisfy { abs($0.expectedPeakToAverage - bound) < 1e-9 })
    #expect(mean <= bound && peaks.count { $0 > bound } <= rings / 4)
  }

  @Test("a member without a rival owns every position")
  func singleMember() throws {
    var builder = try RingBuilder(pointsPerUnit: 1)
    try builder.add(Member(id: "solo"))
    let ring = try builder.build()
    #expect(ring.pointCount == 1)
    #expect(ring.statistics.parts[0].share == 1)
    #expect(ring.owner(of: "anything").id == "solo")
  }
}

@Suite("Golden vectors")
struct GoldenVectorTests {
  @Test("keys hash as PyPI's xxhash says")
  func positions() {
    for (key, position) in GoldenVectors.keys { #expect(Ring.position(of: key) == position) }
  }

  @Test("rings are those of an independent implementation", arguments: GoldenVectors.rings.indices)
  func rings(index: Int) throws {
    let golden = GoldenVectors.rings[index]
    var builder = try RingBuilder(epoch: 7, pointsPerUnit: golden.pointsPerUnit)
    for (id, weight) in golden.members { try builder.add(Member(id: id, weight: weight)) }
    let ring = try builder.build()
    #expect(ring.pointCount == golden.pointCount)
    #expect(ring.digest == golden.digest)
    for (key, owner) in zip(GoldenVectors.keys, golden.owners) {
      #expect(ring.ownerIndex(ofPosition: key.position) == owner)
    }
    for (position, owner) in golden.probes {
      #expect(ring.ownerIndex(ofPosition: position) == owner)
    }
  }

  @Test("two members whose points collide keep their order whoever comes first")
  func collision() throws {
    // Point 37 of n16064 and point 245 of n32703.
    let tie: UInt64 = 0xa258_6a0a_c472_0000
    var builder = try RingBuilder()
    try builder.add(Member(id: "n32703"))
    #expect(try builder.build().owner(ofPosition: tie).id == "n32703")
    try builder.add(Member(id: "n16064"))
    let both = try builder.build()
    #expect(both.owner(ofPosition: tie).id == "n16064")
    var merged = RingBuilder(both)
    try merged.remove("n16064")
    #expect(try merged.build().owner(ofPosition: tie).id == "n32703")
    try merged.add(Member(id: "n16064"))
    #expect(try merged.build().arcs == both.arcs)
  }
}
