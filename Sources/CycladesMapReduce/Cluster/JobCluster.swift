public import CycladesTransport
public import Logging

/// A cluster that runs jobs, as those see it who ask for them.
public struct JobCluster: Sendable {
  /// Some of its nodes; they tell of the others.
  public var nodes: [SocketAddress]
  /// Where workers fetch input that they do not have, and hand over the parts of the output. With "every
  /// address" as its host they connect to the host that the leading node sees this process at.
  public var listen = SocketAddress.loopback()

  /// Names a cluster by some of its nodes.
  public init(nodes: [SocketAddress]) { self.nodes = nodes }

  /// The jobs that the cluster knows, in order of their first start.
  ///
  /// Blocks the calling thread; throws `MapReduceError.Code.ledger` when no node leads for 10 seconds.
  public func jobs(logger: Logger) throws -> [JobStatus] {
    let answer = try Question(Frame(.listJobs, job: 0), .jobs).ask(nodes, logger)
    return try JobStatus.list(answer.payload)
  }

  /// Cancels a job, whoever runs it; false when there is none. Blocks and throws like `jobs`.
  public func cancel(_ job: UInt64, logger: Logger) throws -> Bool {
    try Question(Frame(.cancelJob, job: job), .cancelled).ask(nodes, logger).extra == 1
  }
}

/// One frame to whichever node leads, and its answer.
private final class Question {
  private let frame: Frame
  private let kind: FrameKind
  private var result: Result<Frame, MapReduceError>?

  init(_ frame: Frame, _ kind: FrameKind) {
    self.frame = frame
    self.kind = kind
  }

  func ask(_ nodes: [SocketAddress], _ logger: Logger) throws -> Frame {
    guard !nodes.isEmpty else { throw MapReduceError(.usage, "no node of the cluster is named") }
    let reactor = try Reactor(ReactorConfiguration(), logger: logger)
    let link = NodeLink(nodes, on: reactor)
    func end(_ result: Result<Frame, MapReduceError>) {
      self.result = self.result ?? result
      link.close()
      reactor.stop()
    }
    link.greet = { [frame] in link.send(frame) }
    link.take = { [kind] answer in
      end(
        answer.kind == kind
          ? .success(answer)
          : .failure(
            answer.kind == .refused
              ? try MapReduceError(answer.payload)
              : MapReduceError(.protocolViolation, "a node gave an unknown answer")))
    }
    link.start()
    _ = reactor.schedule(after: .seconds(10)) {
      end(.failure(MapReduceError(.ledger, "no node of the cluster leads")))
    }
    try reactor.run()
    link.greet = {}
    link.take = { _ in }
    guard let result else { throw MapReduceError(.ledger, "no node answered") }
    return try result.get()
  }
}

extension MapReduce {
  /// Runs a job on a cluster, from this process, which is the home of its input and output; blocks the
  /// calling thread until it ends.
  ///
  /// Workers that do not have an input file get its bytes from here, and the parts of the output end up
  /// in `configuration.output` here. When a node of the cluster is gone, the job goes on with another.
  /// When this process is gone the job stops, and whoever runs the same one again goes on with it.
  ///
  /// Not used are `workers`, `threads`, `memoryBytes`, `trace` and `disturbances`: the cluster's workers
  /// are as they were started.
  public static func run(
    _ configuration: JobConfiguration, jobs: JobRegistry, cluster: JobCluster, logger: Logger,
    cancellation: JobCancellation = JobCancellation(),
    progress: (JobProgress) -> Void = { _ in }
  ) throws -> JobSummary {
    guard !cluster.nodes.isEmpty else {
      throw MapReduceError(.usage, "no node of the cluster is named")
    }
    let clock = ContinuousClock()
    let start = clock.now
    let job = try PlannedJob(configuration, jobs: jobs)
    let folder = try OutputFolder(
      claiming: configuration.output, job: configuration.job,
      overwrites: configuration.overwrites, suffix: configuration.compression.suffix,
      resumes: true)
    do {
      var reactors = ReactorConfiguration()
      reactors.receiveBlocks = 16
      let reactor = try Reactor(reactors, logger: logger)
      let finished = try withoutActuallyEscaping(progress) { progress in
        let run = try ClusterRun(
          job, folder: folder, nodes: cluster.nodes, cancellation: cancellation, on: reactor,
          report: progress)
        return try run.run(listen: cluster.listen)
      }
      try folder.complete(
        job: job.setup.name, arguments: job.setup.arguments, parts: finished.parts,
        badRecords: finished.badRecords)
      var summary = finished.summary
      summary.duration = clock.now - start
      return summary
    } catch {
      let error = MapReduceError(wrapping: error)
      if error.code != .ledger { folder.discard() }
      throw error
    }
  }
}
