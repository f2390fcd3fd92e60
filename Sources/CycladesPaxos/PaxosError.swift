/// Why a replica cannot be made from what it was given.
public struct PaxosError: Error, CustomStringConvertible, Sendable {
  /// The kind of error.
  public struct Code: Hashable, Sendable {
    private enum Value { case configuration, recovery }
    private let value: Value

    /// The configuration contradicts itself.
    public static let invalidConfiguration = Code(value: .configuration)
    /// What was read from disk is not what a replica of this group can have written.
    public static let invalidRecovery = Code(value: .recovery)
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
