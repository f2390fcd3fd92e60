public import CycladesMapReduce
internal import Foundation
public import Logging

extension MapReduce {
  /// Runs a job whose inputs, output or both may be keys of a store, named as a ``StorePlace``.
  ///
  /// ```swift
  /// var job = JobConfiguration(
  ///   job: "join", inputs: ["orders.csv", "redis://10.0.0.1:7001/customer:"],
  ///   output: "redis://10.0.0.1:7001/bought:")
  /// let summary = try await MapReduce.withStore(job, jobs: jobs, logger: logger) {
  ///   try MapReduce.run($0, jobs: jobs, logger: logger)
  /// }
  /// ```
  ///
  /// Input: every string below the prefix is a record, `key TAB value` without the prefix, or for jobs
  /// whose records are length-prefixed a pair. Each shard is read as it is at one index of its log,
  /// with every write that was acknowledged before; `Emitter.path` ends in `.store` for such records.
  ///
  /// Output: the text of each key behind the prefix, set to the text of its value, once the whole job is
  /// done; then the key `_SUCCESS` behind the prefix. A job that fails writes nothing. When this process
  /// dies while it writes, the same job run again ends with the same keys and values.
  ///
  /// - Parameter run: Runs the configuration that it is given, in which stores are files; locally, with
  ///   workers or on a cluster.
  /// - Throws: `MapReduceError`: of the job, or because a store does not answer.
  public static func withStore(
    _ configuration: JobConfiguration, jobs: JobRegistry, logger: Logger,
    _ run: (JobConfiguration) throws -> JobSummary
  ) async throws -> JobSummary {
    let target = StorePlace(configuration.output)
    guard target != nil || configuration.inputs.contains(where: { StorePlace($0) != nil }) else {
      return try run(configuration)
    }
    let format = try jobs.records(of: configuration.job)
    let staging = FileManager.default.temporaryDirectory
      .appending(path: "cyclades-store-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: staging, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: staging) }
    var configuration = configuration
    var inputs: [String] = []
    for (index, input) in configuration.inputs.enumerated() {
      guard let place = StorePlace(input) else {
        inputs.append(input)
        continue
      }
      let folder = staging.appending(path: "\(index)")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
      inputs += try await StoreSnapshot(of: place, for: format, in: folder, logger: logger).take()
    }
    configuration.inputs = inputs
    guard let target else { return try run(configuration) }
    return try await write(configuration, to: target, staging, logger, run)
  }

  private static func write(
    _ configuration: JobConfiguration, to place: StorePlace, _ staging: URL, _ logger: Logger,
    _ run: (JobConfiguration) throws -> JobSummary
  ) async throws -> JobSummary {
    guard configuration.format == .text, configuration.compression == .none else {
      throw MapReduceError(.usage, "\(place) takes text, neither another format nor compressed")
    }
    let start = ContinuousClock.now
    let output = try await StoreOutput(
      to: place, overwrites: configuration.overwrites, logger: logger)
    var configuration = configuration
    let folder = staging.appending(path: "output")
    configuration.output = folder.path
    configuration.format = .textPairs
    configuration.syncs = false
    do {
      var summary = try run(configuration)
      try await output.write(partsOf: folder, job: configuration.job)
      summary.duration = ContinuousClock.now - start
      await output.close()
      return summary
    } catch {
      await output.close()
      throw error
    }
  }
}
