/// Why a command has no reply, and what is known about its effect.
public struct StoreClientError: Error, Sendable, Hashable, CustomStringConvertible {
  /// What is known about a command's effect when there is no reply to it.
  public enum Outcome: String, Sendable {
    /// It was carried out, once; only its reply is lost.
    case done
    /// It was not carried out, and never will be.
    case notDone
    /// It may have been carried out, or may be yet. A command that changes data is repeated for as
    /// long as ``StoreClientConfiguration/patience`` allows before this is said.
    case unknown
  }

  /// What went wrong.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    private enum Kind: String {
      case server, timedOut, cancelled, closed, unsupported, crossSlot, overloaded, replyLost
      case unreachable, badReply
    }
    private let kind: Kind

    /// The server answered with an error, see ``StoreClientError/serverError``; not done.
    public static var server: Code { Code(kind: .server) }
    /// Patience is over.
    public static var timedOut: Code { Code(kind: .timedOut) }
    /// The calling task was cancelled.
    public static var cancelled: Code { Code(kind: .cancelled) }
    /// The client was closed.
    public static var closed: Code { Code(kind: .closed) }
    /// A command that cannot share a connection with others; not done.
    public static var unsupported: Code { Code(kind: .unsupported) }
    /// The keys of the command belong to different slots; not done.
    public static var crossSlot: Code { Code(kind: .crossSlot) }
    /// Too many commands wait for their replies; not done.
    public static var overloaded: Code { Code(kind: .overloaded) }
    /// Done, but the reply is lost.
    public static var replyLost: Code { Code(kind: .replyLost) }
    /// None of the servers could be reached; not done.
    public static var unreachable: Code { Code(kind: .unreachable) }
    /// A reply of another type than the method promises; the command was carried out.
    public static var badReply: Code { Code(kind: .badReply) }

    /// The code's name.
    public var description: String { kind.rawValue }
  }

  /// What went wrong.
  public let code: Code
  /// What is known about the command's effect.
  public let outcome: Outcome
  /// What failed, at which server, and why.
  public let message: String
  /// What the server said, when it was the server that refused.
  public let serverError: StoreServerError?

  init(_ code: Code, _ outcome: Outcome, _ message: String, _ server: StoreServerError? = nil) {
    self.code = code
    self.outcome = outcome
    self.message = message
    serverError = server
  }

  /// The message, with what is known about the effect.
  public var description: String {
    switch outcome {
    case .done: "\(message) (done)"
    case .notDone: "\(message) (not done)"
    case .unknown: "\(message) (outcome unknown)"
    }
  }
}
