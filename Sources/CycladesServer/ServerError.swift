/// Why a server could not be configured, started or asked.
public struct ServerError: Error, CustomStringConvertible {
  /// What kind of failure it is.
  public struct Code: Hashable, Sendable {
    private enum Value {
      case badConfiguration, badStatus, refused, startFailed, serving, unreachable
    }
    private var value: Value

    /// A setting is missing, out of range, or contradicts another one.
    public static let badConfiguration = Code(value: .badConfiguration)
    /// An answer to `CYCLADES STATUS` could not be read.
    public static let badStatus = Code(value: .badStatus)
    /// A node answered with an error.
    public static let refused = Code(value: .refused)
    /// The listeners, the data folder or the reactor could not be opened.
    public static let startFailed = Code(value: .startFailed)
    /// A node did not answer.
    public static let unreachable = Code(value: .unreachable)
    /// The reactor stopped by a failure while it served.
    public static let serving = Code(value: .serving)
  }

  /// What kind of failure it is.
  public var code: Code
  /// What failed, on which input, and what to do: one line.
  public var message: String
  /// The failure below it, when there is one.
  public var cause: (any Error)?

  init(_ code: Code, _ message: String, _ cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  /// The message, and the cause's after a colon.
  public var description: String {
    cause.map { "\(message): \($0)" } ?? message
  }
}
