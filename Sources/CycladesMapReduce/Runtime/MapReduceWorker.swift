public import Logging

/// The worker role of a program.
public enum MapReduceWorker {
  /// Serves the coordinator that started this process, until the job ends.
  public static func run(jobs: JobRegistry, logger: Logger) throws {
  }
}
