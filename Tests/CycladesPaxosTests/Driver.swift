import CycladesPaxos
import CycladesSimulator

/// One replica in the hands of a test, which plays its disk, its clock and its peers.
///
/// Effects come back as text, one line each, so that a test reads as a trace.
struct Driver {
  var core: Paxos
  private(set) var now: UInt64 = 1_000_000_000
  private var effects: [Effect] = []
  /// Entries by what was persisted last, as a shell's log would have them.
  private(set) var persisted: [Entry] = []
  private(set) var applied: [Slot] = []
  private(set) var newestToken: UInt64 = 0

  static let heartbeat: UInt64 = 50_000_000
  /// Longer than any election timeout of these tests.
  static let aeon: UInt64 = 2_000_000_000

  init(
    node: UInt32 = 1, members: [UInt32] = [1, 2, 3], recovered: Recovered = Recovered(),
    incarnation: UInt64 = 0, window: Int = 64, maximumReads: Int = 65_536, lease: Lease? = nil
  ) throws {
    let configuration = Configuration(
      node: NodeID(node), incarnation: incarnation, members: members.map { NodeID($0) },
      window: window, maximumReads: maximumReads, lease: lease)
    core = try Paxos(
      configuration, recovered: recovered, seed: 1,
      makeMembership: { value(1, membership: $0) }, makeNoop: { value(0, isNoop: true) })
  }

  mutating func start() -> [String] {
    core.start(now: now, into: &effects)
    return drain()
  }

  mutating func step(_ event: Event) -> [String] {
    core.step(event, into: &effects)
    return drain()
  }

  mutating func receive(_ message: Message, from sender: UInt32) -> [String] {
    step(.received(message, from: NodeID(sender)))
  }

  mutating func wait(_ nanoseconds: UInt64) -> [String] {
    now += nanoseconds
    return step(.tick(now: now))
  }

  /// Reports everything written so far as durable.
  mutating func sync() -> [String] { step(.persisted(token: newestToken)) }

  /// Tells the core a digest of the state behind a slot.
  mutating func note(_ digest: UInt64, behind slot: Slot) -> [String] {
    core.noteState(digest, behind: slot, into: &effects)
    return drain()
  }

  mutating func propose(_ number: UInt64) -> (slot: Slot?, effects: [String]) {
    let slot = core.propose(value(number), into: &effects)
    return (slot, drain())
  }

  mutating func propose(members: [Member]) throws -> (slot: Slot, effects: [String]) {
    let slot = try core.propose(membership: members, into: &effects)
    return (slot, drain())
  }

  mutating func transfer(to node: UInt32) throws -> [String] {
    try core.transferLeadership(to: NodeID(node), into: &effects)
    return drain()
  }

  /// Makes a replica that never ran win its first election, with node 2's vote.
  mutating func lead() {
    if core.role == .follower, core.ballot == .zero { _ = start() }
    _ = wait(Driver.aeon)
    _ = receive(
      .canvassReply(granted: true, promised: .zero, commit: core.commit, token: 1), from: 2)
    _ = sync()
    _ = receive(
      .promise(core.ballot, from: core.commit + 1, commit: core.commit, entries: []), from: 2)
    _ = sync()
    precondition(core.role == .leader)
  }

  private mutating func drain() -> [String] {
    defer { effects = [] }
    return effects.map { effect in
      switch effect {
      case .persistPromise(_, let token): newestToken = token
      case .persistEntry(let entry, let token):
        newestToken = token
        persisted.removeAll { $0.slot == entry.slot }
        persisted.append(entry)
      case .apply(let entry): applied.append(entry.slot)
      default: break
      }
      return text(effect)
    }
  }
}

func value(_ number: UInt64, isNoop: Bool = false, membership: Membership? = nil) -> Payload {
  Payload(
    byteCount: 1, checksum: Checksum(low: number, high: 0), isNoop: isNoop, membership: membership)
}

func entry(_ slot: Slot, _ ballot: Ballot, commit: Slot = 0, _ number: UInt64 = 7) -> Entry {
  Entry(slot: slot, ballot: ballot, commit: commit, payload: value(number))
}

func ballot(_ round: UInt64, _ node: UInt32) -> Ballot { Ballot(round: round, node: NodeID(node)) }

private func text(_ effect: Effect) -> String {
  switch effect {
  case .persistPromise(let ballot, let token): "write promise \(ballot) #\(token)"
  case .persistEntry(let entry, let token):
    "write \(entry.slot)@\(entry.ballot)\(entry.payload.isNoop ? " no-op" : "") #\(token)"
  case .send(let message, let node, let token):
    "to \(node): \(describe(message))\(token.map { " after #\($0)" } ?? "")"
  case .apply(let entry): "apply \(entry.slot)@\(entry.ballot)"
  case .provide(let node, let from, let through): "provide \(from)...\(through) to \(node)"
  case .membershipChanged(let membership, let from): "members \(membership) from \(from)"
  case .provideSnapshot(let node): "provide a snapshot to \(node)"
  case .stateDiffers(let slot, let isOutvoted):
    "state behind \(slot) \(isOutvoted ? "outvoted" : "differs")"
  case .readReady(let id): "read \(id) ready"
  case .readRefused(let id): "read \(id) refused"
  case .roleChanged(let role, let leader, let ballot):
    "\(role) in \(ballot), leader \(leader.map(\.description) ?? "unknown")"
  }
}
