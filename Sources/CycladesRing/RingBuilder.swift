/// Collects members and builds rings from them.
///
/// The order in which members come never matters. Building from an existing ring reuses the points
/// of every member that did not change, and gives the same bytes as building anew.
///
/// ```swift
/// var builder = try RingBuilder()
/// try builder.add(Member(id: "a"))
/// try builder.add(Member(id: "b", weight: 2))
/// let ring = try builder.build()
/// ```
public struct RingBuilder: Sendable {
  /// The version of the ring to build; a ring carries it, placement does not depend on it.
  public var epoch: UInt64
  /// Virtual nodes per unit of weight.
  public let pointsPerUnit: Int

  private var members: [ID: Member] = [:]
  private let base: Ring?

  /// An id that equals another only if their bytes are equal, and sorts by bytes. `String` takes
  /// differently composed characters for equal.
  struct ID: Hashable, Comparable {
    let bytes: [UInt8]

    init(_ id: String) { bytes = Array(id.utf8) }

    static func < (a: ID, b: ID) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }
  }

  /// Creates a builder without members.
  ///
  /// - Parameter pointsPerUnit: virtual nodes per unit of weight. The heaviest of `n` equal
  ///   members is to be expected below `1 + sqrt(2 ln n / pointsPerUnit)` of the average, which is
  ///   1.13 for 10 members of 256 points and 1.23 for 1000; ``Ring/statistics`` says where it is.
  public init(epoch: UInt64 = 0, pointsPerUnit: Int = 256) throws(RingError) {
    guard (1...65536).contains(pointsPerUnit) else {
      throw RingError(
        .badPointsPerUnit, "\(pointsPerUnit) points per unit of weight are not in 1...65536")
    }
    self.epoch = epoch
    self.pointsPerUnit = pointsPerUnit
    base = nil
  }

  /// Creates a builder with the members of a ring and the epoch that follows its own.
  public init(_ ring: Ring) {
    epoch = ring.epoch &+ 1
    pointsPerUnit = ring.pointsPerUnit
    base = ring
    for member in ring.members { members[ID(member.id)] = member }
  }

  /// Adds a member.
  ///
  /// - Throws: ``RingError`` for an empty, long or duplicate id, a weight that is negative or not
  ///   finite, and one member too many.
  public mutating func add(_ member: Member) throws(RingError) {
    try member.validate()
    guard members.count < Ring.maximumMembers else {
      throw RingError(
        .tooManyMembers,
        "'\(member.id)' would be member number \(members.count + 1); "
          + "a ring has at most \(Ring.maximumMembers)")
    }
    guard members.updateValue(member, forKey: ID(member.id)) == nil else {
      throw RingError(.duplicateID, "member '\(member.id)' is there twice")
    }
  }

  /// Replaces the member of the same id: its weight, zone and rack.
  ///
  /// - Throws: ``RingError`` when there is none, or the weight is bad.
  public mutating func update(_ member: Member) throws(RingError) {
    try member.validate()
    guard members[ID(member.id)] != nil else { throw Self.unknown(member.id) }
    members[ID(member.id)] = member
  }

  /// Removes a member.
  ///
  /// - Throws: ``RingError`` when there is none of this id.
  public mutating func remove(_ id: String) throws(RingError) {
    guard members.removeValue(forKey: ID(id)) != nil else { throw Self.unknown(id) }
  }

  /// Builds the ring of these members.
  ///
  /// - Complexity: O(points); a builder made from a ring hashes the points of changed members only.
  /// - Throws: ``RingError`` when no member has a weight, when the weights ask for too many
  ///   points, or when memory is short.
  public func build() throws(RingError) -> Ring {
    try Ring(members: sortedMembers, epoch: epoch, pointsPerUnit: pointsPerUnit, base: base)
  }

  /// The members in order of their ids' bytes.
  var sortedMembers: [Member] { members.sorted { $0.key < $1.key }.map(\.value) }

  static func unknown(_ id: String) -> RingError {
    RingError(.unknownID, "there is no member '\(id)'")
  }
}
