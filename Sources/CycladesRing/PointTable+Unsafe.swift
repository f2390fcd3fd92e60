// The only file of this module that touches pointers: it owns the C block and lends it out as
// spans. Nothing unsafe is visible outside.
internal import CCycladesRing

/// One member as the C core sees it.
struct PointSource {
  var id: String
  var points: Int
  var zone: UInt16
  /// Its number in the ring this one is merged from, if its points are the same there.
  var inherited: Int?
}

/// Frees the C block when no ring uses it any more.
@safe private final class PointBlock {
  let address: UnsafePointer<cyc_ring>

  init(_ address: UnsafePointer<cyc_ring>) { unsafe self.address = address }

  deinit { unsafe cyc_ring_free(address) }
}

/// The sorted points of a ring with their index, in memory of the C core.
///
/// Copies share the block. Sendable: nobody writes the block after it was built.
@safe struct PointTable: @unchecked Sendable {
  // The address beside its keeper: a lookup would otherwise go through one pointer more.
  private let block: UnsafePointer<cyc_ring>
  private let keeper: PointBlock

  /// Builds the points of `sources`, which are in order of id, taking from `base` what they share.
  init(_ sources: [PointSource], base: Ring?) throws(RingError) {
    var ids: [UInt8] = []
    var described: [cyc_ring_source] = []
    described.reserveCapacity(sources.count)
    var renumber = [UInt16](repeating: UInt16(CYC_RING_GONE), count: base?.members.count ?? 0)
    for (number, source) in sources.enumerated() {
      described.append(
        cyc_ring_source(
          id_offset: UInt32(ids.count), id_length: UInt32(source.id.utf8.count),
          points: UInt32(source.points), zone: source.zone,
          changed: source.inherited == nil ? 1 : 0))
      ids.append(contentsOf: source.id.utf8)
      if let inherited = source.inherited { renumber[inherited] = UInt16(number) }
    }
    let count = UInt32(described.count)
    if let base {
      try unsafe self.init(
        cyc_ring_merge(base.table.block, renumber, described, count, ids), members: count)
    } else {
      try unsafe self.init(cyc_ring_build(described, count, ids), members: count)
    }
  }

  /// A table of points that are not those of the ring's own hash: position in the high 48 bits,
  /// owner in the low 16, in any order.
  init(points: [UInt64], memberCount: Int) throws(RingError) {
    var described = (0..<memberCount).map {
      cyc_ring_source(id_offset: 0, id_length: 0, points: 0, zone: UInt16($0), changed: 0)
    }
    for point in points { described[Int(UInt16(truncatingIfNeeded: point))].points += 1 }
    let count = UInt32(memberCount)
    try unsafe self.init(cyc_ring_build_from_points(described, count, points), members: count)
  }

  private init(_ built: UnsafeMutablePointer<cyc_ring>?, members: UInt32) throws(RingError) {
    guard let built = unsafe built else {
      throw RingError(.outOfMemory, "no memory for the points of \(members) members")
    }
    unsafe block = UnsafePointer(built)
    unsafe keeper = PointBlock(block)
  }

  /// Lends out the points in ascending order: position in the high 48 bits, owner in the low 16.
  func withPoints<Result>(_ body: (Span<UInt64>) -> Result) -> Result {
    body(unsafe Span(_unsafeStart: cyc_ring_points(block), count: count))
  }

  /// How many cells of the index are not, in memory, those of another table.
  func ownCellCount(besides other: PointTable) -> Int {
    unsafe Int(cyc_ring_own_cells(block, other.block))
  }

  /// Whether two tables are one: rings of the same members share it.
  func isIdentical(to other: PointTable) -> Bool { keeper === other.keeper }

  var count: Int { unsafe Int(block.pointee.points) }
  var placement: UInt64 { unsafe block.pointee.placement }
  var byteCount: Int { unsafe Int(cyc_ring_size(block)) }
  var memberCount: Int { unsafe Int(block.pointee.members) }

  func owner(_ position: UInt64) -> Int { unsafe Int(cyc_ring_owner(block, position)) }

  func ownerBySearch(_ position: UInt64) -> Int {
    unsafe Int(cyc_ring_owner_by_search(block, position))
  }

  func owners(_ positions: Span<UInt64>, into owners: inout MutableSpan<UInt16>) {
    precondition(positions.count == owners.count, "as many owners as positions")
    unsafe positions.withUnsafeBufferPointer { positions in
      unsafe owners.withUnsafeMutableBufferPointer { owners in
        unsafe cyc_ring_owners(block, positions.baseAddress, positions.count, owners.baseAddress)
      }
    }
  }

  func owners(
    ofKeys keys: Span<UInt8>, endingAt ends: Span<UInt32>, into owners: inout MutableSpan<UInt16>
  ) {
    precondition(ends.count == owners.count, "as many owners as keys")
    var last: UInt32 = 0
    for index in ends.indices {
      precondition(ends[index] >= last, "the ends of keys ascend")
      last = ends[index]
    }
    precondition(Int(last) <= keys.count, "keys end within the bytes")
    unsafe keys.withUnsafeBufferPointer { keys in
      unsafe ends.withUnsafeBufferPointer { ends in
        unsafe owners.withUnsafeMutableBufferPointer { owners in
          unsafe cyc_ring_owners_of_keys(
            block, keys.baseAddress, ends.baseAddress, ends.count, owners.baseAddress)
        }
      }
    }
  }

  /// The first member from a position on whose load is below `bound` times its share.
  func owner(
    _ position: UInt64, withLoads loads: Span<UInt32>, shares: Span<Double>, below bound: Double
  ) -> Int {
    precondition(loads.count == memberCount && shares.count == memberCount, "one per member")
    return unsafe loads.withUnsafeBufferPointer { loads in
      unsafe shares.withUnsafeBufferPointer { shares in
        unsafe Int(
          cyc_ring_owner_with_room(
            block, position, loads.baseAddress!, shares.baseAddress!, bound))
      }
    }
  }

  /// Writes the first members in ring order, of distinct zones if asked for; says how many.
  func walk(
    from position: UInt64, distinctZones: Bool, into owners: inout MutableSpan<UInt16>
  ) -> Int {
    unsafe owners.withUnsafeMutableBufferPointer {
      unsafe cyc_ring_walk(
        block, position, distinctZones ? CYC_RING_ZONES : CYC_RING_MEMBERS, $0.count,
        $0.baseAddress)
    }
  }

  /// Up to `limit` members in ring order, of distinct zones if asked for.
  func walk(from position: UInt64, limit: Int, distinctZones: Bool) -> [Int] {
    let capacity = min(limit, memberCount)
    return unsafe withUnsafeTemporaryAllocation(of: UInt16.self, capacity: capacity) { owners in
      let count = unsafe cyc_ring_walk(
        block, position, distinctZones ? CYC_RING_ZONES : CYC_RING_MEMBERS, capacity,
        owners.baseAddress)
      return unsafe owners.prefix(count).map(Int.init)
    }
  }
}

/// Hash functions of the ring.
package enum RingHash {
  /// XXH3-64 with seed 0.
  static func position(_ key: RawSpan) -> UInt64 {
    unsafe key.withUnsafeBytes { unsafe cyc_ring_hash($0.baseAddress, $0.count) }
  }

  /// XXH3-64 with seed 0.
  static func position(_ key: Span<UInt8>) -> UInt64 {
    unsafe key.withUnsafeBufferPointer { unsafe cyc_ring_hash($0.baseAddress, $0.count) }
  }

  /// The first four bytes of a key's MD5, then the next four, and so on, each little-endian.
  static func ketama(_ key: Span<UInt8>) -> [4 of UInt32] {
    var words: [4 of UInt32] = [0, 0, 0, 0]
    unsafe key.withUnsafeBufferPointer { key in
      var span = words.mutableSpan
      unsafe span.withUnsafeMutableBufferPointer {
        unsafe cyc_ring_md5(key.baseAddress, key.count, $0.baseAddress!)
      }
    }
    return words
  }

  /// XXH3-128 with seed 0 of at least one byte.
  package static func digest(_ bytes: Span<UInt8>) -> UInt128 {
    unsafe bytes.withUnsafeBufferPointer { bytes in
      var halves: (UInt64, UInt64) = (0, 0)
      unsafe withUnsafeMutableBytes(of: &halves) {
        unsafe cyc_ring_digest(
          bytes.baseAddress!, bytes.count, $0.baseAddress!.assumingMemoryBound(to: UInt64.self))
      }
      return UInt128(halves.1) << 64 | UInt128(halves.0)
    }
  }
}
