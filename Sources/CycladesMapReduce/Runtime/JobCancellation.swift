import Synchronization

/// Cancels a job from any thread.
public final class JobCancellation: Sendable {
  private struct State {
    var isCancelled = false
    var onCancel: (@Sendable () -> Void)?
  }
  private let state = Mutex(State())

  /// Makes a cancellation that a job can be started with.
  public init() {}

  /// Whether `cancel` was called.
  public var isCancelled: Bool { state.withLock { $0.isCancelled } }

  /// Ends the job soon; its `run` throws `MapReduceError.Code.cancelled`. Later calls do nothing.
  public func cancel() {
    let notify = state.withLock { state in
      state.isCancelled = true
      defer { state.onCancel = nil }
      return state.onCancel
    }
    notify?()
  }

  /// Has `body` called once at `cancel`, at once when that was before.
  func whenCancelled(_ body: @escaping @Sendable () -> Void) {
    let already = state.withLock { state in
      if !state.isCancelled { state.onCancel = body }
      return state.isCancelled
    }
    if already { body() }
  }

  func check() throws {
    if isCancelled { throw JobCancellation.error }
  }

  static let error = MapReduceError(.cancelled, "the job was cancelled")
}
