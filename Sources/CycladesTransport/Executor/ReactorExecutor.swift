extension ReactorExecutor {
  /// Runs `body` with the reactor on its thread, from any task, and returns what it returned.
  ///
  /// The way to use a reactor's own API - listen, connect, timers, files - from `async` code.
  /// Throws `.closed` when the reactor has stopped, and what `body` throws.
  public nonisolated(nonsending) func withReactor<R: Sendable>(
    _ body: @escaping @Sendable (Reactor) throws -> R
  ) async throws -> R {
    if isCurrent, let reactor { return try body(reactor) }
    return try await withCheckedThrowingContinuation { continuation in
      let isPosted = mailbox.post { reactor in
        continuation.resume(with: Result { try body(reactor) })
      }
      if !isPosted { continuation.resume(throwing: TransportError.reactorStopped) }
    }
  }

  /// Waits on the reactor's own clock: the task stays with the reactor, where `Task.sleep` would
  /// leave it for another thread and come back.
  ///
  /// Throws `CancellationError` when the task is cancelled, `.closed` when the reactor has stopped.
  /// A reactor that stops meanwhile ends the wait at once, with the same error.
  public nonisolated(nonsending) func sleep(for duration: Duration) async throws {
    let nap = Nap(self)
    let ending = await withTaskCancellationHandler {
      await Resumption.wait { nap.start(duration, $0) }
    } onCancel: {
      nap.cancel()
    }
    switch ending {
    case .over: return
    case .cancelled: throw CancellationError()
    case .stopped: throw TransportError.reactorStopped
    }
  }

  /// Runs `body` on the reactor's thread: now when this is it, else by mail. False when the reactor
  /// has stopped.
  func perform(_ body: @escaping @Sendable (Reactor) -> Void) -> Bool {
    guard isCurrent, let reactor else { return mailbox.post(body) }
    body(reactor)
    return true
  }
}

/// One wait of one task. Unchecked: but for the executor, touched on the reactor's thread only,
/// until that has stopped.
private final class Nap: @unchecked Sendable {
  enum Ending: Sendable { case over, cancelled, stopped }
  private let executor: ReactorExecutor
  private var continuation: Resumption<Ending>?
  private var timer: Timer?
  private var isCancelled = false

  init(_ executor: ReactorExecutor) { self.executor = executor }

  func start(_ duration: Duration, _ continuation: Resumption<Ending>) {
    let isPosted = executor.perform { reactor in
      guard !self.isCancelled else { return continuation.resume(.cancelled) }
      self.continuation = continuation
      self.timer = reactor.schedule(after: duration) {
        self.end(.over)
      } orDropped: {
        self.end(.stopped)
      }
    }
    if !isPosted { continuation.resume(.stopped) }
  }

  func cancel() {
    _ = executor.perform { reactor in
      self.isCancelled = true
      guard let timer = self.timer else { return }
      reactor.cancel(timer)
      self.end(.cancelled)
    }
  }

  private func end(_ ending: Ending) {
    timer = nil
    continuation?.resume(ending)
    continuation = nil
  }
}
