/// A suspended task, which is to be resumed exactly once.
@safe struct Resumption<Outcome: Sendable>: Sendable {
  private let continuation: UnsafeContinuation<Outcome, Never>

  /// Suspends the current task until its resumption, which `body` gets, is used.
  nonisolated(nonsending) static func wait(
    _ body: (Resumption<Outcome>) -> Void
  ) async -> Outcome {
    await unsafe withUnsafeContinuation { body(unsafe Resumption(continuation: $0)) }
  }

  func resume(_ outcome: Outcome) { unsafe continuation.resume(returning: outcome) }
}
