internal import Glibc
import Synchronization

/// A reactor's thread as an executor: tasks prefer it, actors live on it.
///
/// ```swift
/// let task = Task(executorPreference: group.next()) { ... }   // runs on the reactor's thread
/// actor Registry {
///   nonisolated let executor: ReactorExecutor
///   nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
/// }
/// ```
///
/// What is enqueued from the reactor's own thread costs an append to an array, and runs before the
/// turn ends; what comes from elsewhere goes through the mailbox and wakes the reactor only when it
/// is parked. Code on it must not block: everything on the reactor waits for it.
///
/// One queue serves as both kinds of executor, so a task that prefers it calls an actor that lives
/// on it without leaving the thread. A job that is enqueued when the reactor has stopped still
/// runs, after those before it, on the global executor: a task is never lost.
@safe public final class ReactorExecutor: SerialExecutor, TaskExecutor, @unchecked Sendable {
  /// How many rounds of jobs that make further jobs run before input is looked at again.
  private static let roundsMax = 16

  let mailbox: Mailbox
  /// The memory that slices from this reactor go back to; kept until the last of them is gone.
  let pool: BufferPool
  /// The thread that runs the reactor, 0 while none does.
  private let owner = Atomic<UInt>(0)

  // Below: only touched on the owner's thread.
  private var jobs: [UnownedJob] = []
  private var running: [UnownedJob] = []
  /// The reactor while it runs.
  private(set) var reactor: Reactor?

  init(mailbox: Mailbox, pool: BufferPool) {
    self.mailbox = mailbox
    self.pool = pool
  }

  /// Whether the calling code is on the reactor's thread.
  public var isCurrent: Bool { owner.load(ordering: .relaxed) == UInt(pthread_self()) }

  /// Runs a job on the reactor's thread, in the order of enqueueing.
  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    if isCurrent {
      jobs.append(job)
    } else if !mailbox.post(job) {
      Afterlife.run(job, for: self)
    }
  }

  /// This executor for an actor's `unownedExecutor`; keep the executor alive as long as the actor.
  public func asUnownedSerialExecutor() -> UnownedSerialExecutor {
    unsafe UnownedSerialExecutor(ordinary: self)
  }

  /// This executor as a task's preference.
  public func asUnownedTaskExecutor() -> UnownedTaskExecutor {
    unsafe UnownedTaskExecutor(ordinary: self)
  }

  /// Traps unless the calling code is on the reactor's thread.
  public func checkIsolated() {
    precondition(isCurrent, "not on the reactor's thread")
  }

  /// Whether the calling code is on the reactor's thread.
  public func isIsolatingCurrentContext() -> Bool? { isCurrent }

  // MARK: For the reactor

  func adopt(_ reactor: Reactor) {
    self.reactor = reactor
    owner.store(UInt(pthread_self()), ordering: .relaxed)
  }

  /// The reactor has ended; its mailbox is closed.
  func abandon() {
    owner.store(0, ordering: .relaxed)
    reactor = nil
    for job in jobs { Afterlife.run(job, for: self) }
    jobs = []
  }

  func append(_ more: [UnownedJob]) { jobs += more }

  /// Whether there is nothing to run.
  var isIdle: Bool { jobs.isEmpty }

  /// Runs what is enqueued, and what that enqueues, up to a limit.
  func runJobs() {
    for _ in 0..<Self.roundsMax where !jobs.isEmpty {
      swap(&jobs, &running)
      for job in running { run(job) }
      running.removeAll(keepingCapacity: true)
    }
  }

  fileprivate func run(_ job: UnownedJob) {
    unsafe job.runSynchronously(
      isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
  }
}

/// Where the jobs of executors run whose reactors have stopped: one after the other, so that actors
/// keep their isolation.
private enum Afterlife {
  private static let jobs = Mutex<[(UnownedJob, ReactorExecutor)]>([])

  static func run(_ job: UnownedJob, for executor: ReactorExecutor) {
    let isFirst = jobs.withLock { jobs in
      jobs.append((job, executor))
      return jobs.count == 1
    }
    guard isFirst else { return }
    Task.detached {
      while let (job, executor) = jobs.withLock({ $0.first }) {
        executor.run(job)
        jobs.withLock { _ = $0.removeFirst() }
      }
    }
  }
}
