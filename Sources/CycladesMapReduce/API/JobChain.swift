public import Logging

extension MapReduce {
  /// Runs jobs one after the other, each on the parts of the one before; the last one's output stays.
  ///
  /// What lies between is in folders beside the last output, which are removed as soon as they were
  /// read, also when a stage fails. A stage that must see keys and values as they were, and not their
  /// text, follows one with `OutputFormat.pairs`. An iteration is a chain of the same job.
  ///
  /// - Parameter stages: The inputs of all but the first, and the outputs of all but the last, are set
  ///   here.
  /// - Returns: The summaries in order.
  public static func run(
    chain stages: [JobConfiguration], jobs: JobRegistry, launch: WorkerLaunch = .thisProgram,
    logger: Logger, cancellation: JobCancellation = JobCancellation(),
    progress: (_ stage: Int, JobProgress) -> Void = { _, _ in }
  ) throws -> [JobSummary] {
    guard let last = stages.last else {
      throw MapReduceError(.usage, "a chain has one stage at least")
    }
    var summaries: [JobSummary] = []
    var before: String?
    defer { if let before { Files.removeOutput(before) } }
    for (index, stage) in stages.enumerated() {
      var configuration = stage
      if let before { configuration.inputs = ["\(before)/part-*"] }
      let isLast = index == stages.count - 1
      if !isLast {
        configuration.output = "\(last.output).stage-\(index)"
        configuration.overwrites = true
      }
      summaries.append(
        try run(
          configuration, jobs: jobs, launch: launch, logger: logger, cancellation: cancellation
        ) { progress(index, $0) })
      if let before { Files.removeOutput(before) }
      before = isLast ? nil : configuration.output
    }
    return summaries
  }

  /// The lines of a job's text output, part by part: for results that are small, such as the centres
  /// that the next round of an iteration begins with.
  public static func lines(of folder: String) throws -> [String] {
    guard let names = Files.names(in: folder) else {
      throw Files.failed(.input, "read output folder", folder)
    }
    var lines: [String] = []
    for name in names where name.hasPrefix("part-") {
      let text = String(decoding: try Files.contents("\(folder)/\(name)"), as: UTF8.self)
      lines += text.split(separator: "\n").map(String.init)
    }
    return lines
  }
}
