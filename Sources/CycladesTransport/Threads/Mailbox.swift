import Synchronization

/// The way onto a reactor from other threads.
///
/// Posting appends to a list; a reactor that is awake finds it at the end of its turn, a parked one
/// is woken, once for any number of posts.
public final class Mailbox: Sendable {
  private struct State {
    var messages: [@Sendable (Reactor) -> Void] = []
    var closed = false
  }
  private let state = Mutex(State())
  private let hasMail = Atomic(false)
  private let parked = Atomic(false)
  private let waker: Waker

  init(waker: Waker) { self.waker = waker }

  /// Runs `body` on the reactor's thread, after everything posted before by the same thread.
  ///
  /// Returns false, and does not run it, when the reactor has stopped.
  @discardableResult
  public func post(_ body: @escaping @Sendable (Reactor) -> Void) -> Bool {
    state.withLock { state in
      guard !state.closed else { return false }
      state.messages.append(body)
      hasMail.store(true, ordering: .releasing)
      // Under the lock: `close` takes it too, so the waker's descriptor is still ours here.
      if parked.exchange(false, ordering: .acquiringAndReleasing) { waker.wake() }
      return true
    }
  }

  /// Runs `body` on the reactor's thread, after everything posted before by the same thread.
  ///
  /// Returns false, and does not run it, when the reactor has stopped.
  @discardableResult
  public func post(_ body: @escaping @Sendable () -> Void) -> Bool { post { _ in body() } }

  /// Runs what was posted; the reactor calls it once per turn.
  func drain(_ reactor: Reactor) {
    guard hasMail.load(ordering: .acquiring) else { return }
    let messages = state.withLock { state in
      hasMail.store(false, ordering: .relaxed)
      let messages = state.messages
      state.messages = []
      return messages
    }
    for message in messages { message(reactor) }
  }

  /// Drops what was posted and will not be run, when the reactor failed.
  func discard() { state.withLock { $0.messages = [] } }

  /// Announces that the reactor is about to park; false when there is mail.
  func prepareToPark() -> Bool {
    state.withLock { state in
      guard state.messages.isEmpty else { return false }
      parked.store(true, ordering: .releasing)
      return true
    }
  }

  /// The reactor is awake; a post need not wake it.
  func unpark() { parked.store(false, ordering: .releasing) }

  /// Refuses further mail; false when there is still some to run.
  func close() -> Bool {
    state.withLock { state in
      guard state.messages.isEmpty else { return false }
      state.closed = true
      return true
    }
  }
}
