internal import CycladesTransport
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

  private static func serve(_ bond: WorkerBond, jobs: JobRegistry, logger: Logger) throws {
    var configuration = ReactorConfiguration()
    configuration.poolBudgetBytes = max(1 << 30, bond.memoryBytes * 2)
    configuration.receiveBlocks = 16
    let reactor = try Reactor(configuration, logger: logger)
    let host = WorkerHost(
      on: reactor, jobs: jobs, bond: bond, build: try ChildProcess.buildDigest(of: "/proc/self/exe")
    )
    try host.start()
    try reactor.run()
    if let failure = host.failure { throw failure }
  }
}
