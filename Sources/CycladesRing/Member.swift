/// A node that owns a part of the ring.
public struct Member: Hashable, Sendable {
  /// The longest id, zone or rack in bytes of UTF-8.
  public static let maximumNameBytes = 1024

  /// Names the member; two ids are the same when their UTF-8 bytes are.
  public var id: String
  /// The member's share of the ring, relative to the others'.
  ///
  /// 0 drains the member: it stays known but owns nothing. Any other weight, however small, gives
  /// at least one point.
  public var weight: Double
  /// The failure domain that preference lists spread over first, such as a data centre.
  ///
  /// Empty: the member shares its zone with nobody.
  public var zone: String
  /// The failure domain within a zone. Empty: the member shares its rack with nobody.
  public var rack: String

  /// Creates a member.
  public init(id: String, weight: Double = 1, zone: String = "", rack: String = "") {
    self.id = id
    self.weight = weight
    self.zone = zone
    self.rack = rack
  }

  /// Virtual nodes of this member: `weight` times `pointsPerUnit`, rounded to the nearest, halves
  /// up; at least 1 unless the weight is 0.
  func pointCount(perUnit pointsPerUnit: Int) throws(RingError) -> Int {
    guard weight != 0 else { return 0 }
    let exact = weight * Double(pointsPerUnit)
    guard exact < Double(Ring.maximumPoints) else {
      throw RingError(
        .tooManyPoints,
        "weight \(weight) of member '\(id)' asks for more than the "
          + "\(Ring.maximumPoints) points a ring may have")
    }
    return max(1, Int(exact + 0.5))
  }

  func validate() throws(RingError) {
    guard !id.isEmpty else { throw RingError(.emptyID, "a member of weight \(weight) has no id") }
    for name in [id, zone, rack] where name.utf8.count > Self.maximumNameBytes {
      throw RingError(
        .longID,
        "'\(name.prefix(32))…' has \(name.utf8.count) bytes; "
          + "an id, zone or rack has at most \(Self.maximumNameBytes)")
    }
    guard weight.isFinite, weight >= 0 else {
      throw RingError(
        .badWeight, "weight \(weight) of member '\(id)' is not a number from 0 upwards")
    }
  }

  /// Checks a whole list: every member, no id twice, not too many, and not all of weight 0.
  static func validate(_ members: [Member]) throws(RingError) {
    var builder = try RingBuilder(pointsPerUnit: 1)
    for member in members { try builder.add(member) }
    guard members.contains(where: { $0.weight > 0 }) else { throw RingError.empty(members) }
  }
}
