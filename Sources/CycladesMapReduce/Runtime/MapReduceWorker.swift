public import CycladesTransport
public import Logging

/// The worker role of a program.
public enum MapReduceWorker {
  /// Serves the coordinator that started this process, until the job ends.
  ///
  /// Throws when this process was not started as a worker, or cannot serve: another build of the
  /// program, a job it does not know, no coordinator.
  public static func run(jobs: JobRegistry, logger: Logger) throws {
    guard let bond = ChildProcess.takeBond() else {
      throw MapReduceError(.usage, "a worker is started by a coordinator, not by hand")
    }
    try serve(bond, jobs: jobs, logger: logger)
  }

  /// Like `run`, and true, when this process was started as a worker; false otherwise.
  ///
  /// For programs that call it first: then `WorkerLaunch.thisProgram` starts their workers.
  public static func runIfAsked(jobs: JobRegistry, logger: Logger) throws -> Bool {
    guard let bond = ChildProcess.takeBond() else { return false }
    try serve(bond, jobs: jobs, logger: logger)
    return true
  }

  /// Serves a cluster, one job after the other, on the calling thread, which it blocks.
  ///
  /// Returns when `cancellation` says so. Throws when this process cannot serve: the address or the
  /// spill folder cannot be used, or its program is another build than that of the nodes.
  ///
  /// - Parameter nodes: Some of the nodes; they tell of the others.
  public static func serve(
    nodes: [SocketAddress], configuration: ClusterWorkerConfiguration = .init(),
    jobs: JobRegistry, logger: Logger, cancellation: JobCancellation = JobCancellation()
  ) throws {
    guard !nodes.isEmpty else { throw MapReduceError(.usage, "no node of the cluster is named") }
    guard configuration.memoryBytes >= 64 << 20 else {
      throw MapReduceError(.usage, "memory must be 64 MiB or more")
    }
    let reactor = try makeReactor(memoryBytes: configuration.memoryBytes, logger)
    let host = ClusterWorkerHost(
      on: reactor, nodes: nodes, configuration, jobs: jobs,
      build: try ChildProcess.buildDigest(of: "/proc/self/exe"), cancellation: cancellation)
    try host.start()
    try reactor.run()
    if let failure = host.failure { throw failure }
  }

  private static func makeReactor(memoryBytes: Int, _ logger: Logger) throws -> Reactor {
    var configuration = ReactorConfiguration()
    configuration.poolBudgetBytes = max(1 << 30, memoryBytes * 2)
    configuration.receiveBlocks = 16
    return try Reactor(configuration, logger: logger)
  }

  private static func serve(_ bond: WorkerBond, jobs: JobRegistry, logger: Logger) throws {
    let reactor = try makeReactor(memoryBytes: bond.memoryBytes, logger)
    let host = WorkerHost(
      on: reactor, jobs: jobs, bond: bond, build: try ChildProcess.buildDigest(of: "/proc/self/exe")
    )
    try host.start()
    try reactor.run()
    if let failure = host.failure { throw failure }
  }
}
