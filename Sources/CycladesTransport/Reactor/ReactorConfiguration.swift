/// Limits of one reactor, and how it reaches the kernel. Sizes are in bytes.
public struct ReactorConfiguration: Sendable {
  /// A way to reach the kernel.
  public enum IO: String, Sendable, CaseIterable {
    /// io_uring, or epoll where the kernel refuses it, as Docker's default profile does.
    case auto
    /// io_uring or an error.
    case uring
    /// epoll, with threads for files.
    case epoll
  }

  /// How to reach the kernel. `.auto`, the default, lets the environment variable `CYCLADES_IO`
  /// decide when it is set to the name of a case.
  public var io = IO.auto
  /// Memory for all buffers of the reactor. Default 1 GiB.
  public var poolBudgetBytes = 1 << 30
  /// Blocks that may be lent to the kernel for stream input, shared by all connections; no more
  /// are than the busiest turns take. Default 1024.
  public var receiveBlocks = 1024
  /// Size of one of these, at most 256 KiB. Default 64 KiB: a large message that arrives in one
  /// receive costs an eighth less than in four, and a small one touches the first lines only.
  public var receiveBlockSize = 64 << 10
  /// Accepted connections at a time; more are closed at once. Default 65,536.
  public var connectionsMax = 65_536
  /// Unconsumed input of one stream connection. Default 512 MiB + 64 KiB.
  public var inputLimit = (512 << 20) + (64 << 10)
  /// A send queue above this ... Default 1 MiB.
  public var sendHighWatermark = 1 << 20
  /// ... is reported `drained` when it has fallen to this. Default 256 KiB.
  public var sendLowWatermark = 256 << 10
  /// A send queue above this closes the connection. Default 768 MiB.
  public var sendCap = 768 << 20
  /// How long a flushing close may take before it becomes an abort. Default 5 s.
  public var flushTimeout = Duration.seconds(5)

  /// The system's send buffer of every connection; `nil`, the default, lets the system tune it.
  public var socketSendBufferBytes: Int?
  /// The system's receive buffer of every connection; `nil`, the default, lets the system tune it.
  public var socketReceiveBufferBytes: Int?

  /// A connection that was idle for this long is probed, three times in as long again, and then
  /// closed; `nil`: never. Whole seconds. Default 30 s.
  public var keepalive: Duration? = .seconds(30)
  /// A connection whose sent bytes stay unacknowledged for this long is closed; `nil` leaves it to
  /// the system (`TCP_USER_TIMEOUT`). Default 60 s.
  public var userTimeout: Duration? = .seconds(60)

  /// Where the reactor lives in a simulation; `nil`, the default: in this world.
  package var residence: Residence?

  /// Makes a configuration with the defaults.
  public init() {}

  /// What `io` means here: the environment's wish where it leaves the choice open.
  func resolvedIO() throws(TransportError) -> IO {
    guard io == .auto, let wish = environmentVariable("CYCLADES_IO"), !wish.isEmpty else {
      return io
    }
    guard let choice = IO(rawValue: wish) else {
      throw TransportError(
        .invalidConfiguration,
        "CYCLADES_IO is \"\(wish)\": it must be one of auto, uring, epoll")
    }
    return choice
  }

  func validate() throws(TransportError) {
    func check(_ holds: Bool, _ message: String) throws(TransportError) {
      if !holds { throw TransportError(.invalidConfiguration, message) }
    }
    try check(poolBudgetBytes > 0, "poolBudgetBytes must be positive")
    try check((1...32_768).contains(receiveBlocks), "receiveBlocks must be in 1...32768")
    try check(
      (64...256 << 10).contains(receiveBlockSize), "receiveBlockSize must be in 64...262144")
    try check((1...1 << 20).contains(connectionsMax), "connectionsMax must be in 1...1048576")
    try check((1...1 << 30).contains(inputLimit), "inputLimit must be in 1...1 GiB")
    for bytes in [socketSendBufferBytes, socketReceiveBufferBytes].compactMap({ $0 }) {
      try check((1...1 << 30).contains(bytes), "a socket's buffers must be in 1...1 GiB")
    }
    if let keepalive {
      try check(
        (.seconds(1)...(.seconds(32_767))).contains(keepalive),
        "keepalive must be nil or in 1...32767 seconds")
    }
    if let userTimeout {
      try check(
        (.milliseconds(1)...(.seconds(86_400))).contains(userTimeout),
        "userTimeout must be nil or in 1 ms...1 day")
    }
    try check(
      sendLowWatermark >= 0 && sendLowWatermark <= sendHighWatermark
        && sendHighWatermark <= sendCap,
      "0 <= sendLowWatermark <= sendHighWatermark <= sendCap must hold")
  }
}
