internal import Glibc

/// How evenly a ring shares out its positions.
public struct RingStatistics: Hashable, Sendable {
  /// One member's part.
  public struct Part: Hashable, Sendable {
    /// The member.
    public let member: Member
    /// Its virtual nodes.
    public let pointCount: Int
    /// The share of all positions it owns, exactly: a multiple of 2^-48.
    public let share: Double
    /// The share its virtual nodes stand for: its weight, rounded to points, among all weights.
    public let expectedShare: Double

    /// The share it owns over the one expected; 1 is perfect, 0 for a member of weight 0.
    public var load: Double { expectedShare > 0 ? share / expectedShare : 0 }
  }

  /// The parts, in order of the ring's members.
  public let parts: [Part]
  /// The largest load of a member.
  public let peakToAverage: Double
  /// The peak to expect of a ring like this: `1 + sqrt(2 ln n / v)` for `n` members that have
  /// points, `v` points each on average.
  ///
  /// A rule of thumb for members of similar weight: with 256 points each, one ring of seven lies
  /// above it at 10 members, and one of four or five at 1000.
  public let expectedPeakToAverage: Double
}

extension Ring {
  /// Measures the arcs of every member.
  ///
  /// - Complexity: O(points).
  public var statistics: RingStatistics {
    var units = [UInt64](repeating: 0, count: members.count)
    var points = [Int](repeating: 0, count: members.count)
    table.withPoints { all in
      // The first point also owns what lies past the last one.
      var previous = all[all.count - 1] >> RingUnits.shift
      for index in all.indices {
        let position = all[index] >> RingUnits.shift
        let owner = Int(UInt16(truncatingIfNeeded: all[index]))
        units[owner] += index == 0 ? position + RingUnits.last + 1 - previous : position - previous
        points[owner] += 1
        previous = position
      }
    }
    let parts = members.indices.map { index in
      RingStatistics.Part(
        member: members[index], pointCount: points[index],
        share: Double(units[index]) / RingUnits.all,
        expectedShare: Double(points[index]) / Double(pointCount))
    }
    let placed = Double(points.count { $0 > 0 })
    return RingStatistics(
      parts: parts, peakToAverage: parts.map(\.load).max() ?? 0,
      expectedPeakToAverage: 1 + (2 * log(placed) * placed / Double(pointCount)).squareRoot())
  }
}
