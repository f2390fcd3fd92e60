import CycladesReplication
import CycladesStore
public import CycladesTransport
import Logging
import Synchronization

extension StatusReport {
  /// Asks a node for its report, at either of its client ports.
  ///
  /// - Throws: `ServerError` with code `unreachable` when no answer came in time, or `badStatus` when
  ///   the answer is not a report.
  public static func fetch(
    from address: SocketAddress, timeout: Duration = .seconds(2)
  ) async throws(ServerError) -> StatusReport {
    let answer = Mutex<[UInt8]?>(nil)
    var configuration = ReactorConfiguration()
    configuration.receiveBlocks = 4
    configuration.poolBudgetBytes = 64 << 20
    do {
      let thread = try ReactorThread.start(
        name: "cyclades-status", configuration: configuration,
        logger: Logger(label: "cyclades.status") { _ in SwiftLogNoOpLogHandler() }
      ) { reactor in
        let request = StatusRequest(reactor) { bytes in answer.withLock { $0 = bytes } }
        _ = reactor.connect(to: address, timeout: timeout, endpoint: request)
        reactor.schedule(after: timeout) { reactor.stop() }
      }
      await thread.finished()
      if let failure = thread.failure { throw failure }
    } catch {
      throw ServerError(.unreachable, "cannot ask \(address) for its status", error)
    }
    guard let json = answer.withLock({ $0 }) else {
      throw ServerError(.unreachable, "no status from \(address) within \(timeout)")
    }
    return try StatusReport(json: json)
  }
}

/// Sends CYCLADES STATUS and takes the one bulk string that answers it.
private final class StatusRequest: Endpoint {
  private let reactor: Reactor
  private let deliver: ([UInt8]) -> Void

  init(_ reactor: Reactor, deliver: @escaping ([UInt8]) -> Void) {
    self.reactor = reactor
    self.deliver = deliver
  }

  func opened(_ connection: ConnectionID) {
    let command = [UInt8]("CYCLADES STATUS\r\n".utf8)
    reactor.send(connection, copying: command.rawSpan)
  }

  /// `$` length CR LF bytes CR LF.
  func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
    let head = [UInt8](copying: bytes.extracting(first: 16))
    guard let end = head.firstIndex(of: UInt8(ascii: "\r")) else { return Progress(consumed: 0) }
    guard let length = Int(String(decoding: head[1..<end], as: UTF8.self)), length >= 0 else {
      reactor.stop()
      return Progress(consumed: bytes.byteCount)
    }
    let total = end + 2 + length + 2
    guard bytes.byteCount >= total else { return Progress(consumed: 0, needs: total) }
    deliver([UInt8](copying: bytes.extracting(end + 2..<end + 2 + length)))
    reactor.stop()
    return Progress(consumed: bytes.byteCount)
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) { reactor.stop() }
}
