import CycladesRing
import Testing

@Suite("Other placements")
struct OtherPlacementTests {
  private let keys = (0..<10_000).map { "key-\($0)" }

  private func digest(_ placement: some Placement) -> UInt128 {
    let bytes = keys.flatMap { key in
      let owner = placement.ownerIndex(ofPosition: type(of: placement).position(of: key))
      return [UInt8(owner & 0xFF), UInt8(owner >> 8)]
    }
    return RingHash.digest(bytes.span)
  }

  private func members(_ count: Int) -> [Member] { (0..<count).map { Member(id: "node-\($0)") } }

  private func owners(_ placement: some Placement) -> [String] {
    keys.map { placement.owner(of: $0).id }
  }

  @Test("ketama places 10,000 keys as uhashring does", arguments: OtherVector.all.indices)
  func ketama(index: Int) throws {
    let vector = OtherVector.all[index]
    let ring = try KetamaRing(vector.members.map { Member(id: $0.id, weight: $0.weight) })
    #expect(ring.pointCount == vector.ketamaPoints)
    #expect(digest(ring) == vector.ketama, "\(vector.title)")
  }

  @Test("a point where two ketama members collide belongs to the one listed last")
  func ketamaCollision() throws {
    let (a, b) = (Member(id: "c-423"), Member(id: "c-749"))
    // Below the point at 184207872 = 0xafaca00, and on it, which is past it.
    let below: UInt64 = 0x0afa_c9ff_0001_0000
    #expect(try KetamaRing([a, b]).owner(ofPosition: below) == b)
    #expect(try KetamaRing([b, a]).owner(ofPosition: below) == a)
    let on = try KetamaRing([a, b]).owner(ofPosition: below + 1 << 32)
    #expect(try on == KetamaRing([b, a]).owner(ofPosition: below + 1 << 32))
  }

  @Test("jump hash and Maglev agree with other implementations", arguments: OtherVector.all.indices)
  func jumpAndMaglev(index: Int) throws {
    let vector = OtherVector.all[index]
    #expect(try digest(JumpHash(vector.members.map { Member(id: $0.id) })) == vector.jump)
    let members = vector.members.map { Member(id: $0.id, weight: $0.weight) }
    #expect(try digest(MaglevTable(members, size: 1009)) == vector.maglev)
    #expect(
      try MaglevTable(members.reversed(), size: 1009).members
        == members.sorted {
          $0.id.utf8.lexicographicallyPrecedes($1.id.utf8)
        })
  }

  /// Keys that moved, and how many of them neither to the newcomer nor from the leaver.
  private func moves(_ before: [String], _ after: [String], _ changed: String) -> (Int, Int) {
    let moved = zip(before, after).filter { $0 != $1 }
    return (moved.count, moved.count { $0 != changed && $1 != changed })
  }

  @Test("a newcomer gets its share, and of the others' keys none, a few, or some move")
  func disruption() throws {
    let fair = 10_000 / 21
    func check(_ old: some Placement, _ new: some Placement, strays: ClosedRange<Int>) {
      let (moved, strayed) = moves(owners(old), owners(new), "node-20")
      #expect(strays.contains(strayed), "\(type(of: old)): \(strayed)")
      #expect((fair / 2...fair * 2).contains(moved - strayed), "\(type(of: old)): \(moved)")
    }
    let (few, more) = (members(20), members(21))
    let ring = try RandomRings(seed: 5).ring(of: few)
    let larger = try RandomRings(seed: 5).ring(of: more)
    check(ring, larger, strays: 0...0)
    check(try KetamaRing(few), try KetamaRing(more), strays: 0...0)
    check(try JumpHash(few), try JumpHash(more), strays: 0...0)
    check(try MaglevTable(few), try MaglevTable(more), strays: 1...300)
  }

  @Test("Maglev's members share the table evenly, by weight")
  func maglevBalance() throws {
    var members = members(10)
    members[3].weight = 0.5
    members[4].weight = 0
    members[5].weight = 2
    let table = try MaglevTable(members)
    var entries = [Int](repeating: 0, count: 10)
    let step = UInt64.max / UInt64(table.size) + 1
    for entry in 0..<table.size {
      entries[table.ownerIndex(ofPosition: UInt64(entry) * step + step / 2)] += 1
    }
    #expect(entries.reduce(0, +) == table.size)
    let total = members.reduce(0) { $0 + $1.weight }
    for (member, count) in zip(table.members, entries) {
      #expect(abs(Double(count) - member.weight / total * Double(table.size)) <= 2)
    }
  }

  @Test("jump hash uses all members evenly")
  func jumpBalance() throws {
    let counts = Dictionary(owners(try JumpHash(members(10))).map { ($0, 1) }, uniquingKeysWith: +)
    #expect(counts.count == 10)
    #expect(counts.values.allSatisfy { (850...1150).contains($0) })
  }

  @Test("batches of all placements are what single lookups are")
  func batches() throws {
    func check(_ placement: some Placement) {
      let positions = keys.map { type(of: placement).position(of: Array($0.utf8)) }
      var owners = [UInt16](repeating: .max, count: positions.count)
      var span = owners.mutableSpan
      placement.owners(ofPositions: positions.span, into: &span)
      #expect(owners.map(Int.init) == positions.map { placement.ownerIndex(ofPosition: $0) })
    }
    check(try KetamaRing(members(30)))
    check(try JumpHash(members(30)))
    check(try MaglevTable(members(30)))
  }

  @Test("bad members are refused by name, whatever the placement")
  func badMembers() throws {
    func expect(_ code: RingError.Code, naming value: String, _ body: () throws -> any Placement) {
      let error = #expect(throws: RingError.self) { _ = try body() }
      #expect(error?.code == code)
      #expect(error?.message.contains(value) == true, "\(String(describing: error))")
    }
    let kinds: [([Member]) throws -> any Placement] = [
      { try KetamaRing($0) }, { try JumpHash($0) }, { try MaglevTable($0) },
    ]
    for make in kinds {
      expect(.emptyRing, naming: "member") { try make([]) }
      expect(.emptyRing, naming: "weight 0") { try make([Member(id: "a", weight: 0)]) }
      expect(.emptyID, naming: "no id") { try make([Member(id: "")]) }
      expect(.duplicateID, naming: "'a'") { try make([Member(id: "a"), Member(id: "a")]) }
      expect(.badWeight, naming: "nan") { try make([Member(id: "a", weight: .nan)]) }
      expect(.badWeight, naming: "-1.0") { try make([Member(id: "a", weight: -1)]) }
      expect(.tooManyMembers, naming: "'65535'") {
        try make((0...Ring.maximumMembers).map { Member(id: "\($0)") })
      }
    }
    for weight in [0.5, 0x1p40] {
      expect(.badWeight, naming: "\(weight)") { try KetamaRing([Member(id: "a", weight: weight)]) }
    }
    expect(.badWeight, naming: "2.0") { try JumpHash([Member(id: "a", weight: 2)]) }
    for size in [-1, 0, 1, 4, 65_536, 1 << 24, .max] {
      expect(.badTableSize, naming: "\(size)") { try MaglevTable([Member(id: "a")], size: size) }
    }
  }
}
