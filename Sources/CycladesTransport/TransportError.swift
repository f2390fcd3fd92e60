/// What the transport throws: a code to act on, a message to read.
public struct TransportError: Error, Sendable, CustomStringConvertible {
  /// What kind of thing went wrong.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private enum Kind: String {
      case outOfBuffers, ringUnavailable, ringFailed, addressUnresolved, addressMalformed
      case listenFailed, threadFailed, invalidConfiguration
      case refused, unreachable, timedOut, reset, closed, cancelled, connectFailed, limitExceeded
      case protocolViolation
    }
    private let kind: Kind
    private init(_ kind: Kind) { self.kind = kind }

    /// The buffer pool met its budget, or one block was asked to be larger than 1 GiB.
    public static let outOfBuffers = Code(.outOfBuffers)
    /// The kernel refused to set up a ring, or what else a reactor stands on; the message names the
    /// likely cause.
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

    /// Nobody listens at the address.
    public static let refused = Code(.refused)
    /// There is no way to the address.
    public static let unreachable = Code(.unreachable)
    /// The time allowed for it has passed, or the peer has vanished.
    public static let timedOut = Code(.timedOut)
    /// The peer reset the connection.
    public static let reset = Code(.reset)
    /// The connection, or the reactor it belongs to, was closed on this side.
    public static let closed = Code(.closed)
    /// The task was cancelled while it waited.
    public static let cancelled = Code(.cancelled)
    /// A connection could not be made, for another reason of the system's; see `errno`.
    public static let connectFailed = Code(.connectFailed)
    /// A limit that this side has set was passed: input, output, a line, those who wait.
    public static let limitExceeded = Code(.limitExceeded)

    /// The peer sent what its protocol does not allow: a frame too long, damaged, of unknown
    /// version.
    public static let protocolViolation = Code(.protocolViolation)

    /// The code's name.
    public var description: String { kind.rawValue }
  }

  /// What kind of thing went wrong.
  public let code: Code
  /// One line for a person: what failed, on what, and why.
  public let message: String
  /// The system's error number, or 0 when none is behind this.
  public let errno: Int32

  /// The address it is about, where it is about one.
  public let address: SocketAddress?

  /// Makes an error.
  public init(
    _ code: Code, _ message: String, errno: Int32 = 0, address: SocketAddress? = nil
  ) {
    self.code = code
    self.message = message
    self.errno = errno
    self.address = address
  }

  /// The message, with the system's words for `errno` when there is one.
  public var description: String {
    errno == 0 ? message : "\(message): \(systemErrorText(errno))"
  }
}

extension TransportError {
  static let reactorStopped = TransportError(.closed, "the reactor has stopped")
  static let cancelled = TransportError(.cancelled, "the task was cancelled")

  /// Why a connection ended, as an error of whoever still wanted something of it.
  init(_ reason: CloseReason, peer: SocketAddress?, connecting: Bool = false) {
    let code: Code =
      switch reason {
      case .refused: .refused
      case .reset: .reset
      case .timedOut: .timedOut
      case .protocolViolation: .protocolViolation
      case .sendOverflow, .inputOverflow, .outOfBuffers: .limitExceeded
      case .failed where reason.isUnreachable: .unreachable
      case .failed: connecting ? .connectFailed : .closed
      default: .closed
      }
    let place = peer.map { "\($0)" } ?? "an unknown peer"
    let what = connecting ? "cannot connect to \(place)" : "the connection with \(place) ended"
    // With an error number the description has the system's words; once is enough.
    let message = reason.errno == 0 ? "\(what): \(reason)" : what
    self.init(code, message, errno: reason.errno, address: peer)
  }

  /// A wait of this side was over before what it was for came.
  static func timedOut(_ what: String, peer: SocketAddress?) -> TransportError {
    let place = peer.map { " with \($0)" } ?? ""
    return TransportError(.timedOut, "\(what)\(place) took too long", address: peer)
  }
}
