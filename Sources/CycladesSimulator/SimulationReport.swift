/// What a simulation may choose, besides its seed.
public struct SimulationOptions: Sendable {
  /// Which faults there are.
  public var scenario: Scenario
  /// How many nodes there may be; each seed draws a number.
  public var nodes: ClosedRange<Int>
  /// How long faults go on, in nanoseconds of virtual time.
  public var duration: UInt64
  /// How long a healed quorum may take to agree and to go on, in nanoseconds of virtual time.
  public var patience: UInt64
  /// How many operations the clients begin at most.
  public var operations: Int
  /// Whether the report has a trace even if nothing failed.
  public var isTracing = false
  /// The faults that are left out; see `Schedule`.
  var skippedFaults: Set<Int> = []
  /// Nodes that are no members at first, where the scenario has none of itself.
  package var spares = 0
  /// The window of the group, where the scenario is not to choose it.
  package var window: Int?
  /// The mistake that is made on purpose.
  package var bug: PlantedBug?

  /// Makes options.
  public init(
    scenario: Scenario = .swarm, nodes: ClosedRange<Int> = 1...5,
    duration: UInt64 = 6_000_000_000, patience: UInt64 = 10_000_000_000, operations: Int = 300
  ) {
    precondition(nodes.lowerBound >= 1 && nodes.upperBound <= 9)
    self.scenario = scenario
    self.nodes = nodes
    self.duration = duration
    self.patience = patience
    self.operations = operations
  }
}

/// A promise that was broken in a simulation.
public struct SimulationFailure: Error, Sendable, CustomStringConvertible {
  /// Which promise.
  public enum Kind: String, Sendable {
    /// Two replicas applied different values in a slot.
    case agreement
    /// A replica skipped or repeated a slot.
    case order
    /// Something was said before it was durable.
    case durability
    /// A replica acted in a ballot below one that it had promised.
    case promise
    /// Two nodes led in the same ballot.
    case leadership
    /// An operation was called certainly not done, and was done.
    case honesty
    /// The answers to the clients fit no order of the operations.
    case linearizability
    /// A healed quorum did not agree or did not go on in time.
    case liveness
  }

  /// Which promise.
  public let kind: Kind
  /// How it was broken.
  public let message: String
  /// When, in nanoseconds of virtual time.
  public let time: UInt64

  /// All in one line.
  public var description: String {
    "\(kind.rawValue) broken at \(time / 1000) us: \(message)"
  }
}

/// What a simulation found.
public struct SimulationReport: Sendable, CustomStringConvertible {
  /// The seed.
  public var seed: UInt64
  /// The broken promise; nil when all held.
  public var failure: SimulationFailure?
  /// Equal for equal seeds and options, on every machine.
  public var traceHash: UInt64
  /// The last events before a failure, or of the run when tracing was asked for.
  public var trace: [String]
  /// The virtual time that went by, in nanoseconds.
  public var virtualTime: UInt64
  /// What was counted.
  public var statistics: Statistics

  /// What was counted in a run.
  public struct Statistics: Sendable, Hashable {
    /// Nodes in the group.
    public var nodes = 0
    /// Events of any kind.
    public var events = 0
    /// Messages sent.
    public var messages = 0
    /// Slots decided.
    public var decided = 0
    /// Operations that were answered.
    public var acknowledged = 0
    /// Times that a node took office.
    public var leaders = 0
    /// Processes that crashed.
    public var crashes = 0
    /// Entries that replicas got as `learn` messages.
    public var learned = 0
    /// Snapshots that replicas installed.
    public var installs = 0
    /// Times that a log dropped its beginning.
    public var compactions = 0
    /// Times that a snapshot came from more than one node.
    public var sourceChanges = 0
    /// Changes of the membership.
    public var changes = 0
    /// Times that an operator moved the leadership.
    public var transfers = 0
    /// Disks that were lost.
    public var wipes = 0
    /// States that went wrong by themselves.
    public var diverged = 0
    /// Replicas that were begun anew, because a quorum had another state.
    public var begunAnew = 0
    /// Slots of some log that could not be read any more.
    public var damaged = 0
    /// Faults and doings of the operator that came, or were left out.
    public var faults = 0
    /// Histories whose check was given up.
    public var undecided = 0
    /// How long a healed quorum took to do ten operations, in nanoseconds of virtual time.
    public var recovery: UInt64 = 0
    /// A bit for each kind of message that was delivered: what a run has exercised.
    package var deliveredKinds: UInt64 = 0
  }

  /// The result in one line, or several with a trace.
  public var description: String {
    let s = statistics
    let counts =
      "\(s.nodes) nodes, \(virtualTime / 1_000_000) ms, \(s.events) events, \(s.decided) decided, "
      + "\(s.acknowledged) acknowledged, \(s.leaders) leaders, \(s.crashes) crashes, "
      + "trace \(String(traceHash, radix: 16))"
    guard let failure else { return "seed \(seed): \(counts)" }
    return "seed \(seed): FAILED, \(failure)\n  \(counts)\n" + trace.joined(separator: "\n")
  }
}
