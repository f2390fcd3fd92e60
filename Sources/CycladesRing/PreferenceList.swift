/// How a preference list treats failure domains.
public struct Spread: Hashable, Sendable {
  private enum Kind { case strict, bestEffort, ignored }
  private let kind: Kind

  /// No two members of a list share a zone; a list is shorter than asked for when zones run out.
  public static var strict: Spread { Spread(kind: .strict) }
  /// Members are taken in turns from all zones, and within a zone in turns from all its racks: no
  /// zone is used twice before every zone was used once, and so on.
  public static var bestEffort: Spread { Spread(kind: .bestEffort) }
  /// Zones and racks do not matter; only members are distinct.
  public static var ignored: Spread { Spread(kind: .ignored) }
}

extension Ring {
  /// The members that should hold copies of a key, the owner first.
  ///
  /// See ``preferenceIndices(ofPosition:count:spread:)``.
  public func preferenceList(
    of key: String, count: Int, spread: Spread = .bestEffort
  ) -> [Member] {
    preferenceList(ofPosition: Self.position(of: key), count: count, spread: spread)
  }

  /// The members that should hold copies of a position, the owner first.
  ///
  /// See ``preferenceIndices(ofPosition:count:spread:)``.
  public func preferenceList(
    ofPosition position: UInt64, count: Int, spread: Spread = .bestEffort
  ) -> [Member] {
    preferenceIndices(ofPosition: position, count: count, spread: spread).map { members[$0] }
  }

  /// The indices in ``members`` of those that should hold copies of a position, the owner first.
  ///
  /// Members are distinct, in the order in which a walk from the position meets them, as far as
  /// `spread` allows. Members of weight 0 never appear, so a list may be shorter than `count`.
  ///
  /// - Complexity: O(points walked): a few, unless `count` comes near the number of members or
  ///   exceeds the number of zones. Cache lists per shard, not per key.
  public func preferenceIndices(
    ofPosition position: UInt64, count: Int, spread: Spread = .bestEffort
  ) -> [Int] {
    precondition(count >= 0, "a list has 0 members or more")
    let list = table.walk(from: position, limit: count, distinctZones: spread != .ignored)
    guard spread == .bestEffort, list.count < count else { return list }
    let everyone = table.walk(from: position, limit: members.count, distinctZones: false)
    return everyone.count == list.count ? list : Array(inTurns(everyone).prefix(count))
  }

  /// Writes the indices in ``members`` of those that should hold copies of a position, the owner
  /// first, as many as `indices` has room for; says how many there are.
  ///
  /// The list is that of ``preferenceIndices(ofPosition:count:spread:)``. It allocates nothing, but
  /// for a best effort when zones run out.
  ///
  /// - Complexity: O(points walked).
  public func preferenceIndices(
    ofPosition position: UInt64, spread: Spread = .bestEffort,
    into indices: inout MutableSpan<UInt16>
  ) -> Int {
    let count = table.walk(from: position, distinctZones: spread != .ignored, into: &indices)
    guard spread == .bestEffort, count < indices.count else { return count }
    let list = preferenceIndices(ofPosition: position, count: indices.count, spread: spread)
    for (place, index) in list.enumerated() { indices[place] = UInt16(index) }
    return list.count
  }

  /// Reorders members so that zones take turns, and racks within a zone; otherwise keeps order.
  private func inTurns(_ list: [Int]) -> [Int] {
    struct Candidate {
      var place: Int
      var turn: Int
    }
    func rank(_ candidates: [Candidate], _ domain: (Member) -> [RingBuilder.ID]?) -> [Candidate] {
      var used: [[RingBuilder.ID]: Int] = [:]
      return candidates.map { candidate in
        guard let domain = domain(members[list[candidate.place]]) else {
          return Candidate(place: candidate.place, turn: 0)
        }
        defer { used[domain, default: 0] += 1 }
        return Candidate(place: candidate.place, turn: used[domain, default: 0])
      }
      .sorted { ($0.turn, $0.place) < ($1.turn, $1.place) }
    }
    let byRack = rank(list.indices.map { Candidate(place: $0, turn: 0) }) {
      $0.rack.isEmpty ? nil : [RingBuilder.ID($0.zone), RingBuilder.ID($0.rack)]
    }
    let byZone = rank(byRack) { $0.zone.isEmpty ? nil : [RingBuilder.ID($0.zone)] }
    return byZone.map { list[$0.place] }
  }
}
