import CycladesRing

/// SplitMix64: a seed names a test case for good.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: Int) { state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// Random members and rings, small enough for thousands of them in a debug build.
struct RandomRings {
  var random: SeededGenerator
  let pointsPerUnit: Int
  private var named = 0

  init(seed: Int) {
    random = SeededGenerator(seed: seed)
    pointsPerUnit = [1, 2, 7, 16, 64, 256][Int.random(in: 0..<6, using: &random)]
  }

  mutating func weight() -> Double {
    switch Int.random(in: 0..<10, using: &random) {
    case 0: 0
    case 1: 1e-9
    case 2, 3, 4: Double.random(in: 0.1...4, using: &random)
    default: 1
    }
  }

  mutating func member(weight: Double? = nil) -> Member {
    named += 1
    let weight = weight ?? self.weight()
    let zone = ["", "x", "y", "z"].randomElement(using: &random)!
    let rack = ["", "1", "2"].randomElement(using: &random)!
    let id = "\(UInt32.random(in: 0...9999, using: &random))/\(named)"
    return Member(id: id, weight: weight, zone: zone, rack: rack)
  }

  /// 1 to 20 members, one of which at least has points.
  mutating func members() -> [Member] {
    let others = (0..<Int.random(in: 0..<20, using: &random)).map { _ in member() }
    return (others + [member(weight: 1)]).shuffled(using: &random)
  }

  mutating func ring() throws -> Ring { try ring(of: members()) }

  func ring(of members: [Member]) throws -> Ring {
    var builder = try RingBuilder(pointsPerUnit: pointsPerUnit)
    for member in members { try builder.add(member) }
    return try builder.build()
  }

  /// Members of weight 1 with the default number of points.
  static func even(_ count: Int, named name: String) throws -> Ring {
    var builder = try RingBuilder()
    for number in 0..<count { try builder.add(Member(id: "\(name)-\(number)")) }
    return try builder.build()
  }

  /// Positions that matter: at, before and after points of the ring, the ends, and random ones.
  mutating func probes(_ ring: Ring) -> [UInt64] {
    var probes: [UInt64] = [0, 0xFFFF, 0x10000, .max, .max - 0xFFFF, .max - 0x10000]
    for move in ring.arcs.shuffled(using: &random).prefix(8) {
      for edge in [move.positions.lowerBound, move.positions.upperBound] {
        probes += [edge &- 1, edge, edge &+ 1]
      }
    }
    for _ in 0..<20 { probes.append(random.next()) }
    return probes
  }
}

extension Ring {
  /// The arcs of this ring, as what it takes from a member that owns everything.
  var arcs: [RingDiff.Move] {
    var builder = try! RingBuilder(pointsPerUnit: 1)
    try! builder.add(Member(id: "nobody"))
    return diff(from: try! builder.build()).moves
  }

  /// Shares by member id.
  var shares: [String: Double] {
    Dictionary(uniqueKeysWithValues: statistics.parts.map { ($0.member.id, $0.share) })
  }
}
