/// Why a ring could not be made.
///
/// Every error names the value at fault in ``message``. Compare ``code`` to tell errors apart.
public struct RingError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of error it is.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private enum Kind: String {
      case emptyRing, emptyID, longID, duplicateID, unknownID, badWeight
      case tooManyMembers, tooManyPoints, badPointsPerUnit, badLoadFactor, badTableSize
      case damagedBytes, outOfMemory
    }
    private let kind: Kind

    /// No member has a weight above zero, so no key would have an owner.
    public static var emptyRing: Code { Code(kind: .emptyRing) }
    /// A member has no id.
    public static var emptyID: Code { Code(kind: .emptyID) }
    /// An id, zone or rack is longer than ``Member/maximumNameBytes``.
    public static var longID: Code { Code(kind: .longID) }
    /// Two members have the same id, byte for byte.
    public static var duplicateID: Code { Code(kind: .duplicateID) }
    /// No member has this id.
    public static var unknownID: Code { Code(kind: .unknownID) }
    /// A weight is negative, infinite or not a number.
    public static var badWeight: Code { Code(kind: .badWeight) }
    /// There are more members than ``Ring/maximumMembers``.
    public static var tooManyMembers: Code { Code(kind: .tooManyMembers) }
    /// The weights add up to more points than ``Ring/maximumPoints``.
    public static var tooManyPoints: Code { Code(kind: .tooManyPoints) }
    /// The number of points per unit of weight is not in `1...65536`.
    public static var badPointsPerUnit: Code { Code(kind: .badPointsPerUnit) }
    /// A load factor is below 1 or not a number.
    public static var badLoadFactor: Code { Code(kind: .badLoadFactor) }
    /// The size of a Maglev table is not a prime in its bounds.
    public static var badTableSize: Code { Code(kind: .badTableSize) }
    /// Bytes are not those of a ring, or are damaged.
    public static var damagedBytes: Code { Code(kind: .damagedBytes) }
    /// The system gave no memory for the points.
    public static var outOfMemory: Code { Code(kind: .outOfMemory) }

    /// The name of the code.
    public var description: String { kind.rawValue }
  }

  /// What kind of error it is.
  public let code: Code
  /// What failed, on which value.
  public let message: String

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The message.
  public var description: String { message }

  /// No key would have an owner.
  static func empty(_ members: [Member]) -> RingError {
    RingError(
      .emptyRing,
      members.isEmpty
        ? "a ring needs a member" : "every member has weight 0: \(members.count) of them")
  }
}
