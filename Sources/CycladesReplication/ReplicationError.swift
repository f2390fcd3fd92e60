/// What went wrong in the replication layer, in terms a caller can act on.
public struct ReplicationError: Error, CustomStringConvertible {
  /// The kinds of failure; new ones may be added.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    private enum Kind: String {
      case badConfiguration, foreignFolder, folderBusy, damagedLog, ioFailed, notDone, unknown
    }
    private let kind: Kind
    /// The name of the code.
    public var description: String { kind.rawValue }

    /// The configuration contradicts itself.
    public static let badConfiguration = Code(kind: .badConfiguration)
    /// The data folder belongs to another cluster or node, or holds something else.
    public static let foreignFolder = Code(kind: .foreignFolder)
    /// Another process works in the data folder.
    public static let folderBusy = Code(kind: .folderBusy)
    /// An acknowledged part of the log cannot be read back.
    public static let damagedLog = Code(kind: .damagedLog)
    /// The operating system refused a file operation.
    public static let ioFailed = Code(kind: .ioFailed)
    /// The command was not executed and never will be.
    public static let notDone = Code(kind: .notDone)
    /// Nobody can say whether the command was, or will be, executed.
    public static let unknown = Code(kind: .unknown)
  }

  /// The kind of failure.
  public var code: Code
  /// One line: what failed, on what, and what to do about it.
  public var message: String

  /// Makes an error.
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The message.
  public var description: String { message }
}
