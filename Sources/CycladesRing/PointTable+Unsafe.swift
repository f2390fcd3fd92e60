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

/// The sorted points of a ring with their index, in one block of memory.
///
/// Sendable: nobody writes the block after it was built.
@safe struct PointTable: ~Copyable, @unchecked Sendable {
  private let block: UnsafeMutablePointer<cyc_ring>

  /// Builds the points of `sources`, which are in order of id, taking from `base` what they share.
  init(_ sources: [PointSource], base: Ring?) throws(RingError) {
    var ids: [UInt8] = []
    var described: [cyc_ring_source] = []
    described.reserveCapacity(sources.count)
    var renumber = [UInt16](repeating: UInt16(CYC_RING_GONE), count: Int(CYC_RING_MEMBERS_MAX))
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
    let built: UnsafeMutablePointer<cyc_ring>?
    if let base {
      unsafe built = cyc_ring_merge(base.table.block, renumber, described, count, ids)
    } else {
      unsafe built = cyc_ring_build(described, count, ids)
    }
    guard let built = unsafe built else {
      throw RingError(.outOfMemory, "no memory for the points of \(count) members")
    }
    unsafe block = built
  }

  deinit { unsafe cyc_ring_free(block) }

  /// Lends out the points in ascending order: position in the high 48 bits, owner in the low 16.
  func withPoints<Result>(_ body: (Span<UInt64>) -> Result) -> Result {
    body(unsafe Span(_unsafeStart: cyc_ring_points(block), count: count))
  }

  var count: Int { unsafe Int(block.pointee.points) }
  var placement: UInt64 { unsafe block.pointee.placement }
  var byteCount: Int { unsafe Int(block.pointee.size) }
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
