/// One replica of one group: Multi-Paxos as a pure value.
///
/// Events go in, effects come out; there is no clock, no input or output and no chance inside. The
/// three phases of the literature each have a file: *election* (canvass, prepare, promise),
/// *proposal* (accept, accepted) and *decision* (commit, learn, fetch). What every replica does for
/// others, whatever its role, is in `Paxos+Acceptor.swift`.
///
/// What makes it safe:
/// - A replica accepts nothing below the ballot it has promised, and both are durable before it says
///   so. Effects name the token that a message waits for.
/// - A leader proposes in a slot only what the highest ballot among a quorum of promises left there,
///   so a decided value is proposed again and again and never another one.
/// - The log of a replica has no gap, and its first `commit` slots are decided. A follower takes a
///   slot for decided only when it accepted it in the very ballot whose leader says so, or when it
///   was given a decided entry.
///
/// What makes it live: a ballot is raised only when a quorum has lost the leader (canvass), a leader
/// that has lost its quorum or its disk steps down, and a candidate that lacks decided entries
/// fetches them before it stands.
///
/// Not Sendable: it holds payloads, and lives on the thread of its shell.
public struct Paxos {
  /// Who replicates the group, and the limits.
  public let configuration: Configuration
  let makeNoop: () -> Payload
  let makeMembership: ((Membership) -> Payload)?
  var random: SplitMix
  /// The effects of the step in progress; the caller's array, while a step runs.
  var outbox: [Effect] = []
  /// Planted bugs; see `Mutation`.
  package var mutation: Mutation = []

  // Acceptor: what this replica has promised and accepted.

  /// The highest ballot promised. Raised, and made durable, before anything is said in it.
  var promised: Ballot
  /// The token that makes `promised` durable.
  var promiseToken: UInt64 = 0
  var window: Window
  /// The last token given out, and the last one reported durable.
  var token: UInt64 = 0
  var durableToken: UInt64 = 0
  /// Everything up to this slot is durable as it stands in the window.
  var durable: Slot
  /// Everything up to this slot is decided, or accepted in the promised ballot.
  var through: Slot
  /// The slot up to which `accepted` was sent in the promised ballot.
  var acknowledged: Slot = 0

  // Learner.

  /// Everything up to this slot is decided, and applied.
  public internal(set) var commit: Slot
  /// The log holds no slot up to this one.
  public internal(set) var compacted: Slot = 0
  /// What the leader of the promised ballot said to be decided.
  var leaderCommit: Slot = 0
  var fetching = Fetch()
  /// The log said, when it was read, that everything up to this slot is decided. Beyond `commit` only
  /// while damaged slots in between are not repaired.
  let recoveredCommit: Slot
  /// Recovered entries to apply at the start, then empty.
  var recovered: [Entry]

  // Roles.

  /// What this replica does now.
  public internal(set) var role = Role.follower
  /// The leader it follows, itself included; nil when it knows of none.
  public internal(set) var leader: NodeID?
  var election = Election()
  var proposer = Proposer()
  /// What failed attempts to hand the leadership back have added to the patience with it.
  var returnDelay: UInt64 = 0
  /// Who governs the next slot, and who will govern later ones: as of `applied`.
  public internal(set) var schedule: MembershipSchedule
  var peers: [Peer] = []
  /// Before this time no snapshot is offered to one who is no member.
  var strangerSnapshotAt: UInt64 = 0
  /// Where this node stands among the peers; nil when it is no member, by its disk or at all.
  var own: Int?
  var reads = Reads()
  var followerReads: FollowerReads
  var grant = LeaseGrant()
  var audit = Audit()
  /// What the last `roleChanged` said.
  private var reported: (Role, NodeID?, Ballot)

  // Time.

  var now: UInt64 = 0
  /// When the leader was last heard of; nil when never, or when it was given up.
  var leaderHeardAt: UInt64?
  /// When the disk last made progress, or had nothing to do.
  var diskProgressAt: UInt64 = 0
  private var hasStarted = false

  /// Makes a replica from what its log holds. It does nothing before `start`.
  ///
  /// - Parameters:
  ///   - makeMembership: Makes a payload that carries a membership. Without it there are no changes.
  ///   - makeNoop: Makes a payload for a slot that nobody is known to have proposed in.
  public init(
    _ configuration: Configuration, recovered: Recovered = Recovered(), seed: UInt64,
    makeMembership: ((Membership) -> Payload)? = nil,
    makeNoop: @escaping () -> Payload
  ) throws(PaxosError) {
    try configuration.validate()
    try recovered.validate()
    self.configuration = configuration
    self.makeNoop = makeNoop
    self.makeMembership = makeMembership
    random = SplitMix(seed: seed)
    followerReads = FollowerReads(token: random.next())
    promised = recovered.entries.reduce(recovered.promised) { max($0, $1.ballot) }
    let decided = recovered.decided
    commit = recovered.applied
    recoveredCommit = recovered.commit
    through = decided
    durable = decided
    schedule = recovered.schedule ?? MembershipSchedule(current: configuration.membership)
    window = Window(floor: decided, capacity: 2 * configuration.window)
    let undecided = recovered.entries.drop { $0.slot <= decided }
    self.recovered = Array(recovered.entries.prefix { $0.slot <= decided })
    reported = (.follower, nil, promised)
    restoreWindow(undecided, through: recovered.last)
    advanceDurable()
    advanceThrough()
    rebuildPeers()
  }

  /// Puts the entries behind the decided ones into the window, and marks the damaged ones.
  private mutating func restoreWindow(_ entries: ArraySlice<Entry>, through last: Slot) {
    var entries = entries
    while window.last < last {
      if let entry = entries.first, entry.slot == window.last + 1 {
        window.store(entry, token: 0)
        entries.removeFirst()
      } else {
        window.storeDamaged(window.last + 1)
      }
    }
  }

  /// Starts the clock and applies what the log holds as decided. Call once, before any step.
  public mutating func start(now: UInt64, into effects: inout [Effect]) {
    precondition(!hasStarted, "a replica starts once")
    hasStarted = true
    swap(&outbox, &effects)
    defer { swap(&outbox, &effects) }
    self.now = now
    diskProgressAt = now
    for entry in recovered { apply(entry) }
    recovered = []
    // A replica that took part before must suppose that the leader of then still lives.
    if promised != .zero { leaderHeardAt = now }
    // And that it counts on what this replica echoed.
    grant.ballot = promised
    grant.until = now + (configuration.lease?.duration ?? 0)
    awaitLeader(patience: promised == .zero ? 0 : configuration.timing.electionTimeout)
    checkInvariants()
  }

  /// Takes one event and appends what must be done about it.
  ///
  /// Any message from anyone is safe to bring here, as long as it was undamaged.
  /// - Complexity: O(1) for the events of normal operation, besides the entries that become decided.
  public mutating func step(_ event: Event, into effects: inout [Effect]) {
    precondition(hasStarted, "a replica must be started first")
    swap(&outbox, &effects)
    defer { swap(&outbox, &effects) }
    switch event {
    case .tick(let now): tick(now)
    case .received(let message, let sender, let incarnation):
      receive(message, from: sender, incarnation)
    case .persisted(let token): persisted(token)
    case .read(let id, let time):
      now = max(now, time ?? now)
      read(id, at: time)
    case .readHere(let id): readHere(id)
    case .connected(let peer, let incarnation): connected(peer, incarnation)
    case .compacted(let slot): compacted(through: slot)
    case .installed(let slot, let schedule): installed(through: slot, schedule)
    }
    answerFollowerReads()
    reportRole()
    checkInvariants()
  }

  /// Proposes a value in the next slot; nil when `canPropose` is false, and then nothing happened.
  ///
  /// A slot is no promise that the value will be decided there: after a leader change another value
  /// may be. Compare with what is applied.
  public mutating func propose(_ payload: Payload, into effects: inout [Effect]) -> Slot? {
    guard canPropose else { return nil }
    swap(&outbox, &effects)
    defer { swap(&outbox, &effects) }
    append(payload)
    pumpAll()
    checkInvariants()
    return through
  }

  /// The highest ballot it has promised.
  public var ballot: Ballot { promised }
  /// The slot up to which `apply` effects were given; equal to `commit` once started.
  public var applied: Slot { commit }
  /// The slot up to which the log may be compacted, once a snapshot holds it: the decided slots that
  /// are durable in the log.
  public var compactable: Slot { min(commit, durable) }
  /// The last slot it has accepted anything in.
  public var last: Slot { window.last }

  private mutating func tick(_ time: UInt64) {
    now = max(now, time)
    if durableToken == token { diskProgressAt = now }
    tickLease()
    tickFollowerReads()
    switch role {
    case .follower: tickFollower()
    case .candidate: tickCandidate()
    case .leader: tickLeader()
    }
  }

  /// What asks or tells may come from anybody: one who joins does not know the members yet, and one
  /// who left must hear that it did. What gives a vote counts only from the member whose vote it is.
  private mutating func receive(_ message: Message, from sender: NodeID, _ incarnation: UInt64) {
    guard sender != configuration.node, sender.rawValue != 0, message.isPlausible else { return }
    let index = peer(sender, incarnation)
    if let index { noteIncarnation(incarnation, of: index) }
    switch message {
    case .canvass(let commit, let token):
      receiveCanvass(commit: commit, token: token, from: sender)
    case .canvassReply(let granted, let promised, let commit, let token):
      receiveCanvassReply(
        granted: granted, promised: promised, commit: commit, token: token, from: sender, index)
    case .prepare(let ballot, let from, let handover):
      receivePrepare(ballot, from: from, after: handover, sender: sender)
    case .promise(let ballot, let from, let commit, let entries, let unknown):
      guard let index else { return }
      receivePromise(
        ballot, from: from, commit: commit, entries: entries, unknown: unknown, sender: index)
    case .reject(let round, let promised, let commit):
      receiveReject(round: round, promised: promised, commit: commit, from: sender)
    case .stand(let ballot):
      receiveStand(ballot, from: sender)
    case .accept(let entry):
      receiveAccept(entry, from: sender)
    case .accepted(let ballot, let through):
      guard let index else { return }
      receiveAccepted(ballot, through: through, from: index)
    case .heartbeat(let ballot, let commit, let last, let round):
      receiveHeartbeat(ballot, commit: commit, last: last, round: round, from: sender)
    case .heartbeatReply(let ballot, let through, let round):
      guard let index else { return }
      receiveHeartbeatReply(ballot, through: through, round: round, from: index)
    case .readIndex(let token):
      receiveReadIndex(token: token, from: sender)
    case .readIndexReply(let token, let slot):
      receiveReadIndexReply(token: token, slot: slot)
    case .audit(let ballot, let slot, let digest, let isVerdict):
      receiveAudit(ballot, slot: slot, digest: digest, isVerdict: isVerdict, from: sender)
    case .auditReply(let ballot, let slot, let digest):
      guard let index else { return }
      receiveAuditReply(ballot, slot: slot, digest: digest, from: index)
    case .fetch(let from):
      receiveFetch(from: from, sender: sender, index)
    case .learn(let entries):
      receiveLearn(entries, from: sender)
    }
  }

  /// The first disk that a member is seen with is the one that it may be pinned to.
  private mutating func noteIncarnation(_ incarnation: UInt64, of index: Int) {
    if peers[index].seenIncarnation == 0 { peers[index].seenIncarnation = incarnation }
  }

  /// The way to a peer is new, so whatever it did not confirm goes again.
  private mutating func connected(_ node: NodeID, _ incarnation: UInt64) {
    guard let index = peer(node, incarnation), index != own else { return }
    noteIncarnation(incarnation, of: index)
    switch role {
    case .follower: acknowledged = 0
    case .candidate: if !peers[index].hasVoted { sendPrepare(to: index) }
    case .leader:
      peers[index].sent = peers[index].through
      sendHeartbeat(to: index)
      pump(index)
    }
  }

  private mutating func reportRole() {
    guard reported != (role, leader, promised) else { return }
    reported = (role, leader, promised)
    outbox.append(.roleChanged(role, leader: leader, ballot: promised))
  }

  /// Sends a message, held until `token` is durable if it is not yet.
  mutating func send(_ message: Message, to node: NodeID, after token: UInt64 = 0) {
    // A member may be this node with a disk that it lost: nobody is there to hear it.
    guard node != configuration.node else { return }
    outbox.append(.send(message, to: node, after: token > durableToken ? token : nil))
  }

  /// What is true between any two steps.
  func checkInvariants() {
    precondition(window.floor <= commit && window.floor <= durable)
    precondition(commit <= through && through <= window.last && durable <= window.last)
    precondition(compacted <= commit && compacted <= durable)
    precondition(durableToken <= token && promiseToken <= token)
    precondition(role == .follower || promised.node == configuration.node)
    precondition(role != .leader || promiseToken <= durableToken)
    precondition(role == .leader || reads.isEmpty)
  }
}

extension Message {
  /// Whether all numbers are small enough to reckon with. What is not was never sent by a replica.
  var isPlausible: Bool {
    func isSane(_ ballot: Ballot) -> Bool { ballot.round < 1 << 62 }
    func isSane(_ slot: Slot) -> Bool { slot < 1 << 62 }
    func isSane(_ entry: Entry) -> Bool {
      isSane(entry.ballot) && isSane(entry.slot) && entry.commit < entry.slot
    }
    switch self {
    case .canvass(let commit, _): return isSane(commit)
    case .canvassReply(_, let promised, let commit, _): return isSane(promised) && isSane(commit)
    case .prepare(let ballot, let from, let handover):
      return isSane(ballot) && isSane(from) && from > 0 && isSane(handover ?? .zero)
    case .readIndex: return true
    case .readIndexReply(_, let slot): return isSane(slot)
    case .promise(let ballot, let from, let commit, let entries, let unknown):
      return isSane(ballot) && isSane(from) && isSane(commit) && entries.allSatisfy(isSane)
        && isSane(unknown?.upperBound ?? 0)
    case .stand(let ballot): return isSane(ballot)
    case .reject(_, let promised, let commit): return isSane(promised) && isSane(commit)
    case .accept(let entry): return isSane(entry)
    case .accepted(let ballot, let through): return isSane(ballot) && isSane(through)
    case .heartbeat(let ballot, let commit, let last, _):
      return isSane(ballot) && isSane(commit) && isSane(last)
    case .heartbeatReply(let ballot, let through, _): return isSane(ballot) && isSane(through)
    case .audit(let ballot, let slot, _, _), .auditReply(let ballot, let slot, _):
      return isSane(ballot) && isSane(slot) && slot > 0
    case .fetch(let from): return isSane(from) && from > 0
    case .learn(let entries): return entries.allSatisfy(isSane)
    }
  }
}

/// Planted bugs, by which the simulator's own worth is tested. Empty outside of its tests.
package struct Mutation: OptionSet, Hashable, Sendable {
  package let rawValue: Int
  package init(rawValue: Int) { self.rawValue = rawValue }

  /// Acknowledges entries that are not durable yet.
  package static let acknowledgeBeforeDurable = Mutation(rawValue: 1)
  /// Does not write promises.
  package static let forgetPromise = Mutation(rawValue: 2)
  /// Accepts in ballots below the promised one.
  package static let ignorePromise = Mutation(rawValue: 4)
  /// Takes an entry for decided that one replica too few has accepted.
  package static let decideByMinority = Mutation(rawValue: 8)
  /// Answers reads at once.
  package static let readUnconfirmed = Mutation(rawValue: 16)
  /// Takes what the leader has decided for what was accepted here, in whatever ballot.
  package static let decideAnyBallot = Mutation(rawValue: 32)
  /// Proposes no-ops where it should propose what was accepted before.
  package static let dropAccepted = Mutation(rawValue: 64)
  /// Serves reads before an entry of the own ballot is decided.
  package static let readEarly = Mutation(rawValue: 128)
  /// Forgets what was accepted behind a snapshot.
  package static let installForgetsAccepted = Mutation(rawValue: 256)
  /// Counts the acceptances of learners.
  package static let countLearners = Mutation(rawValue: 512)
  /// Lets a change of members govern the very next slot.
  package static let ignoreAlpha = Mutation(rawValue: 1 << 10)
  /// Stands without the promises of the next members.
  package static let ignoreNextQuorum = Mutation(rawValue: 1 << 11)
  /// Proposes in the slots of new members without their promises.
  package static let skipPreparation = Mutation(rawValue: 1 << 12)
  /// Counts the votes of a node that lost its disk.
  package static let ignoreIncarnation = Mutation(rawValue: 1 << 13)
  /// Takes a damaged slot for one in which nothing was accepted.
  package static let damageIsNothing = Mutation(rawValue: 1 << 14)
  /// Goes on proposing after the leadership was handed over.
  package static let proposeInTransfer = Mutation(rawValue: 1 << 15)
  /// Promises other ballots though an echo binds it.
  package static let ignoreLease = Mutation(rawValue: 1 << 16)
  /// Counts on a lease for longer than clocks that drift allow.
  package static let ignoreDrift = Mutation(rawValue: 1 << 17)
  /// Answers by a lease after the leadership was handed over.
  package static let keepLeaseInTransfer = Mutation(rawValue: 1 << 18)
  /// Gives all questions of a follower the same number.
  package static let reuseReadToken = Mutation(rawValue: 1 << 19)
  /// Tells a follower what it has decided without asking a quorum.
  package static let indexUnconfirmed = Mutation(rawValue: 1 << 20)
  /// Goes on with a state that a quorum says is not the group's.
  package static let ignoreVerdict = Mutation(rawValue: 1 << 21)
}
