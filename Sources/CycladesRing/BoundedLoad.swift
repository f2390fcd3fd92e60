/// Spreads requests over a ring so that no member carries more than a factor of its share.
///
/// A request goes to the owner of its key unless that one is full; then to the next member around
/// the ring that is not. With `n` requests under way, the new one included, a member is full when
/// it has `factor * n * share` of them or more, where `share` is its part of all virtual nodes.
/// So keys stay with their owners while load is even, and a hot key spills over to the same few
/// members every time.
///
/// ```swift
/// var balancer = try BoundedLoad(ring, factor: 1.25)
/// let index = balancer.assign(Ring.position(of: key))
/// defer { balancer.release(index) }
/// ```
///
/// V. Mirrokni, M. Thorup and M. Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018.
/// The nearer the factor is to 1, the more even the load and the more keys leave their owners.
public struct BoundedLoad: Sendable {
  /// The ring whose members share the load.
  public let ring: Ring
  /// How much more than its share a member may carry: 1.25 is a quarter more.
  public let factor: Double
  /// Requests under way in all.
  public private(set) var total = 0

  private var loads: [UInt32]
  private let shares: [Double]

  /// Starts without load.
  ///
  /// - Throws: ``RingError`` of code ``RingError/Code/badLoadFactor`` for a factor that is below 1
  ///   or not finite.
  public init(_ ring: Ring, factor: Double) throws(RingError) {
    try Self.validate(factor)
    self.ring = ring
    self.factor = factor
    loads = [UInt32](repeating: 0, count: ring.members.count)
    shares = ring.pointShares
  }

  static func validate(_ factor: Double) throws(RingError) {
    guard factor.isFinite, factor >= 1 else {
      throw RingError(.badLoadFactor, "load factor \(factor) is not a number from 1 upwards")
    }
  }

  /// Requests under way at the member of an index.
  public func load(_ index: Int) -> Int { Int(loads[index]) }

  /// Chooses a member for one more request of a key at `position` and counts it there.
  ///
  /// - Returns: the member's index in the ring's ``Ring/members``.
  /// - Complexity: that of ``Ring/ownerIndex(ofPosition:)`` while the owner has room; otherwise
  ///   O(virtual nodes walked), which one turn around the ring bounds. Allocates nothing.
  public mutating func assign(_ position: UInt64) -> Int {
    let index = ring.table.owner(
      position, withLoads: loads.span, shares: shares.span, below: factor * Double(total + 1))
    loads[index] += 1
    total += 1
    return index
  }

  /// Counts a request as done.
  ///
  /// - Precondition: ``assign(_:)`` gave this index for it.
  public mutating func release(_ index: Int) {
    precondition(loads[index] > 0, "member \(index) has no request under way")
    loads[index] -= 1
    total -= 1
  }
}

extension Ring {
  /// Gives every partition a member so that none gets more than a factor of its share.
  ///
  /// Partitions are served in the order given. Each goes to the first member from its position on
  /// that has less than `factor * partitions * share` already. The outcome is a function of the
  /// ring, the positions and the factor: all who compute it agree. It knows no earlier outcome, so
  /// a change of members moves some more partitions than it must; who minds keeps the outcome as a
  /// state and moves only what is too much.
  ///
  /// - Parameters:
  ///   - positions: one per partition.
  ///   - factor: how much more than its share a member may get.
  /// - Returns: indices in ``members``, one per partition.
  /// - Throws: ``RingError`` of code ``RingError/Code/badLoadFactor`` for a factor that is below 1
  ///   or not finite.
  /// - Complexity: O(partitions + virtual nodes walked).
  public func boundedOwners(
    ofPartitionsAt positions: [UInt64], factor: Double
  ) throws(RingError) -> [Int] {
    try BoundedLoad.validate(factor)
    let bound = factor * Double(positions.count)
    let shares = pointShares
    var loads = [UInt32](repeating: 0, count: members.count)
    return positions.map { position in
      let index = table.owner(
        position, withLoads: loads.span, shares: shares.span, below: bound)
      loads[index] += 1
      return index
    }
  }

  /// Each member's part of all virtual nodes: its weight among all weights, rounded to points.
  var pointShares: [Double] {
    var points = [Int](repeating: 0, count: members.count)
    table.withPoints { all in
      for index in all.indices { points[Int(UInt16(truncatingIfNeeded: all[index]))] += 1 }
    }
    return points.map { Double($0) / Double(pointCount) }
  }
}
