/// An immutable consistent-hash ring.
///
/// A ring is a pure function from 64-bit positions to members. Every member owns the arcs that end
/// at its virtual nodes; a key belongs to the first virtual node whose 48-bit position is not below
/// its own, and past the last one to the first. Which members there are, with which weights and how
/// many points per unit of weight, decides placement to the bit, on every machine.
///
/// Keys are hashed with XXH3-64, seed 0. Whoever has another order of keys passes positions.
///
/// - Thread safety: any thread may use any ring; lookups take no lock and allocate nothing.
public final class Ring: Placement {
  /// The most members a ring may have.
  public static let maximumMembers = 65_535
  /// The most virtual nodes a ring may have: all members at 256 points.
  public static let maximumPoints = 1 << 24

  /// The members in order of their ids' bytes. Indices in this API are into this array.
  public let members: [Member]
  /// The version of this ring, as its builder set it.
  public let epoch: UInt64
  /// Virtual nodes per unit of weight.
  public let pointsPerUnit: Int
  /// The canonical bytes: equal for equal members, epoch and points per unit, on every machine.
  ///
  /// They hold the members and a hash of all points, not the points, which follow from the
  /// members: 1000 members take 24 KB instead of 4 MB. ``init(bytes:maximumPoints:)`` checks both.
  public let bytes: [UInt8]
  /// XXH3-128 of the canonical bytes. Equal digests mean equal rings.
  public let digest: UInt128

  let table: PointTable

  /// Builds from valid members in order of id, taking from `base` the points that it has already.
  init(members: [Member], epoch: UInt64, pointsPerUnit: Int, base: Ring?) throws(RingError) {
    let sources = try Self.sources(of: members, pointsPerUnit: pointsPerUnit, base: base)
    let pointCount = sources.reduce(0) { $0 + $1.points }
    guard pointCount > 0 else { throw RingError.empty(members) }
    guard pointCount <= Self.maximumPoints else {
      throw RingError(
        .tooManyPoints,
        "the weights ask for \(pointCount) points; a ring has at most \(Self.maximumPoints)")
    }
    self.members = members
    self.epoch = epoch
    self.pointsPerUnit = pointsPerUnit
    if let base, base.pointsPerUnit == pointsPerUnit, Self.areSame(base.members, members) {
      table = base.table
    } else {
      table = try PointTable(sources, base: base)
    }
    bytes = RingCoding.encode(
      members: members, epoch: epoch, pointsPerUnit: pointsPerUnit, pointCount: pointCount,
      placement: table.placement)
    digest = RingCoding.digest(of: bytes)
  }

  /// Whether two lists have the same members, byte for byte: then they have the same points.
  private static func areSame(_ one: [Member], _ other: [Member]) -> Bool {
    one.elementsEqual(other) { a, b in
      a.hasSameID(as: b) && a.weight == b.weight && a.zone.utf8.elementsEqual(b.zone.utf8)
        && a.rack.utf8.elementsEqual(b.rack.utf8)
    }
  }

  private static func sources(
    of members: [Member], pointsPerUnit: Int, base: Ring?
  ) throws(RingError) -> [PointSource] {
    var zones = DomainNumbers()
    var old = base.map { $0.members[...] } ?? []
    var sources: [PointSource] = []
    sources.reserveCapacity(members.count)
    for member in members {
      while let first = old.first, first.id.utf8.lexicographicallyPrecedes(member.id.utf8) {
        old.removeFirst()
      }
      let isInherited =
        old.first.map { $0.hasSameID(as: member) && $0.weight == member.weight } ?? false
      sources.append(
        PointSource(
          id: member.id, points: try member.pointCount(perUnit: pointsPerUnit),
          zone: zones.number(of: member.zone), inherited: isInherited ? old.startIndex : nil))
    }
    return sources
  }

  /// The number of virtual nodes.
  public var pointCount: Int { table.count }

  /// Memory of the points and their index in bytes, with what rings made from one another share.
  public var byteCount: Int { table.byteCount }

  // MARK: Lookups

  /// The position of a key: its XXH3-64 hash with seed 0.
  public static func position(of key: RawSpan) -> UInt64 { RingHash.position(key) }

  /// The position of a key: its XXH3-64 hash with seed 0.
  public static func position(of key: Span<UInt8>) -> UInt64 { RingHash.position(key) }

  /// The member that owns a key.
  ///
  /// - Complexity: O(1) expected, after hashing the key.
  public func owner(of key: RawSpan) -> Member { owner(ofPosition: Self.position(of: key)) }

  /// The index in ``members`` of the owner of a position.
  ///
  /// - Complexity: O(1) expected: one cache line, and two more for one position in a hundred.
  public func ownerIndex(ofPosition position: UInt64) -> Int { table.owner(position) }

  /// The index in ``members`` of the owner of a position, found by binary search.
  ///
  /// Always what ``ownerIndex(ofPosition:)`` gives; here as the reference to test and measure by.
  ///
  /// - Complexity: O(log points), without a branch that depends on the data.
  public func ownerIndexByBinarySearch(ofPosition position: UInt64) -> Int {
    table.ownerBySearch(position)
  }

  /// The indices in ``members`` of the owners of many positions.
  ///
  /// Overlaps the memory accesses of neighbours: two to three times as fast as one by one in rings
  /// that do not fit the processor's nearest caches.
  ///
  /// - Precondition: `owners` has as many elements as `positions`.
  /// - Complexity: O(1) expected per position.
  public func owners(ofPositions positions: Span<UInt64>, into owners: inout MutableSpan<UInt16>) {
    table.owners(positions, into: &owners)
  }

  /// The indices in ``members`` of the owners of many keys, hashed on the way.
  ///
  /// - Parameters:
  ///   - keys: the keys, one behind the other.
  ///   - ends: where each key ends, exclusive; it starts where the one before it ended.
  ///   - owners: gets one index per key.
  /// - Precondition: `ends` ascends and stays within `keys`; `owners` has as many elements.
  /// - Complexity: O(bytes).
  public func owners(
    ofKeys keys: Span<UInt8>, endingAt ends: Span<UInt32>, into owners: inout MutableSpan<UInt16>
  ) {
    table.owners(ofKeys: keys, endingAt: ends, into: &owners)
  }
}

extension Ring: Equatable {
  /// Whether two rings have the same members, epoch and placement.
  public static func == (a: Ring, b: Ring) -> Bool { a.digest == b.digest }
}

extension Member {
  func hasSameID(as other: Member) -> Bool { id.utf8.elementsEqual(other.id.utf8) }
}

/// Numbers failure domains: equal names get equal numbers, every empty name one of its own.
private struct DomainNumbers {
  private var known: [RingBuilder.ID: UInt16] = [:]
  private var next: UInt16 = 0

  mutating func number(of name: String) -> UInt16 {
    let id = RingBuilder.ID(name)
    if !name.isEmpty, let number = known[id] { return number }
    if !name.isEmpty { known[id] = next }
    defer { next += 1 }
    return next
  }
}
