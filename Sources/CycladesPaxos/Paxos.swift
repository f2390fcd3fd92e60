/// One replica of one group: Multi-Paxos as a pure value.
public struct Paxos {
  /// Who replicates the group, and the limits.
  public let configuration: Configuration
  let makeNoop: () -> Payload
  var random: SplitMix
  var outbox: [Effect] = []

  /// Makes a replica from what its log holds. It does nothing before `start`.
  public init(
    _ configuration: Configuration, recovered: Recovered = Recovered(), seed: UInt64,
    makeNoop: @escaping () -> Payload
  ) throws(PaxosError) {
    try configuration.validate()
    try recovered.validate()
    self.configuration = configuration
    self.makeNoop = makeNoop
    random = SplitMix(seed: seed)
  }

  /// Starts the clock and applies what the log holds as decided. Call once, before any step.
  public mutating func start(now: UInt64, into effects: inout [Effect]) {}

  /// Takes one event and appends what must be done about it.
  public mutating func step(_ event: Event, into effects: inout [Effect]) {}

  /// Proposes a value in the next slot; nil when `canPropose` is false, and then nothing happened.
  public mutating func propose(_ payload: Payload, into effects: inout [Effect]) -> Slot? { nil }

  /// Whether this replica leads and its window has room.
  public var canPropose: Bool { false }

  /// What this replica does now.
  public var role: Role { .follower }
  /// The leader it follows, itself included; nil when it knows of none.
  public var leader: NodeID? { nil }
  /// The highest ballot it has promised.
  public var ballot: Ballot { .zero }
  /// The slot up to which it knows everything to be decided.
  public var commit: Slot { 0 }
  /// The slot up to which `apply` effects were given; equal to `commit` once started.
  public var applied: Slot { 0 }
  /// The last slot it has accepted anything in.
  public var last: Slot { 0 }
}
