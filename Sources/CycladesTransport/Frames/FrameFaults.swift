internal import Logging

/// Counts and logs the wrong frames of one reactor's connections; for its thread only.
public final class FrameFaults {
  private var counts: [SealedFrame.Fault: Int] = [:]
  private let logger: Logger

  /// Every fault is one line at the info level, for each costs a connection.
  init(logger: Logger) { self.logger = logger }

  /// How many connections were closed because of a fault.
  public subscript(fault: SealedFrame.Fault) -> Int { counts[fault, default: 0] }

  func note(_ fault: SealedFrame.Fault, from peer: SocketAddress?) {
    counts[fault, default: 0] += 1
    logger.info(
      "connection closed: \(fault)", metadata: ["peer": "\(peer.map { "\($0)" } ?? "gone")"])
  }
}
