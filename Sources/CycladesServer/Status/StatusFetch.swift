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
    let answer = Mutex<StatusRequest.Answer>(.failure(Self.unreachable(address, .timedOut)))
    var configuration = ReactorConfiguration()
    configuration.receiveBlocks = 4
    configuration.poolBudgetBytes = 64 << 20
    do {
      let thread = try ReactorThread.start(
        name: "cyclades-status", configuration: configuration,
        logger: Logger(label: "cyclades.status") { _ in SwiftLogNoOpLogHandler() }
      ) { reactor in
        let request = StatusRequest(reactor, address) { result in answer.withLock { $0 = result } }
        _ = reactor.connect(to: address, timeout: timeout, endpoint: request)
        reactor.schedule(after: timeout) { request.giveUp() }
      }
      await thread.finished()
      if let failure = thread.failure { throw failure }
    } catch {
      throw ServerError(.unreachable, "cannot ask \(address) for its status", error)
    }
    return try StatusReport(json: answer.withLock { $0 }.get())
  }

  fileprivate static func unreachable(
    _ address: SocketAddress, _ reason: CloseReason
  ) -> ServerError {
    ServerError(.unreachable, "cannot ask \(address) for its status: \(reason)")
  }
}

/// Sends CYCLADES STATUS and takes the one bulk string that answers it.
private final class StatusRequest: Endpoint {
  typealias Answer = Result<[UInt8], ServerError>

  private let reactor: Reactor
  private let address: SocketAddress
  private let deliver: (Answer) -> Void
  private var isAnswered = false

  init(_ reactor: Reactor, _ address: SocketAddress, deliver: @escaping (Answer) -> Void) {
    self.reactor = reactor
    self.address = address
    self.deliver = deliver
  }

  private func finish(_ answer: Answer) {
    guard !isAnswered else { return }
    isAnswered = true
    deliver(answer)
    reactor.stop()
  }

  /// There was no answer in time.
  func giveUp() { finish(.failure(StatusReport.unreachable(address, .timedOut))) }

  func opened(_ connection: ConnectionID) {
    let command = [UInt8]("CYCLADES STATUS\r\n".utf8)
    reactor.send(connection, copying: command.rawSpan)
  }

  /// `$` length CR LF bytes CR LF.
  func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
    let head = [UInt8](copying: bytes.extracting(first: 16))
    guard let end = head.firstIndex(of: UInt8(ascii: "\r")) else { return Progress(consumed: 0) }
    guard let length = Int(String(decoding: head[..<end].dropFirst(), as: UTF8.self)), length >= 0
    else {
      finish(.failure(ServerError(.badStatus, "\(address) does not answer CYCLADES STATUS")))
      return Progress(consumed: bytes.byteCount)
    }
    let total = end + 2 + length + 2
    guard bytes.byteCount >= total else { return Progress(consumed: 0, needs: total) }
    finish(.success([UInt8](copying: bytes.extracting(end + 2..<end + 2 + length))))
    return Progress(consumed: bytes.byteCount)
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    finish(.failure(StatusReport.unreachable(address, reason)))
  }
}
