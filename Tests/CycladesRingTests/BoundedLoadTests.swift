import CycladesRing
import Testing

@Suite("Bounded load")
struct BoundedLoadTests {
  /// Weights as shares of all points.
  private func shares(_ ring: Ring) -> [Double] { ring.statistics.parts.map(\.expectedShare) }

  @Test("no member ever carries more than its bound, however requests come and go")
  func requests() throws {
    for seed in 0..<200 {
      var rings = RandomRings(seed: seed)
      let ring = try rings.ring()
      let factor = [1, 1.01, 1.25, 2].randomElement(using: &rings.random)!
      let shares = shares(ring)
      var balancer = try BoundedLoad(ring, factor: factor)
      var open: [Int] = []
      let hot = rings.random.next() as UInt64
      for _ in 0..<300 {
        if Int.random(in: 0..<3, using: &rings.random) > 0 || open.isEmpty {
          let position = Bool.random(using: &rings.random) ? hot : rings.random.next()
          let index = balancer.assign(position)
          open.append(index)
          let bound = factor * Double(open.count) * shares[index]
          #expect(Double(balancer.load(index)) <= bound.rounded(.up), "seed \(seed)")
        } else {
          balancer.release(open.remove(at: Int.random(in: open.indices, using: &rings.random)))
        }
        #expect(balancer.total == open.count)
      }
      for index in ring.members.indices {
        #expect(balancer.load(index) == open.count { $0 == index })
      }
    }
  }

  @Test("requests stay with the owners of their keys while these have room")
  func affinity() throws {
    var rings = RandomRings(seed: 1)
    let ring = try rings.ring()
    var generous = try BoundedLoad(ring, factor: 1e9)
    for _ in 0..<1000 {
      let position: UInt64 = rings.random.next()
      let index = generous.assign(position)
      #expect(index == ring.ownerIndex(ofPosition: position))
    }
  }

  @Test("a request that its owner has no room for goes to the next in the preference list")
  func overflow() throws {
    let ring = try RandomRings(seed: 2).ring(of: (0..<4).map { Member(id: "\($0)") })
    let order = ring.preferenceIndices(ofPosition: 77, count: 4, spread: .ignored)
    var balancer = try BoundedLoad(ring, factor: 1)
    var turns: [Int] = []
    for _ in 0..<8 { turns.append(balancer.assign(77)) }
    // Of every four requests each member takes one; with equal shares in the order of the walk.
    #expect(turns == order + order)
    balancer.release(order[2])
    #expect(balancer.assign(77) == order[2])
  }

  @Test("no member gets more partitions than its bound, and all agree who gets which")
  func partitions() throws {
    for seed in 0..<200 {
      var rings = RandomRings(seed: seed)
      let ring = try rings.ring()
      let positions = (0..<Int.random(in: 0...300, using: &rings.random)).map { _ in
        rings.random.next() as UInt64
      }
      let factor = [1, 1.05, 1.5].randomElement(using: &rings.random)!
      let owners = try ring.boundedOwners(ofPartitionsAt: positions, factor: factor)
      #expect(owners.count == positions.count)
      for (index, share) in shares(ring).enumerated() {
        let bound = (factor * Double(positions.count) * share).rounded(.up)
        #expect(Double(owners.count { $0 == index }) <= bound, "seed \(seed)")
      }
      let again = try rings.ring(of: ring.members.shuffled(using: &rings.random))
      #expect(try again.boundedOwners(ofPartitionsAt: positions, factor: factor) == owners)
      let free = try ring.boundedOwners(ofPartitionsAt: positions, factor: 1e9)
      #expect(free == positions.map { ring.ownerIndex(ofPosition: $0) })
    }
  }

  @Test("a drained member gets nothing")
  func drained() throws {
    let ring = try RandomRings(seed: 3).ring(of: [
      Member(id: "drained", weight: 0), Member(id: "other"),
    ])
    var balancer = try BoundedLoad(ring, factor: 1)
    for position in 0..<100 as Range<UInt64> { #expect(balancer.assign(position << 57) == 1) }
    #expect(balancer.load(0) == 0)
  }

  @Test("a factor below 1 is refused", arguments: [0.99, 0, -1, .nan, .infinity])
  func factors(factor: Double) throws {
    let ring = try RandomRings(seed: 4).ring(of: [Member(id: "a")])
    for attempt in [
      { _ = try BoundedLoad(ring, factor: factor) },
      { _ = try ring.boundedOwners(ofPartitionsAt: [1], factor: factor) },
    ] {
      let error = #expect(throws: RingError.self) { try attempt() }
      #expect(error?.code == .badLoadFactor)
      #expect(error?.message.contains("\(factor)") == true)
    }
  }
}
