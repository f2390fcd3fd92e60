/// Runs a cluster of whole nodes - network, disks, log, replication, store, Redis protocol - in one
/// thread under virtual time, with faults; the seed decides everything.
///
/// Where `Simulation` attacks the protocol's core alone, thousands of times faster than it happens,
/// this one attacks all that surrounds it as well: the very code that `cyclades serve` runs, from the
/// bytes of a client to the sectors of a disk. Clients speak RESP over simulated connections and keep
/// a history, which must be linearizable.
///
/// A run has two parts. In the first, faults come as the seed draws them: crashes of processes and of
/// machines that tear writes, pauses, cut and one-way links, resets, slow, stalled and failing disks,
/// clocks that jump and drift. In the second everything is healed, and the cluster must answer every
/// client and become equal on all nodes in time.
public struct NodeSimulation {
  /// What a run may choose, besides its seed.
  public struct Options: Sendable {
    /// How many nodes the cluster has.
    public var nodes = 3
    /// How many clients work at a time, each on one operation.
    public var clients = 4
    /// Different keys; few, so that clients meet.
    public var keys = 6
    /// How long faults go on.
    public var duration = Duration.seconds(8)
    /// How long the healed cluster may take.
    public var patience = Duration.seconds(30)
    /// Whether there are faults at all.
    public var hasFaults = true
    /// Whether the report has a trace even when nothing failed.
    public var isTracing = false
    /// Whether disks call durable what is not: then a run is to fail.
    package var disksLie = false
    /// Where the nodes' data folders are made, and removed again; a folder in memory is fastest.
    public var folder: String

    /// The defaults, with data folders under `folder`.
    public init(folder: String) { self.folder = folder }
  }

  /// Decides the run.
  public let seed: UInt64
  /// What the run may do.
  public let options: Options

  /// Describes a run; `run` makes it.
  public init(seed: UInt64, options: Options) {
    precondition((1...9).contains(options.nodes) && options.clients > 0 && options.keys > 0)
    self.seed = seed
    self.options = options
  }

  /// Makes the run.
  ///
  /// Equal seeds and options make equal runs, as the report's hash shows, when the environment
  /// variable `SWIFT_DETERMINISTIC_HASHING` is set: the order of Swift's dictionaries is random
  /// otherwise. Throws when a data folder cannot be made.
  public func run() throws -> NodeSimulationReport {
    let cluster = try NodeCluster(seed: seed, options: options)
    defer { cluster.tearDown() }
    return cluster.run()
  }
}

/// What a run of whole nodes found.
public struct NodeSimulationReport: Sendable, CustomStringConvertible {
  /// The seed.
  public var seed: UInt64
  /// The broken promise; nil when all held.
  public var failure: SimulationFailure?
  /// A hash over every byte sent and every event, in order.
  public var traceHash: UInt64
  /// What happened, line by line, if asked for or failed.
  public var trace: [String]
  /// The virtual time that went by, in nanoseconds.
  public var virtualTime: UInt64
  /// What was counted.
  public var statistics = Statistics()

  /// What was counted in a run.
  public struct Statistics: Sendable {
    /// Events of the world, and turns that reactors took.
    public var events = 0, turns = 0
    /// Operations that were answered, refused for certain, and left open.
    public var acknowledged = 0, refused = 0, unknown = 0
    /// Faults of each kind.
    public var crashes = 0, pauses = 0, partitions = 0, resets = 0, diskFaults = 0, clockFaults = 0
    /// Nodes that stopped by themselves since their disk failed.
    public var stopped = 0
    /// Writes that a crash caught on their way, and unsynced sectors it undid.
    public var tornWrites = 0, lostSectors = 0
    /// How long the healed cluster took, in nanoseconds of virtual time.
    public var recovery: UInt64 = 0
    /// True when the history was too hard to check.
    public var isUndecided = false
  }

  /// The result in one line, or several when it failed.
  public var description: String {
    let s = statistics
    let counts =
      "\(virtualTime / 1_000_000) ms, \(s.events) events, \(s.turns) turns, "
      + "\(s.acknowledged) acknowledged, \(s.refused) refused, \(s.unknown) unknown, "
      + "\(s.crashes) crashes, \(s.pauses) pauses, \(s.partitions) partitions, \(s.resets) resets, "
      + "\(s.diskFaults) disk and \(s.clockFaults) clock faults, \(s.tornWrites) torn writes, "
      + "recovered in \(s.recovery / 1_000_000) ms, trace \(String(traceHash, radix: 16))"
    guard let failure else { return "seed \(seed): \(counts)" }
    return "seed \(seed): FAILED, \(failure)\n  \(counts)\n" + trace.joined(separator: "\n")
  }
}
