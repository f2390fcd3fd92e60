internal import Glibc

/// Keeps results alive: a benchmark whose result nobody reads is no benchmark.
nonisolated(unsafe) private var sink: UInt64 = 0

/// Uses a value, so that the optimiser cannot drop what computed it.
@inline(never)
public func keep(_ value: UInt64) { unsafe sink &+= value }

/// A benchmark: a name, how many operations a run does, and the run.
public struct Trial {
  /// What the column is called.
  public let name: String
  let operations: Int
  let run: () throws -> Void

  /// Creates a benchmark; `run` does `operations` operations.
  public init(_ name: String, operations: Int, run: @escaping () throws -> Void) {
    self.name = name
    self.operations = operations
    self.run = run
  }
}

/// Runs trials in turns and returns each one's least time per operation in nanoseconds.
///
/// The least, because what else the machine does only ever adds. Turns, so that a slow moment meets
/// all columns alike; one more round before the measured ones warms caches and predictors. The time
/// is that of this thread on a processor, so waiting for one does not count; trials run on this
/// thread alone.
public func minima(of trials: [Trial], rounds: Int) throws -> [Double] {
  var times = [Double](repeating: .infinity, count: trials.count)
  for round in 0...rounds {
    for (index, trial) in trials.enumerated() {
      let start = processorNanoseconds()
      try trial.run()
      let taken = Double(processorNanoseconds() - start) / Double(trial.operations)
      if round > 0 { times[index] = min(times[index], taken) }
    }
  }
  return times
}

/// Nanoseconds on a clock that never jumps.
public func monotonicNanoseconds() -> Int { nanoseconds(CLOCK_MONOTONIC) }

/// Nanoseconds that this thread has had a processor.
public func processorNanoseconds() -> Int { nanoseconds(CLOCK_THREAD_CPUTIME_ID) }

/// How often this thread gave its processor up to wait for something.
public func waitCount() -> Int {
  var usage = rusage()
  // RUSAGE_THREAD, which is not in Swift's Glibc.
  unsafe getrusage(1, &usage)
  return usage.ru_nvcsw
}

private func nanoseconds(_ clock: clockid_t) -> Int {
  var time = timespec()
  unsafe clock_gettime(clock, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Work on a thread of its own, for what must go on while this thread measures.
public final class BackgroundThread {
  private let body: () -> Void
  private var thread = pthread_t()

  /// Starts the thread.
  public init(_ body: @escaping @Sendable () -> Void) {
    self.body = body
    let me = unsafe Unmanaged.passUnretained(self).toOpaque()
    let failure = unsafe pthread_create(
      &thread, nil,
      { argument in
        unsafe Unmanaged<BackgroundThread>.fromOpaque(argument!).takeUnretainedValue().body()
        return nil
      }, me)
    precondition(failure == 0, "no thread: error \(failure)")
  }

  /// Waits for the thread to end.
  public func join() { pthread_join(thread, nil) }
}

/// Sleeps until a time on the clock of ``monotonicNanoseconds()``.
public func sleep(untilNanoseconds time: Int) {
  var until = timespec(tv_sec: time / 1_000_000_000, tv_nsec: time % 1_000_000_000)
  while unsafe clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nil) == EINTR {}
}

/// A number with as many digits after the point as it deserves.
public func short(_ value: Double) -> String {
  guard value.isFinite else { return "-" }
  let digits = value < 10 ? 2 : value < 100 ? 1 : 0
  let scale = [1.0, 10, 100][digits]
  let scaled = Int((value * scale).rounded())
  guard digits > 0 else { return "\(scaled)" }
  let fraction = String(scaled % Int(scale))
  let zeros = String(repeating: "0", count: digits - fraction.count)
  return "\(scaled / Int(scale)).\(zeros)\(fraction)"
}

/// Prints rows in columns: the first to the left, the others to the right.
public func printTable(_ rows: [[String]]) {
  let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max()! }
  for row in rows {
    let cells = zip(row, widths).enumerated().map { index, cell in
      let padding = String(repeating: " ", count: cell.1 - cell.0.count)
      return index == 0 ? cell.0 + padding : padding + cell.0
    }
    print(cells.joined(separator: "  "))
  }
}

/// Writes a line about progress or trouble to standard error.
public func note(_ line: String) {
  let bytes = Array((line + "\n").utf8)
  _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
}
