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

/// Runs trials in turns and returns each one's median time per operation in nanoseconds.
///
/// Turns, so that a slow moment of the machine meets all columns alike; one more round before the
/// measured ones warms caches and predictors. The time is that of this thread on a processor, so
/// waiting for one does not count; trials run on this thread alone.
public func medians(of trials: [Trial], rounds: Int) throws -> [Double] {
  var times = [[Double]](repeating: [], count: trials.count)
  for round in 0...rounds {
    for (index, trial) in trials.enumerated() {
      let start = processorNanoseconds()
      try trial.run()
      let taken = Double(processorNanoseconds() - start)
      if round > 0 { times[index].append(taken / Double(trial.operations)) }
    }
  }
  return times.map { $0.sorted()[$0.count / 2] }
}

private func processorNanoseconds() -> Int {
  var time = timespec()
  unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// A number with as many digits after the point as it deserves.
public func short(_ value: Double) -> String {
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
