internal import CycladesTransport
public import Logging

/// Runs jobs.
public enum MapReduce {
  /// Runs a job to its end, on the calling thread, which it blocks.
  ///
  /// With `configuration.workers` > 0 it starts that many processes of `launch`, hands them tasks and
  /// replaces those that die; they end with the job, and with this process. Otherwise
  /// threads of this process do the work. The output is the same bytes in either case.
  ///
  /// When it throws, nothing of the job is left in the output folder.
  ///
  /// - Parameters:
  ///   - jobs: The jobs this program, and with it every worker, offers.
  ///   - launch: How workers are started.
  ///   - ledger: A replicated log that holds what was decided, for jobs with workers. When this process
  ///     dies, the same job, run by any other that reaches the ledger and the output folder, goes on:
  ///     parts that were done are not done again.
  ///   - cancellation: Ends the job early.
  ///   - progress: Called on the calling thread, after each task and at least every 200 ms with
  ///     workers.
  public static func run(
    _ configuration: JobConfiguration, jobs: JobRegistry, launch: WorkerLaunch = .thisProgram,
    ledger: (any DecisionLog)? = nil, logger: Logger,
    cancellation: JobCancellation = JobCancellation(),
    progress: (JobProgress) -> Void = { _ in }
  ) throws -> JobSummary {
    let clock = ContinuousClock()
    let start = clock.now
    let job = try PlannedJob(configuration, jobs: jobs)
    let folder = try OutputFolder(
      claiming: configuration.output, job: configuration.job,
      overwrites: configuration.overwrites, suffix: configuration.compression.suffix,
      resumes: ledger != nil && configuration.workers > 0)
    do {
      var summary: JobSummary
      if configuration.workers == 0 {
        summary = try LocalRunner(job, into: folder, cancellation: cancellation)
          .run(report: progress)
      } else {
        summary = try runWorkers(
          job, folder, launch, ledger, logger, cancellation, progress)
      }
      summary.duration = clock.now - start
      return summary
    } catch {
      let error = MapReduceError(wrapping: error)
      if error.code != .ledger { folder.discard() }
      throw error
    }
  }

  private static func runWorkers(
    _ job: PlannedJob, _ folder: OutputFolder, _ launch: WorkerLaunch,
    _ ledger: (any DecisionLog)?, _ logger: Logger, _ cancellation: JobCancellation,
    _ progress: (JobProgress) -> Void
  ) throws -> JobSummary {
    var configuration = ReactorConfiguration()
    configuration.receiveBlocks = 16
    let reactor = try Reactor(configuration, logger: logger)
    return try withoutActuallyEscaping(progress) { progress in
      let host = try CoordinatorHost(
        job, folder: folder, launch: launch, ledger: ledger, cancellation: cancellation,
        on: reactor, report: progress)
      var summary = try host.run()
      try folder.complete(
        job: job.setup.name, arguments: job.setup.arguments, parts: host.parts,
        badRecords: host.badRecords)
      summary.complete(with: job.summary)
      return summary
    }
  }
}
