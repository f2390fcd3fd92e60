/// Why the store could not be set up, or its state not restored.
public struct StoreError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of error it is.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private enum Kind: String { case badPlacement, damagedSnapshot }
    private let kind: Kind

    /// Shards cannot be placed as asked.
    public static var badPlacement: Code { Code(kind: .badPlacement) }

    /// The bytes of a snapshot are not what a shard wrote.
    public static var damagedSnapshot: Code { Code(kind: .damagedSnapshot) }

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
}
