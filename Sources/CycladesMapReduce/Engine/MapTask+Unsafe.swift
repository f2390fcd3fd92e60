internal import CycladesTransport

/// One attempt at one map task, run window by window.
final class MapTask {
  let output: MapOutput
  private let code: TaskCode
  private let work: MapWork
  private let reader: SplitReader

  init(
    _ name: MapAttempt, _ split: InputSplit, code: JobCode, setup: JobSetup, memory: TaskMemory
  ) throws {
    self.code = try code.makeTask(setup.arguments)
    output = MapOutput(name, partitions: setup.partitions, pool: memory.pool)
    work = try MapWork(
      code, memory: memory, output: output, badRecordLimit: setup.badRecordLimit)
    reader = SplitReader(split, format: code.format, region: memory.window)
  }

  /// What was counted so far.
  var counters: MapCounters { work.counters }

  /// Maps one window; false when the task is done and its output sealed.
  func step() throws -> Bool {
    let more = try unsafe reader.withNextWindow { window in
      work.beginWindow(at: reader.position, byteCount: window.count)
      try unsafe code.map(window, work)
    }
    if !more { try work.flush() }
    return more
  }
}

/// What every task of a job must know.
struct JobSetup: Hashable, Sendable {
  var name: String
  var version: Int
  var arguments: [String]
  var partitions: Int
  var badRecordLimit: Int
}
