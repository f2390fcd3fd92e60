import Synchronization

/// Cancels a job from any thread.
public final class JobCancellation: Sendable {
  private let cancelled = Atomic(false)

  /// Makes a cancellation that a job can be started with.
  public init() {}

  /// Whether `cancel` was called.
  public var isCancelled: Bool { cancelled.load(ordering: .acquiring) }

  /// Ends the job within a fraction of a second; its `run` throws
  /// `MapReduceError.Code.cancelled`. Later calls do nothing.
  public func cancel() { cancelled.store(true, ordering: .releasing) }

  func check() throws {
    if isCancelled { throw JobCancellation.error }
  }

  static let error = MapReduceError(.cancelled, "the job was cancelled")
}
