public import Logging

/// A job whose rounds read the same input, each with arguments that come from the output of the one
/// before.
public protocol IterativeJob: MapReduceJob {
  /// The arguments of the next round.
  ///
  /// - Parameter lines: What the round wrote, part by part.
  static func arguments(after arguments: [String], output lines: [String]) throws -> [String]
}

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
    return try run(stages: stages.count, output: last.output) { index, before in
      var stage = stages[index]
      if let before { stage.inputs = ["\(before)/part-*"] }
      return stage
    } run: { index, stage in
      try run(
        stage, jobs: jobs, launch: launch, logger: logger, cancellation: cancellation
      ) { progress(index, $0) }
    }
  }

  /// Runs a job so many times: an `IterativeJob` on the same input, each round with the arguments that the
  /// one before gives; any other on the output of the one before.
  ///
  /// - Parameter run: Runs one round, however its caller runs jobs.
  /// - Returns: The summary of the last round, whose output stays.
  public static func run(
    rounds: Int, of configuration: JobConfiguration, jobs: JobRegistry,
    _ run: (JobConfiguration) throws -> JobSummary
  ) throws -> JobSummary {
    guard rounds > 0 else { throw MapReduceError(.usage, "a job has one round at least") }
    let code = try jobs.code(configuration.job)
    var arguments = configuration.arguments
    let summaries = try self.run(stages: rounds, output: configuration.output) { index, before in
      var round = configuration
      // What goes on to the next round is what the job reads, whatever the last one is to write.
      if index < rounds - 1 {
        round.format = code.format == .lengthPrefixed ? .pairs : .text
        round.compression = .none
      }
      if let before, let next = code.next {
        arguments = try next(arguments, lines(of: before))
        round.arguments = arguments
      } else if let before {
        round.inputs = ["\(before)/part-*"]
      }
      return round
    } run: {
      try run($1)
    }
    return summaries[rounds - 1]
  }

  /// Runs stages, each made knowing the output of the one before, which is removed after it.
  private static func run(
    stages count: Int, output: String,
    make: (_ index: Int, _ before: String?) throws -> JobConfiguration,
    run: (_ index: Int, _ stage: JobConfiguration) throws -> JobSummary
  ) throws -> [JobSummary] {
    var summaries: [JobSummary] = []
    var before: String?
    defer { if let before { Files.removeOutput(before) } }
    for index in 0..<count {
      var stage = try make(index, before)
      let isLast = index == count - 1
      if !isLast {
        stage.output = "\(output).stage-\(index)"
        stage.overwrites = true
      }
      summaries.append(try run(index, stage))
      if let before { Files.removeOutput(before) }
      before = isLast ? nil : stage.output
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
