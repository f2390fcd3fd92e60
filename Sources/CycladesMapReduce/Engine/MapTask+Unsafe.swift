internal import CycladesTransport

/// One attempt at one map task, run window by window.
final class MapTask {
  let output: MapOutput
  private let code: TaskCode
  private let work: MapWork
  private let format: RecordFormat
  private let memory: TaskMemory
  private let files: any FileSource
  private var reader: SplitReader

  init(
    _ name: MapAttempt, _ split: InputSplit, code: JobCode, setup: JobSetup, memory: TaskMemory,
    files: any FileSource = LocalFiles()
  ) throws {
    self.files = files
    self.code = try code.makeTask(setup.arguments)
    self.memory = memory
    format = code.format
    output = MapOutput(name, partitions: setup.partitions, memory: memory)
    let partitioner = Partitioner(
      count: setup.partitions, boundaries: setup.boundaries, choose: self.code.choose)
    work = try MapWork(
      code, memory: memory, partitioner: partitioner, output: output,
      badRecordLimit: setup.badRecordLimit)
    reader = SplitReader(split, format: code.format, region: memory.window, files: files)
  }

  /// What was counted so far.
  var counters: MapCounters { work.counters }
  var badRecords: [BadRecord] { work.badRecords }

  /// Maps one window; false at the end of the split. Throws `InputNotReady` while input is on its way.
  func step() throws -> Bool {
    try unsafe reader.withNextWindow { window in
      work.beginWindow(at: reader.position, byteCount: window.count)
      try unsafe code.map(window, work)
    }
  }

  /// Goes on with another split, as part of the same task.
  func go(on split: InputSplit) {
    reader = SplitReader(split, format: format, region: memory.window, files: files)
  }

  /// Seals the output; called once, after the last step.
  func finish() throws -> MapReport {
    try work.flush()
    var counters = work.counters
    counters.job = work.takeJobCounters()
    return MapReport(
      counters: counters, badRecords: work.badRecords, shuffledRecords: output.recordCount,
      shuffledBytes: output.byteCount, digest: output.digest)
  }
}

/// What every task of a job must know.
struct JobSetup: Hashable, Sendable {
  var name: String
  var version: Int
  var arguments: [String]
  var partitions: Int
  var badRecordLimit: Int
  var format = OutputFormat.text
  var compression = OutputCompression.none
  var syncs = true
  /// The keys between the parts of a total order; empty for all others.
  var boundaries: [[UInt8]] = []
}
