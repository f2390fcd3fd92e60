/// One run of a whole group under one seed.
///
/// First *safety*: clients work while the faults of the scenario come and go. Then *liveness*: a
/// random quorum is healed for good, and must agree, and decide something new, in bounded time.
/// Nothing that was promised may be broken at any instant of either.
///
/// ```swift
/// let report = Simulation(seed: 7).run()
/// if report.failure != nil { print(report) }
/// ```
public struct Simulation {
  /// The seed, which decides everything.
  public let seed: UInt64
  /// What else was chosen.
  public let options: SimulationOptions

  /// Makes a run; nothing happens yet.
  public init(seed: UInt64, options: SimulationOptions = SimulationOptions()) {
    self.seed = seed
    self.options = options
  }

  /// Runs to the end or to the first broken promise; after a failure once more, for the trace.
  public func run() -> SimulationReport {
    let report = runOnce(options)
    guard report.failure != nil, !options.isTracing else { return report }
    var traced = options
    traced.isTracing = true
    return runOnce(traced)
  }

  private func runOnce(_ options: SimulationOptions) -> SimulationReport {
    let cluster = Cluster(seed: seed, options: options)
    cluster.run(until: options.duration)
    if cluster.failure == nil { demandLiveness(of: cluster) }
    if cluster.failure == nil { cluster.checkEnd() }
    cluster.statistics.acknowledged = cluster.history.acknowledged
    cluster.statistics.deliveredKinds = cluster.trace.kinds
    return SimulationReport(
      seed: seed, failure: cluster.failure, traceHash: cluster.trace.hash,
      trace: cluster.trace.lines, virtualTime: cluster.now, statistics: cluster.statistics)
  }

  private func demandLiveness(of cluster: Cluster) {
    let core = cluster.healQuorum()
    for client in cluster.clients.indices {
      cluster.schedule(.wake(client: client), after: 1_000_000)
    }
    let healed = cluster.now
    let goal = cluster.history.acknowledged + 10
    cluster.run(until: healed + options.patience) { cluster.history.acknowledged >= goal }
    guard cluster.failure == nil else { return }
    guard cluster.history.acknowledged >= goal else {
      cluster.fail(
        .liveness,
        "\(cluster.history.acknowledged + 10 - goal) of 10 operations done \(options.patience / 1_000_000) ms "
          + "after a quorum was healed")
      return
    }
    cluster.statistics.recovery = cluster.now - healed
    cluster.acceptsWork = false
    cluster.run(until: cluster.now + options.patience) {
      cluster.haveConverged(cluster.members(of: core))
    }
    guard cluster.failure == nil, !cluster.haveConverged(cluster.members(of: core)) else { return }
    cluster.fail(
      .liveness, "the healed quorum applied \(core.map { cluster.nodes[$0].applied }) slots")
  }
}
