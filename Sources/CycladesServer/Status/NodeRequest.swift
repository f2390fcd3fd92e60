import CycladesReplication
import CycladesStore
public import CycladesTransport
import Logging
import Synchronization

/// One command to one node, from outside of the cluster: what the command line speaks.
public enum NodeRequest {
  /// Sends a node one command that is answered with a simple or a bulk string, and returns that.
  ///
  /// - Throws: `ServerError` with code `unreachable` when no answer came in time, or `refused` with
  ///   the server's words when the answer is an error.
  public static func send(
    _ words: [String], to address: SocketAddress, timeout: Duration = .seconds(2)
  ) async throws(ServerError) -> [UInt8] {
    let answer = Mutex<NodeExchange.Answer>(.failure(unreachable(address, .timedOut)))
    var configuration = ReactorConfiguration()
    configuration.receiveBlocks = 4
    configuration.poolBudgetBytes = 64 << 20
    do {
      let thread = try ReactorThread.start(
        name: "cyclades-request", configuration: configuration,
        logger: Logger(label: "cyclades.request") { _ in SwiftLogNoOpLogHandler() }
      ) { reactor in
        let request = NodeExchange(reactor, address, words) { result in
          answer.withLock { $0 = result }
        }
        _ = reactor.connect(to: address, timeout: timeout, endpoint: request)
        reactor.schedule(after: timeout) { request.giveUp() }
      }
      await thread.finished()
      if let failure = thread.failure { throw failure }
    } catch {
      throw ServerError(.unreachable, "cannot ask \(address)", error)
    }
    return try answer.withLock { $0 }.get()
  }

  fileprivate static func unreachable(
    _ address: SocketAddress, _ reason: CloseReason
  ) -> ServerError {
    ServerError(.unreachable, "cannot ask \(address): \(reason)")
  }
}

/// Sends a command and takes the one string that answers it.
private final class NodeExchange: Endpoint {
  typealias Answer = Result<[UInt8], ServerError>

  private let reactor: Reactor
  private let address: SocketAddress
  private let words: [String]
  private let deliver: (Answer) -> Void
  private var isAnswered = false

  init(
    _ reactor: Reactor, _ address: SocketAddress, _ words: [String],
    deliver: @escaping (Answer) -> Void
  ) {
    self.reactor = reactor
    self.address = address
    self.words = words
    self.deliver = deliver
  }

  private func finish(_ answer: Answer) {
    guard !isAnswered else { return }
    isAnswered = true
    deliver(answer)
    reactor.stop()
  }

  /// There was no answer in time.
  func giveUp() { finish(.failure(NodeRequest.unreachable(address, .timedOut))) }

  func opened(_ connection: ConnectionID) {
    var command = "*\(words.count)\r\n"
    for word in words { command += "$\(word.utf8.count)\r\n\(word)\r\n" }
    let bytes = [UInt8](command.utf8)
    reactor.send(connection, copying: bytes.rawSpan)
  }

  /// `+` text CR LF, `-` text CR LF, or `$` length CR LF bytes CR LF.
  func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
    let head = [UInt8](copying: bytes.extracting(first: 512))
    guard let end = head.firstIndex(of: UInt8(ascii: "\r")) else { return Progress(consumed: 0) }
    let text = String(decoding: head[..<end].dropFirst(), as: UTF8.self)
    let isBulk = head[0] == UInt8(ascii: "$")
    guard isBulk, let length = Int(text), length >= 0, length <= 64 << 20 else {
      let isSimple = head[0] == UInt8(ascii: "+")
      finish(isSimple ? .success(Array(text.utf8)) : .failure(refusal(text)))
      return Progress(consumed: bytes.byteCount)
    }
    let total = end + 2 + length + 2
    guard bytes.byteCount >= total else { return Progress(consumed: 0, needs: total) }
    finish(.success([UInt8](copying: bytes.extracting(end + 2..<end + 2 + length))))
    return Progress(consumed: bytes.byteCount)
  }

  private func refusal(_ text: String) -> ServerError {
    ServerError(.refused, "\(address) refuses \(words.joined(separator: " ")): \(text)")
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    finish(.failure(NodeRequest.unreachable(address, reason)))
  }
}
