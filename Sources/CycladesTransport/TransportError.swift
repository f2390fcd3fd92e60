/// What the transport throws: a code to act on, a message to read.
public struct TransportError: Error, Sendable, CustomStringConvertible {
  /// What kind of thing went wrong.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private enum Kind: String {
      case outOfBuffers, ringUnavailable, ringFailed, addressUnresolved, addressMalformed
      case listenFailed, threadFailed, invalidConfiguration
    }
    private let kind: Kind
    private init(_ kind: Kind) { self.kind = kind }

    /// The buffer pool met its budget, or one block was asked to be larger than 1 GiB.
    public static let outOfBuffers = Code(.outOfBuffers)
    /// The kernel refused to set up a ring; the message names the likely cause.
    public static let ringUnavailable = Code(.ringUnavailable)
    /// The ring failed while running.
    public static let ringFailed = Code(.ringFailed)
    /// A host name did not resolve.
    public static let addressUnresolved = Code(.addressUnresolved)
    /// Text that is not `HOST:PORT`, or a port outside 0...65535.
    public static let addressMalformed = Code(.addressMalformed)
    /// A listener could not be opened: address in use, not permitted, not local.
    public static let listenFailed = Code(.listenFailed)
    /// A thread could not be started.
    public static let threadFailed = Code(.threadFailed)
    /// A configuration value is out of its range.
    public static let invalidConfiguration = Code(.invalidConfiguration)

    /// The code's name.
    public var description: String { kind.rawValue }
  }

  /// What kind of thing went wrong.
  public let code: Code
  /// One line for a person: what failed, on what, and why.
  public let message: String
  /// The system's error number, or 0 when none is behind this.
  public let errno: Int32

  /// Makes an error.
  public init(_ code: Code, _ message: String, errno: Int32 = 0) {
    self.code = code
    self.message = message
    self.errno = errno
  }

  /// The message, with the system's words for `errno` when there is one.
  public var description: String {
    errno == 0 ? message : "\(message): \(systemErrorText(errno))"
  }
}
