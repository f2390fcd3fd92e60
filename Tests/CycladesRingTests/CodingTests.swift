import CycladesRing
import Testing

@Suite("Canonical bytes")
struct CodingTests {
  @Test("bytes give back the same ring")
  func roundTrip() throws {
    for seed in seeds {
      var rings = RandomRings(seed: seed)
      var builder = RingBuilder(try rings.ring())
      builder.epoch = rings.random.next()
      let ring = try builder.build()
      let read = try Ring(bytes: ring.bytes)
      #expect(read == ring && read.bytes == ring.bytes && read.members == ring.members)
      #expect(read.epoch == ring.epoch && read.arcs == ring.arcs)
    }
  }

  private func expectDamaged(_ bytes: [UInt8], _ what: Comment) {
    let error = #expect(throws: RingError.self, what) { _ = try Ring(bytes: bytes) }
    #expect(error?.code == .damagedBytes, what)
  }

  @Test("every single wrong bit is noticed")
  func bitFlips() throws {
    var rings = RandomRings(seed: 3)
    let bytes = try rings.ring().bytes
    for bit in 0..<bytes.count * 8 {
      var damaged = bytes
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      expectDamaged(damaged, "bit \(bit)")
    }
  }

  @Test("bytes cut short or too long are refused")
  func lengths() throws {
    var rings = RandomRings(seed: 4)
    let bytes = try rings.ring().bytes
    for count in 0..<bytes.count { expectDamaged(Array(bytes.prefix(count)), "\(count) bytes") }
    expectDamaged(bytes + [0], "one byte more")
  }

  /// Makes the size and digest right again after a change, as a forger would.
  private func sealed(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for place in 0..<8 { bytes[8 + place] = UInt8(truncatingIfNeeded: bytes.count >> (8 * place)) }
    let digest = RingHash.digest(bytes.span.extracting(32...))
    for place in 0..<16 { bytes[16 + place] = UInt8(truncatingIfNeeded: digest >> (8 * place)) }
    return bytes
  }

  @Test("a wrong count, size or placement under a right digest is refused")
  func forgedHeaders() throws {
    for seed in 0..<8 {
      var rings = RandomRings(seed: seed)
      let ring = try rings.ring()
      #expect(try Ring(bytes: sealed(ring.bytes)) == ring)
      for place in 40..<64 {
        var bytes = ring.bytes
        bytes[place] ^= UInt8.random(in: 1...255, using: &rings.random)
        expectDamaged(sealed(bytes), "seed \(seed), byte \(place)")
      }
      for count in 64..<ring.bytes.count {
        expectDamaged(sealed(Array(ring.bytes.prefix(count))), "seed \(seed), \(count) bytes")
      }
    }
  }

  @Test("whatever is forged, what is accepted is the ring those bytes stand for")
  func forgedMembers() throws {
    var refused = 0
    for seed in 0..<100 {
      var rings = RandomRings(seed: seed)
      let ring = try rings.ring()
      for _ in 0..<30 {
        var bytes = ring.bytes
        for _ in 0..<Int.random(in: 1...3, using: &rings.random) {
          let place = Int.random(in: 64..<bytes.count, using: &rings.random)
          bytes[place] = UInt8.random(in: 0...255, using: &rings.random)
        }
        bytes = sealed(bytes)
        do {
          #expect(try Ring(bytes: bytes).bytes == bytes)
        } catch {
          #expect(error.code == .damagedBytes)
          refused += 1
        }
      }
    }
    #expect(refused > 1000)
  }

  @Test("bytes that stand for more points than the reader wants are refused before they are built")
  func maximumPoints() throws {
    var rings = RandomRings(seed: 7)
    let ring = try rings.ring()
    #expect(try Ring(bytes: ring.bytes, maximumPoints: ring.pointCount) == ring)
    let error = #expect(throws: RingError.self) {
      _ = try Ring(bytes: ring.bytes, maximumPoints: ring.pointCount - 1)
    }
    #expect(error?.code == .tooManyPoints)
    #expect(error?.message.contains("\(ring.pointCount)") == true)
  }

  @Test("a digest tells rings apart")
  func digests() throws {
    var rings = RandomRings(seed: 5)
    let members = rings.members()
    var digests: Set<UInt128> = []
    for (index, _) in members.enumerated() {
      var changed = members
      changed[index].zone += "'"
      digests.insert(try rings.ring(of: changed).digest)
      changed = members
      changed[index].weight += 0.25
      digests.insert(try rings.ring(of: changed).digest)
    }
    #expect(digests.count == 2 * members.count)
  }
}

@Suite("Bad input")
struct BadInputTests {
  private func expect(
    _ code: RingError.Code, naming value: String, _ body: (inout RingBuilder) throws -> Void
  ) throws {
    var builder = try RingBuilder()
    let error = #expect(throws: RingError.self) { try body(&builder) }
    #expect(error?.code == code)
    #expect(error?.message.contains(value) == true, "\(String(describing: error))")
  }

  @Test("every bad member is refused by name")
  func members() throws {
    try expect(.emptyRing, naming: "member") { _ = try $0.build() }
    try expect(.emptyRing, naming: "weight 0") {
      try $0.add(Member(id: "a", weight: 0))
      _ = try $0.build()
    }
    try expect(.emptyID, naming: "no id") { try $0.add(Member(id: "")) }
    try expect(.duplicateID, naming: "'a'") {
      try $0.add(Member(id: "a"))
      try $0.add(Member(id: "a", weight: 2))
    }
    for weight in [-1, -Double.leastNonzeroMagnitude, .nan, .infinity, -.infinity] {
      try expect(.badWeight, naming: "\(weight)") { try $0.add(Member(id: "a", weight: weight)) }
    }
    try expect(.unknownID, naming: "'b'") { try $0.remove("b") }
    try expect(.unknownID, naming: "'b'") { try $0.update(Member(id: "b")) }
    try expect(.tooManyPoints, naming: "'a'") {
      try $0.add(Member(id: "a", weight: 1e300))
      _ = try $0.build()
    }
    try expect(.tooManyPoints, naming: "16777472") {
      try $0.add(Member(id: "a", weight: 65_536 - 1))
      try $0.add(Member(id: "b", weight: 2))
      _ = try $0.build()
    }
    let long = String(repeating: "é", count: 513)
    for member in [Member(id: long), Member(id: "a", zone: long), Member(id: "a", rack: long)] {
      try expect(.longID, naming: "1026 bytes") { try $0.add(member) }
    }
  }

  @Test("one member more than a ring may have is refused")
  func tooManyMembers() throws {
    try expect(.tooManyMembers, naming: "'65535'") { builder in
      for number in 0...Ring.maximumMembers { try builder.add(Member(id: "\(number)")) }
    }
  }

  @Test("points per unit outside 1...65536 are refused", arguments: [0, -1, 65_537, .max])
  func pointsPerUnit(count: Int) {
    let error = #expect(throws: RingError.self) { _ = try RingBuilder(pointsPerUnit: count) }
    #expect(error?.code == .badPointsPerUnit)
  }

  @Test("minus zero is zero")
  func minusZero() throws {
    var rings = RandomRings(seed: 6)
    let members = rings.members()
    let plus = try rings.ring(of: members + [Member(id: "z", weight: 0)])
    let minus = try rings.ring(of: members + [Member(id: "z", weight: -0.0)])
    #expect(plus.bytes == minus.bytes)
    #expect(try Ring(bytes: minus.bytes) == minus)
  }

  @Test("a ring holds as many members as it says")
  func mostMembers() throws {
    var builder = try RingBuilder(pointsPerUnit: 1)
    for number in 1...Ring.maximumMembers { try builder.add(Member(id: "\(number)")) }
    let ring = try builder.build()
    #expect(ring.pointCount == Ring.maximumMembers)
    #expect(ring.preferenceList(ofPosition: 0, count: .max).count == Ring.maximumMembers)
    #expect(try Ring(bytes: ring.bytes) == ring)
  }
}
