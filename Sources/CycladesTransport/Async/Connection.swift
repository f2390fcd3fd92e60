/// A TCP connection that one task owns: it reads what comes, writes with backpressure, and closes
/// it by letting go of it.
///
/// ```swift
/// while let bytes = try await connection.next() {
///   try await connection.write(bytes)
/// }
/// ```
///
/// Usable from any task. On a task that prefers the connection's `executor` (those of
/// `ConnectionServer` do) reading what is there and writing below the watermark cost no suspension,
/// and a wait costs one resumption on the thread the task never left. On any other task the same
/// calls hop to the reactor and back.
///
/// Everything queued in one turn of the reactor leaves in one system call. When more than the
/// reactor's high watermark is queued, `write` waits until the peer has taken enough; when the
/// owner does not read, reading stops after a few blocks, and the peer has to wait.
///
/// What it does not do: TLS, datagrams, and reading by two tasks at a time (`next` is mutating, so
/// the compiler refuses it). Others write through `writer`.
public struct Connection: ~Copyable, Sendable {
  let channel: Channel
  private var isOpen = true
  /// Counts waits, so that a cancellation meets the wait it is meant for.
  private var ticket: UInt64 = 0
  /// What a line left over.
  private var rest: Slice?

  init(_ channel: Channel) { self.channel = channel }

  deinit {
    guard isOpen else { return }
    let channel = channel
    _ = channel.executor.perform { channel.close(flush: true, $0) }
  }

  /// The peer's address; nil when it was gone before it could be asked for.
  public var peerAddress: SocketAddress? { channel.peer }

  /// The executor of the connection's reactor.
  public var executor: ReactorExecutor { channel.executor }

  /// Writes to this connection, for other tasks.
  public var writer: ConnectionWriter { ConnectionWriter(channel: channel) }

  // MARK: Reading

  /// The next bytes, as they came; on a framed connection the next frame. `nil` when the peer has
  /// finished sending, or the server is stopping: finish what you are at and return.
  ///
  /// With `limit`, throws `.timedOut` when nothing comes in time. Throws `.cancelled` when the task
  /// is cancelled while it waits, `.reset` and others when the connection broke. A read that timed
  /// out or was cancelled took nothing: the connection can be used further.
  public nonisolated(nonsending) mutating func next(
    within limit: Duration? = nil
  ) async throws(TransportError) -> Slice? {
    if let rest = rest.take() { return rest }
    switch await receive(within: limit) {
    case .bytes(let reference): return Slice(adopting: reference, of: channel.executor)
    case .end: return nil
    case .failed(let error): throw error
    }
  }

  private nonisolated(nonsending) mutating func receive(
    within limit: Duration?
  ) async -> Channel.Arrival {
    let channel = channel
    let executor = channel.executor
    if executor.isCurrent, let reactor = executor.reactor,
      let arrival = channel.takeArrival(reactor)
    {
      return arrival
    }
    ticket += 1
    let ticket = ticket
    return await withTaskCancellationHandler {
      await Resumption.wait { resumption in
        if executor.isCurrent, let reactor = executor.reactor {
          return channel.read(ticket, within: limit, resumption, reactor)
        }
        let isPosted = executor.mailbox.post {
          channel.read(ticket, within: limit, resumption, $0)
        }
        if !isPosted { resumption.resume(.failed(.reactorStopped)) }
      }
    } onCancel: {
      _ = executor.perform { channel.cancelRead(ticket, $0) }
    }
  }

  /// The next line, without its end (LF or CR LF); `nil` when the peer has finished sending, also
  /// in the middle of one.
  ///
  /// Throws `.limitExceeded` when a line is longer than `byteLimit` bytes, and what `next` throws.
  public nonisolated(nonsending) mutating func nextLine(
    byteLimit: Int = 8192, within limit: Duration? = nil
  ) async throws(TransportError) -> String? {
    var line: [UInt8] = []
    while var bytes = try await next(within: limit) {
      let end = bytes.span.firstOffset(of: 0x0a)
      line += bytes.span.extracting(first: end ?? bytes.byteCount).array
      guard line.count <= byteLimit else {
        throw TransportError(
          .limitExceeded, "a line is longer than \(byteLimit) bytes", address: peerAddress)
      }
      guard let end else { continue }
      bytes.removeFirst(end + 1)
      rest = bytes.byteCount > 0 ? consume bytes : nil
      if line.last == 0x0d { line.removeLast() }
      return String(decoding: line, as: UTF8.self)
    }
    return nil
  }

  // MARK: Writing

  /// Sends received bytes by reference; copies them when they came from another reactor.
  ///
  /// Returns when they are queued and the queue is below its watermark; with `limit`, throws
  /// `.timedOut` when that takes longer. They are queued then all the same, as after `.cancelled`.
  public nonisolated(nonsending) func write(
    _ bytes: consuming Slice, within limit: Duration? = nil
  ) async throws(TransportError) {
    try await writer.write(bytes, within: limit)
  }

  /// Sends a copy of an array's bytes; see above.
  public nonisolated(nonsending) func write(
    _ bytes: [UInt8], within limit: Duration? = nil
  ) async throws(TransportError) {
    try await writer.write(bytes, within: limit)
  }

  /// Sends a copy of a string's UTF-8; see above.
  public nonisolated(nonsending) func write(
    _ text: String, within limit: Duration? = nil
  ) async throws(TransportError) {
    try await writer.write(text, within: limit)
  }

  /// Ends this side's direction once everything queued is sent, and goes on reading: the peer sees
  /// the end of its input. Writing throws from here on.
  public func finishWriting() {
    let channel = channel
    _ = channel.executor.perform { channel.finishWriting($0) }
  }

  // MARK: Closing

  /// Closes after everything queued is sent and the peer has seen the end, at most the reactor's
  /// `flushTimeout` later; returns when it is closed.
  public nonisolated(nonsending) consuming func close() async { await finish(flush: true) }

  /// Closes at once; what is queued is lost, and the peer may see a reset.
  public consuming func abort() {
    isOpen = false
    let channel = channel
    _ = channel.executor.perform { channel.close(flush: false, $0) }
  }

  private nonisolated(nonsending) consuming func finish(flush: Bool) async {
    isOpen = false
    rest = nil
    let channel = channel
    await Resumption<Void>.wait { resumption in
      let isPosted = channel.executor.perform {
        channel.close(flush: flush, $0)
        channel.awaitClosed(resumption)
      }
      if !isPosted { resumption.resume(()) }
    }
  }

  /// Whether a line left something over that nobody has read.
  var hasRest: Bool {
    switch rest {
    case .some: true
    case .none: false
    }
  }

  /// Gives the channel up without closing it, for whoever goes on with it.
  consuming func detach() -> Channel {
    isOpen = false
    return channel
  }
}
