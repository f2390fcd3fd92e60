/// What changes hands between two rings.
public struct RingDiff: Hashable, Sendable {
  /// A range of positions whose owner changes.
  public struct Move: Hashable, Sendable {
    /// The 64-bit positions that move, first and last included.
    ///
    /// A range is as long as it can be; one that crosses zero is given as two.
    public let positions: ClosedRange<UInt64>
    /// The id of the owner in the old ring.
    public let from: String
    /// The id of the owner in the new ring.
    public let to: String

    /// The share of all positions, exactly: a multiple of 2^-48.
    public var share: Double { Double(units) / RingUnits.all }

    /// Its length in 48-bit positions.
    var units: UInt64 { ((positions.upperBound - positions.lowerBound) >> RingUnits.shift) + 1 }
  }

  /// The moves in ascending order of positions; they do not overlap.
  public let moves: [Move]

  /// The share of all positions that changes hands, exactly: a multiple of 2^-48.
  public var share: Double { Double(moves.reduce(0) { $0 + $1.units }) / RingUnits.all }
}

/// The circle is 2^48 positions long; 64-bit positions that agree in the high 48 bits are one.
enum RingUnits {
  static let shift = 16
  static let all = Double(1 << 48)
  static let last: UInt64 = 1 << 48 - 1
}

extension Ring {
  /// The ranges of positions that have another owner in this ring than in an older one.
  ///
  /// - Complexity: O(points of both rings).
  public func diff(from old: Ring) -> RingDiff {
    if table.isIdentical(to: old.table) { return RingDiff(moves: []) }
    // Owners are numbered per ring: -1 stands for a member that the new ring does not have.
    let numbers = Dictionary(
      uniqueKeysWithValues: members.enumerated().map { (RingBuilder.ID($1.id), $0) })
    let renumbered = old.members.map { numbers[RingBuilder.ID($0.id)] ?? -1 }
    var moves: [(first: UInt64, last: UInt64, from: Int, to: Int)] = []
    old.table.withPoints { before in
      table.withPoints { after in
        var before = ArcWalk(before)
        var after = ArcWalk(after)
        var first: UInt64 = 0
        while true {
          let last = min(before.last, after.last)
          if renumbered[before.owner] != after.owner {
            if let end = moves.last, end.last + 1 == first, end.from == before.owner,
              end.to == after.owner
            {
              moves[moves.count - 1].last = last
            } else {
              moves.append((first, last, before.owner, after.owner))
            }
          }
          guard last < RingUnits.last else { break }
          first = last + 1
          before.skip(below: first)
          after.skip(below: first)
        }
      }
    }
    return RingDiff(
      moves: moves.map { move in
        RingDiff.Move(
          positions: move.first << RingUnits.shift...(move.last << RingUnits.shift | 0xFFFF),
          from: old.members[move.from].id, to: members[move.to].id)
      })
  }
}

/// Walks the arcs of a ring in order from position 0 to the last one.
struct ArcWalk: ~Escapable {
  private let points: Span<UInt64>
  private var next = 0

  @_lifetime(copy points)
  init(_ points: Span<UInt64>) { self.points = points }

  /// The owner of the current arc. Past the last point it is that of the first.
  var owner: Int { Int(UInt16(truncatingIfNeeded: points[next < points.count ? next : 0])) }

  /// The last 48-bit position of the current arc.
  var last: UInt64 {
    next < points.count ? points[next] >> RingUnits.shift : RingUnits.last
  }

  /// Goes on to the arc that holds `position`.
  mutating func skip(below position: UInt64) {
    while next < points.count, points[next] >> RingUnits.shift < position { next += 1 }
  }
}
