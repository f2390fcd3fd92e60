internal import CCycladesReactor
internal import Glibc

/// Why a connection ended.
public struct CloseReason: Hashable, Sendable, CustomStringConvertible {
  private let code: UInt16
  /// The system's error number behind it, or 0.
  public let errno: Int32

  init(code: UInt16, errno: Int32 = 0) {
    self.code = code
    self.errno = errno
  }

  private init(_ reason: cyc_close_reason) { self.init(code: UInt16(reason.rawValue)) }

  /// This side closed it.
  public static let local = CloseReason(CYC_CLOSE_LOCAL)
  /// The peer finished sending and this side closed in answer.
  public static let endOfInput = CloseReason(CYC_CLOSE_END_OF_INPUT)
  /// The peer reset it.
  public static let reset = CloseReason(CYC_CLOSE_RESET)
  /// Nobody listens at the address.
  public static let refused = CloseReason(CYC_CLOSE_REFUSED)
  /// It did not connect, or did not flush, in time; or the peer vanished.
  public static let timedOut = CloseReason(CYC_CLOSE_TIMED_OUT)
  /// A frame size out of range, or `Reactor.close(_:flush:reason:)` said so.
  public static let protocolViolation = CloseReason(CYC_CLOSE_PROTOCOL_VIOLATION)
  /// The send queue passed `sendCap`: the peer reads too slowly.
  public static let sendOverflow = CloseReason(CYC_CLOSE_SEND_OVERFLOW)
  /// Unconsumed input, or what the endpoint asked to wait for, passed `inputLimit`.
  public static let inputOverflow = CloseReason(CYC_CLOSE_INPUT_OVERFLOW)
  /// The buffer pool met its budget.
  public static let outOfBuffers = CloseReason(CYC_CLOSE_OUT_OF_BUFFERS)
  /// Another system error; see `errno`.
  public static let failed = CloseReason(CYC_CLOSE_FAILED)

  /// Two reasons are equal when their kinds are, whatever error number lies behind.
  public static func == (a: CloseReason, b: CloseReason) -> Bool { a.code == b.code }

  /// Hashes the kind.
  public func hash(into hasher: inout Hasher) { hasher.combine(code) }

  /// Whether the system knows no way to the peer.
  var isUnreachable: Bool { errno == EHOSTUNREACH || errno == ENETUNREACH }

  var raw: cyc_close_reason { cyc_close_reason(rawValue: UInt32(code)) }

  /// A few words.
  public var description: String {
    let words =
      switch self {
      case .local: "closed here"
      case .endOfInput: "end of input"
      case .reset: "reset by peer"
      case .refused: "connection refused"
      case .timedOut: "timed out"
      case .protocolViolation: "protocol violation"
      case .sendOverflow: "peer reads too slowly"
      case .inputOverflow: "input limit passed"
      case .outOfBuffers: "out of buffers"
      default: "failed"
      }
    return errno == 0 ? words : "\(words) (\(systemErrorText(errno)))"
  }
}
