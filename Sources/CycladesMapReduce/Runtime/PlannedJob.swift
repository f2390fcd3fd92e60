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
  init(_ configuration: JobConfiguration, jobs: JobRegistry) throws {
    try configuration.validate()
    self.configuration = configuration
    code = try jobs.code(configuration.job)
    setup = JobSetup(
      name: code.name, version: code.version, arguments: configuration.arguments,
      partitions: configuration.partitions, badRecordLimit: configuration.badRecordLimit)
    _ = try code.makeTask(setup.arguments)
    standardInput = configuration.inputs.contains("-") ? try StandardInput() : nil
    let paths = configuration.inputs.map { [standardInput] path in
      path == "-" ? standardInput?.path ?? path : path
    }
    plan = InputPlan(try InputFiles.find(paths), splitBytes: configuration.splitBytes)
    id = UInt64.random(in: 1...UInt64.max)
  }

  /// Silence after which a worker is suspected.
  var patienceMilliseconds: Int {
    max(10, Int(clamping: Int64((configuration.patience / .milliseconds(1)).rounded())))
  }

  /// A summary with what is known before the start.
  var summary: JobSummary {
    var summary = JobSummary()
    summary.inputFiles = plan.fileCount
    summary.inputBytes = plan.byteCount
    summary.mapTasks = plan.splits.count
    summary.reduceTasks = setup.partitions
    return summary
  }

  /// Progress at the start.
  var progress: JobProgress {
    var progress = JobProgress()
    progress.maps = plan.splits.count
    progress.reduces = setup.partitions
    progress.inputBytes = plan.byteCount
    return progress
  }
}

extension JobSummary {
  /// Adds what a map task that counts has done.
  mutating func add(_ counters: MapCounters, shuffledRecords: Int, shuffledBytes: Int) {
    records += counters.records
    badRecords += counters.badRecords
    pairs += counters.pairs
    self.shuffledRecords += shuffledRecords
    self.shuffledBytes += shuffledBytes
  }

  /// Takes what was known before the start.
  mutating func complete(with planned: JobSummary) {
    inputFiles = planned.inputFiles
    inputBytes = planned.inputBytes
    mapTasks = planned.mapTasks
    reduceTasks = planned.reduceTasks
  }

  /// Adds a published part.
  mutating func add(_ part: PartInfo) {
    outputRecords += part.recordCount
    outputBytes += part.byteCount
  }
}
