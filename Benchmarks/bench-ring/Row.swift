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
  private(set) var lookups: [(name: String, nanoseconds: Double)] = []
  private(set) var buildMilliseconds = 0.0
  private(set) var addMilliseconds = 0.0

  init(nodes: Int, keys: Keys, rounds: Int) throws {
    self.nodes = nodes
    var builder = try RingBuilder()
    for number in 0..<nodes { try builder.add(Member(id: "node-\(number)")) }
    let ring = try builder.build()
    self.ring = ring
    var larger = RingBuilder(ring)
    try larger.add(Member(id: "newcomer"))

    let lookups = Self.lookups(ring, keys) + Self.rivals(ring, keys)
    let times = try medians(of: lookups, rounds: rounds)
    self.lookups = zip(lookups.map(\.name), times).map { ($0, $1) }
    let changes = [
      Trial("build", operations: 1) { [builder] in keep(UInt64(try builder.build().byteCount)) },
      Trial("add", operations: 1) { [larger] in keep(UInt64(try larger.build().byteCount)) },
    ]
    let taken = try medians(of: changes, rounds: rounds)
    (buildMilliseconds, addMilliseconds) = (taken[0] / 1e6, taken[1] / 1e6)
  }

  subscript(name: String) -> Double { lookups.first { $0.name == name }!.nanoseconds }

  private static func lookups(_ ring: Ring, _ keys: Keys) -> [Trial] {
    let count = keys.positions.count
    return [
      Trial("single", operations: count) {
        var sum = 0
        for position in keys.positions { sum &+= ring.ownerIndex(ofPosition: position) }
        keep(UInt64(sum))
      },
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
      Trial("jump", operations: count) {
        unsafe keep(rival_jump(Int32(ring.members.count), positions, count))
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
