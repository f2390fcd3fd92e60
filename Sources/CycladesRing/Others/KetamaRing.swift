/// A ring that places keys as libketama does: 160 points per member from MD5, on a circle of 32 bits.
///
/// For caches shared with programs that use ketama. Placement is identical, key by key, to that of
/// Python's `uhashring` with `hash_fn="ketama"`, which is Debian's `python3-uhashring`. libketama
/// itself differs in one key of 2^32 per point: there, a key that falls on a point belongs to it;
/// here and in uhashring, to the next one.
///
/// Beside ``Ring`` it is uneven (a peak of 1.27 of the average at 1000 members), its weights shift
/// the points of every member, and points that collide go to whoever was listed last.
public struct KetamaRing: Placement {
  /// The members in the order given.
  public let members: [Member]
  private let table: PointTable

  private static let hashesPerUnit = 40

  /// Creates the ring of members in the order of a ketama configuration.
  ///
  /// Of weights only the ratios count; zones and racks have no meaning here. A member far lighter
  /// than the average may end up without a point, as in ketama.
  ///
  /// - Throws: ``RingError`` for members that a ``RingBuilder`` would refuse as well, and of code
  ///   ``RingError/Code/badWeight`` for a weight that is not whole or above 2^31.
  /// - Complexity: O(p log p) in the number of points.
  public init(_ members: [Member]) throws(RingError) {
    try Member.validate(members)
    for member in members where member.weight != member.weight.rounded() || member.weight > 0x1p31 {
      throw RingError(
        .badWeight, "weight \(member.weight) of member '\(member.id)': ketama's are whole numbers")
    }
    self.members = members
    let total = members.reduce(0) { $0 + $1.weight }
    var owners: [UInt32: UInt16] = [:]
    for (number, member) in members.enumerated() {
      let units = Double(Self.hashesPerUnit * members.count) * member.weight
      for hash in 0..<Int(units / total) {
        let words = RingHash.ketama("\(member.id)-\(hash)".utf8Span.span)
        for word in words.indices { owners[words[word]] = UInt16(number) }
      }
    }
    table = try PointTable(
      points: owners.map { UInt64($0.key) << 32 | UInt64($0.value) }, memberCount: members.count)
  }

  /// The number of points: 160 per member of average weight, less those that collide.
  public var pointCount: Int { table.count }

  /// Memory of the points and their index in bytes.
  public var byteCount: Int { table.byteCount }

  /// The position of a key: the first four bytes of its MD5, little-endian, in the high 32 bits, and
  /// behind them a bit that puts it after a point at the same place.
  public static func position(of key: Span<UInt8>) -> UInt64 {
    UInt64(RingHash.ketama(key)[0]) << 32 | 1 << RingUnits.shift
  }

  /// The index in ``members`` of the owner of a position.
  ///
  /// - Complexity: O(1) expected, as in a ``Ring``.
  public func ownerIndex(ofPosition position: UInt64) -> Int { table.owner(position) }

  /// The indices in ``members`` of the owners of many positions, their memory accesses overlapped.
  public func owners(ofPositions positions: Span<UInt64>, into owners: inout MutableSpan<UInt16>) {
    table.owners(positions, into: &owners)
  }
}
