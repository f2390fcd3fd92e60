import CRivals
import CycladesRing
import Measure

/// What to look up: random positions, and 24-byte keys one behind the other, as many as a few large
/// reads bring in.
struct Keys {
  let positions: [UInt64]
  let bytes: [UInt8]
  let ends: [UInt32]

  init() {
    let keyCount = 1 << 16
    var random = SystemRandomNumberGenerator()
    positions = (0..<1 << 20).map { _ in random.next() }
    bytes = (0..<24 * keyCount).map { _ in UInt8(truncatingIfNeeded: random.next() as UInt64) }
    ends = (1...keyCount).map { UInt32(24 * $0) }
  }
}

/// One ring and all that was measured on it.
struct Row {
  let nodes: Int
  let ring: Ring
  /// Nanoseconds per lookup by name of the column.
  let lookups: [(name: String, nanoseconds: Double)]
  let buildMilliseconds: Double
  let addMilliseconds: Double
  let decodeMilliseconds: Double
  /// Bytes per node by name of the placement.
  let memory: [(name: String, bytes: Int)]
  let swaps: Swaps

  init(nodes: Int, keys: Keys, rounds: Int) throws {
    self.nodes = nodes
    let members = (0..<nodes).map { Member(id: "node-\($0)") }
    var builder = try RingBuilder()
    for member in members { try builder.add(member) }
    let ring = try builder.build()
    self.ring = ring
    var larger = RingBuilder(ring)
    try larger.add(Member(id: "newcomer"))

    let jump = try JumpHash(members)
    let maglev = try MaglevTable(members, size: Self.maglevSize(nodes))
    let lookups =
      Self.lookups(ring, keys) + Self.rivals(ring, keys) + [
        Self.single("jump", jump, keys), Self.single("maglev", maglev, keys),
      ]
    let times = try minima(of: lookups, rounds: rounds)
    self.lookups = zip(lookups.map(\.name), times).map { ($0, $1) }
    let changes = [
      Trial("build", operations: 1) { [builder] in keep(UInt64(try builder.build().byteCount)) },
      Trial("add", operations: 1) { [larger] in keep(UInt64(try larger.build().byteCount)) },
      Trial("decode", operations: 1) { keep(UInt64(try Ring(bytes: ring.bytes).byteCount)) },
    ]
    let taken = try minima(of: changes, rounds: rounds).map { $0 / 1e6 }
    (buildMilliseconds, addMilliseconds, decodeMilliseconds) = (taken[0], taken[1], taken[2])
    memory = [
      ("ring", ring.byteCount / nodes),
      ("ketama (160 points, as structs)", 160 * MemoryLayout<rival_point>.stride),
      ("KetamaRing", try KetamaRing(members).byteCount / nodes),
      ("maglev", maglev.byteCount / nodes), ("jump", jump.byteCount / nodes),
    ]
    swaps = try Swaps(ring, keys: keys, rounds: rounds)
  }

  subscript(name: String) -> Double { lookups.first { $0.name == name }!.nanoseconds }

  /// The sizes of Maglev's paper, and one with a hundred entries per node beyond them.
  private static func maglevSize(_ nodes: Int) -> Int {
    nodes <= 100 ? 65_537 : nodes <= 1000 ? 655_373 : 1_000_003
  }

  private static func single(_ name: String, _ placement: some Placement, _ keys: Keys) -> Trial {
    Trial(name, operations: keys.positions.count) {
      var sum = 0
      for position in keys.positions { sum &+= placement.ownerIndex(ofPosition: position) }
      keep(UInt64(sum))
    }
  }

  private static func lookups(_ ring: Ring, _ keys: Keys) -> [Trial] {
    let count = keys.positions.count
    return [
      single("single", ring, keys),
      Trial("batch", operations: count) {
        var owners = [UInt16](repeating: 0, count: count)
        var span = owners.mutableSpan
        ring.owners(ofPositions: keys.positions.span, into: &span)
        keep(UInt64(owners[count / 2]))
      },
      Trial("hash+batch", operations: count) {
        var owners = [UInt16](repeating: 0, count: keys.ends.count)
        for _ in 0..<count / keys.ends.count {
          var span = owners.mutableSpan
          ring.owners(ofKeys: keys.bytes.span, endingAt: keys.ends.span, into: &span)
          keep(UInt64(owners[0]))
        }
      },
      Trial("binary", operations: count) {
        var sum = 0
        for position in keys.positions {
          sum &+= ring.ownerIndexByBinarySearch(ofPosition: position)
        }
        keep(UInt64(sum))
      },
    ]
  }

  private static func rivals(_ ring: Ring, _ keys: Keys) -> [Trial] {
    let (positions, count) = (keys.positions, keys.positions.count)
    let points = Self.points(of: ring)
    let bare = points.map(\.position)
    return [
      Trial("lower_bound", operations: count) {
        unsafe keep(rival_lower_bound(bare, bare.count, positions, count))
      },
      Trial("ketama", operations: count) {
        unsafe keep(rival_ketama(points, points.count, positions, count))
      },
    ]
  }

  /// The arcs of a ring as a ketama continuum: what the ring takes from a member that has all.
  private static func points(of ring: Ring) -> [rival_point] {
    var builder = try! RingBuilder()
    try! builder.add(Member(id: "nobody"))
    let nothing = try! builder.build()
    let numbers = Dictionary(uniqueKeysWithValues: zip(ring.members.map(\.id), UInt64(0)...))
    return ring.diff(from: nothing).moves.map {
      rival_point(position: $0.positions.upperBound, owner: numbers[$0.to]!)
    }
  }
}
