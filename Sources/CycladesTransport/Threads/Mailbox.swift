import Synchronization

/// The way onto a reactor from other threads.
///
/// Posting appends to a list; a reactor that is awake finds it at the end of its turn, a parked one
/// is woken, once for any number of posts.
public final class Mailbox: Sendable {
  private struct State {
    var messages: [@Sendable (Reactor) -> Void] = []
    var jobs: [UnownedJob] = []
    /// References to blocks that other threads are done with.
    var slices: [SliceReference] = []
    var closed = false
    var isEmpty: Bool { messages.isEmpty && jobs.isEmpty && slices.isEmpty }
  }
  private let state = Lock(State())
  private let hasMail = Atomic(false)
  private let parked = Atomic(false)
  private let waker: Waker

  init(waker: Waker) { self.waker = waker }

  /// Runs `body` on the reactor's thread, after everything posted before by the same thread.
  ///
  /// Returns false, and does not run it, when the reactor has stopped.
  @discardableResult
  public func post(_ body: @escaping @Sendable (Reactor) -> Void) -> Bool {
    deliver { $0.messages.append(body) }
  }

  /// Runs `body` on the reactor's thread, after everything posted before by the same thread.
  ///
  /// Returns false, and does not run it, when the reactor has stopped.
  @discardableResult
  public func post(_ body: @escaping @Sendable () -> Void) -> Bool { post { _ in body() } }

  /// Has a job run on the reactor's executor; false when the reactor has stopped.
  func post(_ job: UnownedJob) -> Bool { deliver { $0.jobs.append(job) } }

  /// Gives up a reference from another thread than the reactor's.
  func giveBack(_ slice: SliceReference) {
    let isPosted = deliver { $0.slices.append(slice) }
    // A stopped reactor leaves its blocks to whoever still has some, one thread at a time.
    if !isPosted { state.withLock { _ in slice.release() } }
  }

  private func deliver(_ change: (inout State) -> Void) -> Bool {
    state.withLock { state in
      guard !state.closed else { return false }
      change(&state)
      hasMail.store(true, ordering: .releasing)
      // Under the lock: `close` takes it too, so the waker's descriptor is still ours here.
      if parked.exchange(false, ordering: .acquiringAndReleasing) { waker.wake() }
      return true
    }
  }

  /// Runs what was posted; the reactor calls it once per turn.
  func drain(_ reactor: Reactor) {
    guard hasMail.load(ordering: .acquiring) else { return }
    let mail = state.withLock { state in
      hasMail.store(false, ordering: .relaxed)
      let mail = state
      state = State()
      return mail
    }
    for slice in mail.slices { slice.release() }
    for message in mail.messages { message(reactor) }
    reactor.executor.append(mail.jobs)
  }

  /// Drops what was posted and will not be run, when the reactor failed; returns the jobs.
  func discard() -> [UnownedJob] {
    state.withLock { state in
      for slice in state.slices { slice.release() }
      let jobs = state.jobs
      state = State()
      return jobs
    }
  }

  /// Announces that the reactor is about to park; false when there is mail.
  func prepareToPark() -> Bool {
    state.withLock { state in
      guard state.isEmpty else { return false }
      parked.store(true, ordering: .releasing)
      return true
    }
  }

  /// The reactor is awake; a post need not wake it.
  func unpark() { parked.store(false, ordering: .releasing) }

  /// Refuses further mail; false when there is still some to run.
  func close() -> Bool {
    state.withLock { state in
      guard state.isEmpty else { return false }
      state.closed = true
      return true
    }
  }
}
