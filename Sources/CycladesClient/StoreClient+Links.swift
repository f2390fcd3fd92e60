import CycladesTransport
import Logging

/// The connections of a client: made when they are needed, and again after a pause when they fail.
extension StoreClient {
  private static let firstPause = Duration.milliseconds(50)
  private static let pausesMax = 5

  /// The connection to a node; made when there is none, and when it is time to try again.
  func link(to address: NodeAddress) -> NodeLink {
    if let link = links[address] {
      if case .failed = link.state, !link.isResting { start(link) }
      return link
    }
    let link = NodeLink(address)
    links[address] = link
    start(link)
    return link
  }

  private func start(_ link: NodeLink) {
    link.state = .connecting
    link.parser = ReplyParser()
    link.outgoing = []
    link.task = Task { await self.run(link) }
  }

  /// Connects, then reads replies until the connection ends.
  private func run(_ link: NodeLink) async {
    do {
      let addresses = try await addresses(of: link.address)
      var connection = try await Connection.connect(
        to: addresses, on: executor, timeout: configuration.connectTimeout)
      guard !isClosed, !Task.isCancelled else { return }
      opened(link, connection.writer)
      while let bytes = try await connection.next() {
        for item in try link.parser.take(bytes.span) { received(item, on: link) }
        link.failures = 0
      }
      logger.debug("a server closed the connection", metadata: ["server": "\(link.address)"])
    } catch {
      logger.debug(
        "a connection ended", metadata: ["server": "\(link.address)", "error": "\(error)"])
    }
    // Unless it was given up from outside, and perhaps begun anew.
    if !Task.isCancelled { lose(link) }
  }

  private func addresses(of node: NodeAddress) async throws -> [SocketAddress] {
    if let address = try? SocketAddress(host: node.host, port: node.port) { return [address] }
    return try await SocketAddress.resolve(host: node.host, port: node.port)
  }

  private func opened(_ link: NodeLink, _ writer: ConnectionWriter) {
    link.state = .ready
    link.writer = writer
    var hello = ["HELLO", "3"]
    if !configuration.name.isEmpty { hello += ["SETNAME", configuration.name] }
    RequestEncoding.appendHead(hello.count, to: &link.outgoing)
    for word in hello { RequestEncoding.append(word, to: &link.outgoing) }
    let greeting = Call(
      id: 0, words: [Array("HELLO".utf8)], slot: nil, effect: .none,
      deadline: .now + configuration.connectTimeout
    ) { [logger, address = link.address] result in
      guard case .failure(let error) = result else { return }
      logger.warning(
        "a server does not speak RESP3", metadata: ["server": "\(address)", "error": "\(error)"])
    }
    greeting.sentAt = .now
    link.note(sent: greeting)
    writeSoon(link)
    for call in link.takeBacklog() { dispatchAgain(call) }
  }

  /// A call that waited for a connection goes on: perhaps elsewhere by now.
  private func dispatchAgain(_ call: Call) {
    guard !call.isOver else { return }
    dispatch(call)
  }

  /// Writes what calls have added by then, in one go.
  func writeSoon(_ link: NodeLink) {
    guard !link.isWriting, let writer = link.writer else { return }
    link.isWriting = true
    Task { await self.write(link, writer) }
  }

  private func write(_ link: NodeLink, _ writer: ConnectionWriter) async {
    while !link.outgoing.isEmpty, link.isReady {
      let bytes = link.outgoing
      link.outgoing = []
      do {
        try await writer.write(bytes)
      } catch {
        // Its reader learns the same, and ends the link.
        break
      }
    }
    link.isWriting = false
  }

  /// A connection is gone: what was on it may or may not have been carried out, and is asked for
  /// again.
  func lose(_ link: NodeLink) {
    if case .failed = link.state { return }
    let pause = Self.firstPause * (1 << min(link.failures, Self.pausesMax))
    // Anything from half of the pause on: clients that lost one server do not return as one.
    link.state = .failed(until: .now + pause * Double.random(in: 0.5...1))
    link.failures += 1
    statistics.lostConnections += 1
    link.writer = nil
    link.outgoing = []
    link.isWriting = false
    let sent = link.takeAll()
    let kept = link.takeBacklog()
    guard !isClosed else { return }
    refresh()
    for call in sent where !call.isOver && call.id != 0 {
      call.link = nil
      call.sentAt = nil
      call.mayHaveRun = true
      if call.mayRepeat { dispatch(call) } else { retryLater(call) }
    }
    for call in kept where !call.isOver { dispatch(call) }
  }
}
