import CycladesRing
import Testing

@Suite("Movement")
struct MovementTests {
  /// Checks a diff against the two rings: it says what moved, all of it, in as few ranges as can be.
  private func check(_ diff: RingDiff, from old: Ring, to new: Ring, probes: [UInt64]) {
    for probe in probes {
      let (before, after) = (old.owner(ofPosition: probe).id, new.owner(ofPosition: probe).id)
      let move = diff.move(at: probe)
      #expect(move?.from == (before == after ? nil : before))
      #expect(move?.to == (before == after ? nil : after))
    }
    for (move, next) in zip(diff.moves, diff.moves.dropFirst()) {
      #expect(move.positions.upperBound < next.positions.lowerBound)
      let touches = move.positions.upperBound + 1 == next.positions.lowerBound
      #expect(!(touches && move.from == next.from && move.to == next.to))
    }
    var shares = old.shares
    for move in diff.moves {
      shares[move.from]! -= move.share
      shares[move.to, default: 0] += move.share
    }
    for (id, share) in new.shares { #expect(shares.removeValue(forKey: id) ?? 0 == share) }
    #expect(shares.values.allSatisfy { $0 == 0 }, "those who left own nothing")
    #expect(diff.share == diff.moves.reduce(0) { $0 + $1.share })
  }

  @Test("adding a member moves ranges to it alone, exactly its share")
  func adding() throws {
    for seed in seeds {
      var rings = RandomRings(seed: seed)
      let old = try rings.ring()
      let newcomer = rings.member()
      let new = try rings.ring(of: old.members + [newcomer])
      let diff = new.diff(from: old)
      #expect(diff.moves.allSatisfy { $0.to == newcomer.id }, "seed \(seed)")
      #expect(diff.share == new.shares[newcomer.id], "seed \(seed)")
      check(diff, from: old, to: new, probes: rings.probes(new))
    }
  }

  @Test("removing a member moves ranges from it alone, exactly its share")
  func removing() throws {
    for seed in seeds {
      var rings = RandomRings(seed: seed)
      let stay = rings.members()
      let leaver = rings.member()
      let old = try rings.ring(of: stay + [leaver])
      let new = try rings.ring(of: stay)
      let diff = new.diff(from: old)
      #expect(diff.moves.allSatisfy { $0.from == leaver.id }, "seed \(seed)")
      #expect(diff.share == old.shares[leaver.id], "seed \(seed)")
      check(diff, from: old, to: new, probes: rings.probes(old))
    }
  }

  @Test("a heavier member only gains, a lighter one only loses, the others trade nothing")
  func reweighting() throws {
    for seed in seeds {
      var rings = RandomRings(seed: seed)
      let others = rings.members()
      var member = rings.member()
      let old = try rings.ring(of: others + [member])
      let before = member.weight
      member.weight = rings.weight()
      let new = try rings.ring(of: others + [member])
      let diff = new.diff(from: old)
      #expect(diff.moves.allSatisfy { (member.weight > before ? $0.to : $0.from) == member.id })
      check(diff, from: old, to: new, probes: rings.probes(new))
    }
  }

  @Test("any change of members is described in full")
  func anyChange() throws {
    for seed in seeds {
      var rings = RandomRings(seed: seed)
      let old = try rings.ring()
      let new = try rings.ring(of: old.members.filter { $0.weight != 1 } + rings.members())
      check(new.diff(from: old), from: old, to: new, probes: rings.probes(old) + rings.probes(new))
      #expect(new.diff(from: new).moves.isEmpty)
    }
  }

  @Test("a ring built from another one has the same bytes as one built anew")
  func mergeEqualsBuild() throws {
    for seed in seeds {
      var rings = RandomRings(seed: seed)
      var ring = try rings.ring()
      for _ in 0..<3 {
        var builder = RingBuilder(ring)
        for var member in ring.members.dropFirst(ring.members.count > 1 ? 1 : 0) {
          switch Int.random(in: 0..<4, using: &rings.random) {
          case 0: try builder.remove(member.id)
          case 1:
            member.weight = rings.weight()
            try builder.update(member)
          case 2:
            member.zone = "elsewhere"
            try builder.update(member)
          default: try builder.add(rings.member())
          }
        }
        try builder.add(rings.member(weight: 1))
        builder.epoch = 0
        ring = try builder.build()
        let anew = try rings.ring(of: ring.members.shuffled(using: &rings.random))
        #expect(ring.bytes == anew.bytes, "seed \(seed)")
        let probes = rings.probes(anew)
        #expect(
          probes.map { ring.ownerIndex(ofPosition: $0) }
            == probes.map { anew.ownerIndex(ofPosition: $0) })
        #expect(
          ring.preferenceList(ofPosition: probes[7], count: 5)
            == anew.preferenceList(ofPosition: probes[7], count: 5))
      }
    }
  }

  @Test("a builder made from a ring counts the epoch on")
  func epochs() throws {
    var rings = RandomRings(seed: 0)
    let ring = try rings.ring()
    let next = try RingBuilder(ring).build()
    #expect(next.epoch == ring.epoch + 1)
    #expect(next.diff(from: ring).moves.isEmpty)
    #expect(next != ring)
  }
}

extension RingDiff {
  /// The move that a position is part of, by binary search.
  fileprivate func move(at position: UInt64) -> Move? {
    var (low, high) = (0, moves.count)
    while low < high {
      let middle = (low + high) / 2
      if moves[middle].positions.upperBound < position { low = middle + 1 } else { high = middle }
    }
    return low < moves.count && moves[low].positions.contains(position) ? moves[low] : nil
  }
}
