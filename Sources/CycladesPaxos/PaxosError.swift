/// Why a replica cannot be made from what it was given, or does not do what it was asked.
public struct PaxosError: Error, CustomStringConvertible, Sendable {
  /// The kind of error.
  public struct Code: Hashable, Sendable {
    private enum Value {
      case configuration, recovery, notLeader, pending, membership, quorum, busy, target
    }
    private let value: Value

    /// The configuration contradicts itself.
    public static let invalidConfiguration = Code(value: .configuration)
    /// What was read from disk is not what a replica of this group can have written.
    public static let invalidRecovery = Code(value: .recovery)
    /// Only a leader can do this.
    public static let notLeader = Code(value: .notLeader)
    /// One change of the membership at a time.
    public static let changePending = Code(value: .pending)
    /// No group can have such a membership.
    public static let invalidMembership = Code(value: .membership)
    /// With these members the group would stand still.
    public static let noLiveQuorum = Code(value: .quorum)
    /// Not now: the window is full, a ballot opens, or the leadership is on its way to another node.
    public static let busy = Code(value: .busy)
    /// Leadership cannot go to that node.
    public static let invalidTarget = Code(value: .target)
  }

  /// The kind of error.
  public let code: Code
  /// What exactly is wrong.
  public let message: String

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The message.
  public var description: String { message }
}
