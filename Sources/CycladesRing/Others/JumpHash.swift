/// Jump consistent hash: perfectly even, without any memory, for members that come and go at the
/// end of a list.
///
/// Adding a member at the end moves only what it gets. Removing one that is not the last moves keys
/// among all that follow it: a number of shards can grow and shrink so, a cluster whose nodes fail
/// cannot.
///
/// J. Lamping and E. Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014. A key's
/// position is its XXH3-64 hash with seed 0.
public struct JumpHash: Placement {
  /// The members in the order given.
  public let members: [Member]

  /// Creates the placement over members, whose order matters.
  ///
  /// - Throws: ``RingError`` for members that a ``RingBuilder`` would refuse as well, and of code
  ///   ``RingError/Code/badWeight`` for a weight other than 1.
  public init(_ members: [Member]) throws(RingError) {
    try Member.validate(members)
    for member in members where member.weight != 1 {
      throw RingError(
        .badWeight, "weight \(member.weight) of member '\(member.id)': jump hash knows only 1")
    }
    self.members = members
  }

  /// Zero: there is no table.
  public var byteCount: Int { 0 }

  /// The position of a key: its XXH3-64 hash with seed 0.
  public static func position(of key: Span<UInt8>) -> UInt64 { RingHash.position(key) }

  /// The index in ``members`` of the owner of a position.
  ///
  /// A pseudorandom generator, seeded with the position, gives the numbers of members at which the
  /// key would have moved to the one just added; the last of these below the count is the owner.
  ///
  /// - Complexity: O(log members) expected.
  public func ownerIndex(ofPosition position: UInt64) -> Int {
    var state = position
    var owner = 0
    var next = 0.0
    while next < Double(members.count) {
      owner = Int(next)
      state = state &* 2_862_933_555_777_941_757 &+ 1
      next = Double(owner + 1) * (0x1p31 / Double(state >> 33 + 1))
    }
    return owner
  }
}
