/// Google's Maglev hashing: one table lookup, members all but perfectly even, at the price of a few
/// keys that move between members which did not change.
///
/// Every member goes through the table in an order of its own, which two hashes of its id make. In
/// turns, in order of ids, each takes the first entry in its order that is still free.
///
/// D. Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016,
/// section 3.4. A key's position is its XXH3-64 hash with seed 0.
public struct MaglevTable: Placement {
  /// The members in order of their ids' bytes.
  public let members: [Member]
  private let entries: [UInt16]

  /// Creates the table.
  ///
  /// - Parameter size: of the table, a prime from 2 to 2^24. Shares are even to within
  ///   `members / size`; a hundred times as many entries as members make that one percent.
  /// - Throws: ``RingError`` for members that a ``RingBuilder`` would refuse as well, of code
  ///   ``RingError/Code/emptyRing`` when none has a weight, and of code
  ///   ``RingError/Code/badTableSize``.
  /// - Complexity: O(size log size) expected for members of equal weight.
  public init(_ members: [Member], size: Int = 65_537) throws(RingError) {
    try Member.validate(members)
    guard (2...1 << 24).contains(size), Self.isPrime(size) else {
      throw RingError(.badTableSize, "a table of \(size): it must be a prime from 2 to 2^24")
    }
    self.members = members.sorted { $0.id.utf8.lexicographicallyPrecedes($1.id.utf8) }
    entries = Self.fill(self.members, size: size)
  }

  /// The number of entries.
  public var size: Int { entries.count }

  /// Memory of the table in bytes.
  public var byteCount: Int { entries.count * MemoryLayout<UInt16>.stride }

  /// The position of a key: its XXH3-64 hash with seed 0.
  public static func position(of key: Span<UInt8>) -> UInt64 { RingHash.position(key) }

  /// The index in ``members`` of the owner of a position: entry `position * size / 2^64`.
  ///
  /// - Complexity: O(1).
  public func ownerIndex(ofPosition position: UInt64) -> Int {
    Int(entries[Int(position.multipliedFullWidth(by: UInt64(entries.count)).high)])
  }

  /// A member's way through the table: `offset`, `offset + skip`, ... modulo the size.
  private struct Walk {
    var entry: Int
    let skip: Int
    /// What of its weight it has not yet taken entries for.
    var credit = 0.0

    init(_ member: Member, size: Int) {
      let hash = RingHash.digest(Array(member.id.utf8).span)
      entry = Int(UInt64(truncatingIfNeeded: hash) % UInt64(size))
      skip = Int(UInt64(truncatingIfNeeded: hash >> 64) % UInt64(size - 1)) + 1
    }
  }

  private static func fill(_ members: [Member], size: Int) -> [UInt16] {
    let free = UInt16.max
    var entries = [UInt16](repeating: free, count: size)
    var walks = members.map { Walk($0, size: size) }
    let heaviest = members.lazy.map(\.weight).max()!
    var taken = 0
    while taken < size {
      for number in members.indices where taken < size {
        // The heaviest takes an entry in every turn, the others as often as their weight says.
        walks[number].credit += members[number].weight / heaviest
        guard walks[number].credit >= 1 else { continue }
        walks[number].credit -= 1
        while entries[walks[number].entry] != free {
          walks[number].entry = (walks[number].entry + walks[number].skip) % size
        }
        entries[walks[number].entry] = UInt16(number)
        taken += 1
      }
    }
    return entries
  }

  private static func isPrime(_ number: Int) -> Bool {
    var divisor = 2
    while divisor * divisor <= number {
      if number % divisor == 0 { return false }
      divisor += 1
    }
    return true
  }
}
