/// A job that was checked and cut into tasks; what both runners start from.
struct PlannedJob {
  let configuration: JobConfiguration
  let code: JobCode
  let setup: JobSetup
  let plan: InputPlan
  /// Names this run, so that frames of another cannot be taken for its own.
  let id: UInt64
  /// Kept open for the length of the job.
  private let standardInput: StandardInput?

  /// Checks everything that can be checked before any output is touched.
  ///
  /// - Parameter memoryBytes: Instead of the configuration's, and below what users may ask for.
  init(
    _ configuration: JobConfiguration, jobs: JobRegistry, memoryBytes: Int? = nil
  ) throws {
    try configuration.validate()
    var configuration = configuration
    if let memoryBytes { configuration.memoryBytes = memoryBytes }
    self.configuration = configuration
    code = try jobs.code(configuration.job)
    var setup = JobSetup(
      name: code.name, version: code.version, arguments: configuration.arguments,
      partitions: configuration.partitions, badRecordLimit: configuration.badRecordLimit,
      format: configuration.format, compression: configuration.compression,
      syncs: configuration.syncs)
    _ = try code.makeTask(setup.arguments)
    standardInput = configuration.inputs.contains("-") ? try StandardInput() : nil
    let paths = configuration.inputs.map { [standardInput] path in
      path == "-" ? standardInput?.path ?? path : path
    }
    plan = InputPlan(
      try InputFiles.find(paths), format: code.format, splitBytes: configuration.splitBytes)
    if code.order == .total {
      setup.boundaries = try KeySample.boundaries(plan, code: code, setup: setup)
    }
    self.setup = setup
    id = UInt64.random(in: 1...UInt64.max)
  }

  /// The job as its coordinator needs it.
  var order: JobOrder {
    let patience = (configuration.patience / .milliseconds(1)).rounded()
    return JobOrder(
      id: id, setup: setup, splits: plan.splits, fileCount: plan.fileCount,
      patienceMilliseconds: max(10, Int(clamping: Int64(patience))),
      backups: configuration.backups)
  }

  /// Names the job in a ledger: the same for the same work, whoever coordinates it.
  ///
  /// - Parameter exactly: Whether files that were written anew in the meantime make it another job.
  func ledgerID(exactly: Bool = false) -> UInt64 {
    var writer = PayloadWriter()
    setup.write(&writer)
    writer.put(configuration.output)
    for var split in plan.splits {
      for index in split.segments.indices where !exactly { split.segments[index].identity = 0 }
      writer.put(split.payload)
    }
    let bytes = writer.bytes
    return unsafe bytes.withUnsafeBytes { unsafe hash($0) }
  }

  /// A summary with what is known before the start.
  var summary: JobSummary { order.summary }
  /// Progress at the start.
  var progress: JobProgress { order.progress }
}

extension JobSummary {
  /// Adds what a map task that counts has done.
  mutating func add(_ report: MapReport, names: [JobCounter]) {
    records += report.counters.records
    badRecords += report.counters.badRecords
    pairs += report.counters.pairs
    shuffledRecords += report.shuffledRecords
    shuffledBytes += report.shuffledBytes
    add(report.counters.job, names)
  }

  private mutating func add(_ figures: [Int], _ names: [JobCounter]) {
    for counter in names where figures.indices.contains(counter.index) {
      counters[counter.name, default: 0] += figures[counter.index]
    }
  }

  /// Takes what was known before the start.
  mutating func complete(with planned: JobSummary) {
    inputFiles = planned.inputFiles
    inputBytes = planned.inputBytes
    mapTasks = planned.mapTasks
    reduceTasks = planned.reduceTasks
  }

  /// Adds a published part.
  mutating func add(_ part: PartInfo, names: [JobCounter]) {
    outputRecords += part.recordCount
    outputBytes += part.byteCount
    add(part.counters, names)
  }
}
