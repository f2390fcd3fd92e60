internal import CycladesTransport

/// Runs a job in this process, one task after the other: for small inputs and for debugging, and the
/// oracle that the tests compare everything else with.
struct SequentialRunner {
  let job: PlannedJob
  let cancellation: JobCancellation

  func run(
    into folder: OutputFolder, report: (JobProgress) -> Void
  ) throws -> JobSummary {
    let pool = BufferPool(budgetBytes: job.configuration.shuffleBytes)
    let memory = try TaskMemory(pool: pool)
    var summary = job.summary
    var progress = job.progress
    progress.workers = 1
    var outputs: [MapOutput] = []
    for (index, split) in job.plan.splits.enumerated() {
      let name = MapAttempt(job: job.id, map: index, attempt: 0)
      let task = try MapTask(name, split, code: job.code, setup: job.setup, memory: memory)
      while try task.step() { try cancellation.check() }
      outputs.append(task.output)
      summary.mapAttempts += 1
      summary.add(
        task.counters, shuffledRecords: task.output.recordCount,
        shuffledBytes: task.output.byteCount)
      if summary.badRecords > job.setup.badRecordLimit {
        throw tooManyBadRecords(
          summary.badRecords, limit: job.setup.badRecordLimit, nil, nil)
      }
      progress.mapsDone += 1
      progress.inputBytesDone += split.byteCount
      report(progress)
    }
    var parts: [PartInfo] = []
    for partition in 0..<job.setup.partitions {
      let part = try reduce(partition, outputs, memory, folder)
      try folder.publish(partition: partition, attempt: 0)
      parts.append(part)
      summary.reduceAttempts += 1
      summary.add(part)
      progress.reducesDone += 1
      report(progress)
    }
    try folder.complete(job: job.setup.name, arguments: job.setup.arguments, parts: parts)
    return summary
  }

  private func reduce(
    _ partition: Int, _ outputs: [MapOutput], _ memory: TaskMemory, _ folder: OutputFolder
  ) throws -> PartInfo {
    let task = try ReduceTask(
      partition: partition, code: job.code, setup: job.setup, memory: memory)
    for output in outputs {
      for frame in output.takeBlocks(of: partition) {
        try task.add(Block(verifying: frame))
      }
      try cancellation.check()
    }
    try task.finishInput()
    let file = try PartWriter(path: folder.temporaryPath(partition: partition, attempt: 0))
    while try task.step(into: file) { try cancellation.check() }
    return try file.finish()
  }
}
