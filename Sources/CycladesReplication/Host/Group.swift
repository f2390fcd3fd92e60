import CycladesPaxos
import CycladesTransport
import Logging

/// What a replica needs of its host.
protocol GroupHost: AnyObject {
  var node: NodeID { get }
  /// Of this node's data folder.
  var incarnation: UInt64 { get }
  var cluster: UInt64 { get }
  var pool: BufferPool { get }
  /// Whose clock and random numbers count.
  var reactor: Reactor { get }
  var log: Log { get }
  var logger: Logger { get }
  func send(_ frame: Bytes, to peer: NodeID)
  func send(_ header: inout WireHeader, _ body: RawSpan, to peer: NodeID)
  func answer(_ reply: Answer, to origin: NodeID, group: Int)
  func leaderChanged(_ group: Int)
  func membershipChanged(_ group: Int, _ membership: Membership)
  func offerSnapshot(_ group: Int, to peer: NodeID)
  func stateDiffers(_ group: Int, behind slot: Slot, isOutvoted: Bool)
  /// So many bytes of commands were copied.
  func copied(_ byteCount: Int)
}

/// An answer to a request or a query, on its way to the node that gathered it.
enum Answer {
  /// Applied: `{ u32 size, bytes }` per command.
  case replies(session: UInt64, sequence: UInt64, [UInt8])
  /// A request before it is missing.
  case early(session: UInt64, expected: UInt64)
  /// Read: `{ u32 size, bytes }` per query.
  case answers(id: UInt64, [UInt8])
  /// This node does not lead the group; `leader` may.
  case turnedAway(leader: NodeID?)
}

/// This node's replica of one group: the protocol's core, the state machine, and what lies between.
///
/// Everything that the core asks for is carried out here, in the order it asks. The core is never
/// called from inside: submitted work is gathered, and goes in at the end of the turn.
final class Group {
  let id: UInt32
  let index: Int
  /// The node leaves: nothing more is said to the core.
  var isLeaving = false
  private(set) var core: Paxos
  private(set) var machine: any StateMachine
  /// The same machine, when it can be told what comes.
  private var warming: (any WarmingMachine)?
  private unowned let host: any GroupHost

  private var sessions = SessionTable()
  /// The digest of all replies so far.
  private var chain: UInt64
  /// Log time of the last applied entry, in milliseconds since 1970.
  private(set) var logTime: UInt64 = 0
  private var effects: [Effect] = []
  private var held: [(token: UInt64, message: Message, to: NodeID)] = []
  private var durable: UInt64 = 0
  private var reply = Reply()
  /// Up to this slot the node once forgot what it had accepted.
  private var forgotten: Slot
  /// The ballot it had promised when it began.
  private let promisedAtStart: Ballot
  /// A quorum has another state than this replica: since when that is known.
  private var outvotedAt: UInt64?
  /// When this node was last a member, or knew of a leader, who takes it for one.
  private var heardAt: UInt64 = 0

  /// Requests to propose at the end of the turn.
  private var incoming: [(body: Bytes, frame: Bytes?)] = []
  /// Queries that came in this turn, and those whose confirmation is under way.
  private var queries: [Query] = []
  private var confirming: [(id: UInt64, queries: [Query])] = []
  private var nextReadID: UInt64 = 1
  /// Confirmed queries that wait for log time to pass a deadline.
  private var overdue: (until: UInt64, queries: [Query])?

  private struct Query {
    var origin: NodeID
    var id: UInt64
    var body: Bytes
  }

  /// An entry takes no more requests at this size, in bytes.
  private static let entryBytesTarget: Int = 1 << 20
  /// A larger request is an entry by itself: to join it with others would be to copy it.
  private static let joinedBytesMax = 64 << 10
  /// A node that is no member and hears of no leader for so long lets go of the group.
  private static let silenceMax: UInt64 = 5_000_000_000
  private static let outvotedPatience: UInt64 = 1_000_000_000
  /// One answer to a fetch is about this large, in bytes.
  private static let learnBytesTarget: Int = 1 << 20

  init(
    _ configuration: GroupConfiguration, index: Int, recovered: RecoveredState,
    timing: Timing, lease: Lease?, windowBytes: Int, host: any GroupHost
  ) throws(ReplicationError) {
    id = configuration.id
    self.index = index
    self.host = host
    machine = recovered.machine
    warming = recovered.machine as? any WarmingMachine
    forgotten = recovered.forgotten
    promisedAtStart = recovered.paxos.promised
    sessions = recovered.sessions
    chain = recovered.chain
    logTime = recovered.logTime
    let cluster = host.cluster
    let pool = host.pool
    let reactor = host.reactor
    do {
      core = try Paxos(
        Configuration(
          node: host.node, incarnation: host.incarnation, members: configuration.members,
          timing: timing, window: GroupConfiguration.window, windowBytes: windowBytes,
          lease: lease),
        recovered: recovered.paxos, seed: reactor.random(),
        makeMembership: {
          EntryPayload.changing(
            to: $0, time: reactor.wallClockMilliseconds, cluster: cluster, pool: pool)
        },
        makeNoop: {
          EntryPayload.empty(time: reactor.wallClockMilliseconds, cluster: cluster, pool: pool)
        })
    } catch {
      throw ReplicationError(.badConfiguration, "group \(configuration.id): \(error)")
    }
  }

  /// Whether this node leads the group.
  var leads: Bool { core.role == .leader }

  // MARK: Events

  func start(now: UInt64) {
    heardAt = now
    core.start(now: now, into: &effects)
    carryOut()
    if core.applied > 0 { noteState(behind: core.applied) }
  }

  func step(_ event: Event) {
    core.step(event, into: &effects)
    carryOut()
  }

  /// Everything persisted up to `token` is durable.
  func logged(_ token: UInt64) {
    precondition(token >= durable, "durability is reported in order")
    durable = token
    step(.persisted(token: token))
    var kept = 0
    for position in held.indices {
      if held[position].token <= durable {
        transmit(held[position].message, to: held[position].to)
      } else {
        held[kept] = held[position]
        kept += 1
      }
    }
    held.removeSubrange(kept...)
  }

  /// What stands beside the machine in a snapshot of now.
  var snapshotHead: SnapshotHead {
    SnapshotHead(logTime: logTime, schedule: core.schedule, sessions: sessions, chain: chain)
  }

  /// Goes on from a snapshot, which is durable, in place of the entries up to `slot`.
  func install(_ state: SnapshotAssembly.State, through slot: Slot) {
    precondition(slot > core.applied && !leads, "a snapshot must not set a replica back")
    machine = state.machine
    warming = state.machine as? any WarmingMachine
    sessions = state.head.sessions
    logTime = state.head.logTime
    chain = state.head.chain
    core.step(.installed(through: slot, schedule: state.head.schedule), into: &effects)
    noteState(behind: slot)
    carryOut()
  }

  /// Proposes other members; the change is made when the membership says so.
  func propose(members: [Member]) throws(PaxosError) {
    _ = try core.propose(membership: members, into: &effects)
    carryOut()
  }

  /// Starts to hand the group over to another leader.
  func transferLeadership(to node: NodeID) throws(PaxosError) {
    try core.transferLeadership(to: node, into: &effects)
    carryOut()
  }

  /// Whether the node knows less than it knew when it last left the group.
  ///
  /// What it accepted then is gone, so until it has all of that as decided it must neither vote nor
  /// stand: it takes what it is given, and asks for what is missing.
  private var isMuted: Bool { core.commit < forgotten }

  /// Takes a message of a peer.
  func received(_ message: Message, from peer: NodeID, incarnation: UInt64) {
    if isMuted {
      switch message {
      case .canvass, .prepare, .stand: return
      case .audit(let ballot, let slot, _, _) where ballot > promisedAtStart:
        // Its leader was given this office without a word of this node, so what this node's votes
        // may have decided before is not beyond what the leader has applied.
        forgotten = min(forgotten, slot)
      default: break
      }
    }
    step(.received(message, from: peer, incarnation: incarnation))
  }

  /// Whether this node is no member any more, as far as it knows at `now`.
  ///
  /// One that is on its way to become a member, perhaps again, reads in the log of times when it was
  /// none; but it hears of a leader meanwhile.
  func hasLeft(now: UInt64) -> Bool {
    let schedule = core.schedule
    if core.leader != nil || schedule.next != nil
      || schedule.current.members.contains(where: isSelf)
    {
      heardAt = now
    }
    return now - heardAt > Self.silenceMax
  }

  private func isSelf(_ member: Member) -> Bool { member.id == host.node }

  /// Takes a request to be proposed; false when this node does not lead.
  ///
  /// `frame`, when given, is the body with 128 free bytes before it that nobody else uses.
  func lead(_ body: Bytes, frame: Bytes?) -> Bool {
    guard leads else { return false }
    incoming.append((body, frame))
    return true
  }

  /// Takes a query to be confirmed and answered; false when this node does not lead.
  func read(_ body: Bytes, id: UInt64, origin: NodeID) -> Bool {
    guard leads else { return false }
    queries.append(Query(origin: origin, id: id, body: body))
    return true
  }

  /// Proposes what came in, unless it had better gather until the log's write has ended, and starts
  /// to confirm the queries.
  func turnEnding(isGathering: Bool) {
    if !isGathering, !incoming.isEmpty || overdue != nil { propose() }
    if !queries.isEmpty {
      let id = nextReadID
      nextReadID += 1
      confirming.append((id, queries))
      queries = []
      // With a lease it matters what the clock says now, after the queries came: the reactor's is as
      // old as the turn.
      step(
        .read(id: id, now: core.configuration.lease == nil ? nil : host.reactor.clock.nanoseconds))
    }
  }

  private func propose() {
    while !incoming.isEmpty && core.canPropose {
      guard let payload = nextPayload() else { return }
      guard core.propose(payload, into: &effects) != nil else {
        preconditionFailure("a core that can propose refused to")
      }
      carryOut()
    }
    if let overdue, logTime < overdue.until, core.canPropose, core.last == core.commit {
      // Nothing on its way would advance log time, so an empty entry has to.
      let payload = EntryPayload.empty(
        time: max(logTime, host.reactor.wallClockMilliseconds), cluster: host.cluster,
        pool: host.pool)
      _ = core.propose(payload, into: &effects)
      carryOut()
    }
  }

  /// Makes an entry of as many incoming requests as fit; `nil` when memory is short.
  private func nextPayload() -> EntryPayload? {
    let time = max(logTime, host.reactor.wallClockMilliseconds)
    if let frame = incoming[0].frame, incoming.count == 1 || isLarge(incoming[0].body) {
      incoming.removeFirst()
      return EntryPayload(unsealed: frame, count: 1, time: time, cluster: host.cluster)
    }
    var count = 0
    var size = WireHeader.byteCount
    while count < incoming.count,
      count == 0
        || size + incoming[count].body.byteCount <= Self.entryBytesTarget
          && !isLarge(incoming[count].body)
    {
      size += incoming[count].body.byteCount
      count += 1
    }
    guard var buffer = try? Buffer(minimumCapacity: size, in: host.pool) else { return nil }
    buffer.appendZeros(WireHeader.byteCount)
    for request in incoming[..<count] { buffer.append(request.body.span) }
    host.copied(size - WireHeader.byteCount)
    incoming.removeFirst(count)
    return EntryPayload(
      unsealed: buffer.freeze(), count: count, time: time, cluster: host.cluster)
  }

  private func isLarge(_ body: Bytes) -> Bool { body.byteCount > Self.joinedBytesMax }

  // MARK: Effects

  private func carryOut() {
    var position = 0
    while position < effects.count {
      switch effects[position] {
      case .persistPromise(let ballot, let token):
        host.log.append(promise: ballot, group: index, token: token)
      case .persistEntry(let entry, let token):
        host.log.append(
          entry: frame(of: entry), slot: entry.slot, ballot: entry.ballot, group: index,
          token: token)
      case .send(let message, let peer, let after):
        if let after, after > durable {
          held.append((after, message, peer))
        } else {
          transmit(message, to: peer)
        }
      case .apply(let entry): apply(entry)
      case .provide(let peer, let from, let through): provide(peer, from, through)
      case .provideSnapshot(let peer): host.offerSnapshot(index, to: peer)
      case .stateDiffers(let slot, let isOutvoted):
        if isOutvoted { outvotedAt = host.reactor.now.nanoseconds }
        host.stateDiffers(index, behind: slot, isOutvoted: isOutvoted)
      case .readReady(let id): answer(id)
      case .readRefused(let id): turnAway(id)
      case .roleChanged(let role, _, _): changed(role)
      case .membershipChanged(let membership, _):
        host.membershipChanged(index, membership)
      }
      position += 1
    }
    effects.removeAll(keepingCapacity: true)
  }

  private func frame(of entry: Entry) -> Bytes {
    let payload = entry.payload as! EntryPayload
    do {
      return try payload.frame(of: entry, cluster: host.cluster, group: id, pool: host.pool)
    } catch {
      fatalError("out of memory for an entry that is already promised: \(error)")
    }
  }

  private func transmit(_ message: Message, to peer: NodeID) {
    if isMuted {
      guard case .fetch = message else { return }
    }
    switch message {
    case .accept(let entry): host.send(frame(of: entry), to: peer)
    case .promise(_, _, _, let entries, _), .learn(let entries):
      let frames = entries.map { frame(of: $0) }
      let size = frames.reduce(0) { $0 + $1.byteCount }
      guard
        var buffer = try? Buffer(minimumCapacity: WireHeader.byteCount + size, in: host.pool)
      else { return }
      buffer.appendZeros(WireHeader.byteCount)
      for frame in frames { buffer.append(frame.span) }
      let all = buffer.freeze()
      var header = WireHeader(
        message, cluster: host.cluster, group: id, sender: host.node, bodyByteCount: size)
      all.seal(&header)
      host.send(all, to: peer)
    default:
      var header = WireHeader(message, cluster: host.cluster, group: id, sender: host.node)
      host.send(&header, RawSpan(), to: peer)
    }
  }

  private func provide(_ peer: NodeID, _ from: Slot, _ through: Slot) {
    do {
      let locations = host.log.locations(
        group: index, from: from, through: through, byteCountMax: Self.learnBytesTarget)
      guard !locations.isEmpty else { return }
      let size = locations.reduce(0) { $0 + Int($1.byteCount) }
      var buffer = try Buffer(minimumCapacity: WireHeader.byteCount + size, in: host.pool)
      buffer.appendZeros(WireHeader.byteCount)
      var count = 0
      for location in locations {
        // What has rotted is not passed on; the peer asks another, or the scrubber mends it.
        guard try host.log.readIntact(location, into: &buffer, cluster: host.cluster) else { break }
        count += 1
      }
      guard count > 0 else { return }
      var header = WireHeader(
        kind: .learn, cluster: host.cluster, group: id, sender: host.node,
        bodyByteCount: buffer.byteCount - WireHeader.byteCount)
      header.slot = from
      header.count = UInt32(count)
      let frame = buffer.freeze()
      frame.seal(&header)
      host.send(frame, to: peer)
    } catch {
      host.logger.warning(
        "cannot serve entries to a peer",
        metadata: ["group": "\(id)", "peer": "\(peer)", "error": "\(error)"])
    }
  }

  private func changed(_ role: Role) {
    if role != .leader {
      // Whoever gathered these will hand them to the next leader.
      for request in incoming {
        guard let header = RequestHeader(request.body.span) else { continue }
        host.answer(
          .turnedAway(leader: core.leader), to: NodeID(rawValue: header.origin), group: index)
      }
      incoming.removeAll()
      let waiting = queries + (overdue?.queries ?? [])
      queries = []
      overdue = nil
      for query in waiting {
        host.answer(.turnedAway(leader: core.leader), to: query.origin, group: index)
      }
    }
    host.leaderChanged(index)
  }
}

// MARK: - Applying and reading

extension Group {
  private func apply(_ entry: Entry) {
    let payload = entry.payload as! EntryPayload
    let context = Applier.advance(&machine, &logTime, payload.time, group: id, slot: entry.slot)
    Applier.apply(payload, context, &machine, warming, &sessions, &chain, &reply) {
      request, verdict in
      let origin = NodeID(rawValue: request.origin)
      guard leads || origin == host.node else { return }
      switch verdict {
      case .replay(let replies):
        host.answer(
          .replies(session: request.session, sequence: request.sequence, replies), to: origin,
          group: index)
      case .early(let expected):
        host.answer(
          .early(session: request.session, expected: expected), to: origin, group: index)
      case .apply, .forgotten: break
      }
    }
    noteState(behind: entry.slot)
    if let waiting = overdue, logTime >= waiting.until {
      overdue = nil
      answer(waiting.queries, at: logTime)
    }
  }

  private func noteState(behind slot: Slot) {
    core.noteState(Applier.digest(machine, chain), behind: slot, into: &effects)
  }

  /// Whether the replica is to be begun anew, because its state is not the group's.
  ///
  /// What is in its log is right, and others may count on it: it is kept until it is decided, or, where
  /// ever more comes, for a moment.
  func mustBeginAnew(now: UInt64) -> Bool {
    guard let outvotedAt else { return false }
    return core.commit == core.last || now - outvotedAt > Self.outvotedPatience
  }

  private func answer(_ id: UInt64) {
    guard let position = confirming.firstIndex(where: { $0.id == id }) else {
      preconditionFailure("a read was confirmed that nobody asked for")
    }
    let queries = confirming.remove(at: position).queries
    let time = host.reactor.wallClockMilliseconds
    if let deadline = machine.nextDeadline, deadline <= time, logTime < time {
      // What expires does so at one point of the log: answer behind it.
      overdue = (time, (overdue?.queries ?? []) + queries)
    } else {
      answer(queries, at: max(logTime, time))
    }
  }

  /// Nothing in the machine is due at `time`, so an answer may reckon with it: what a query says is
  /// left of a lifetime goes down even when nothing is written.
  private func answer(_ queries: [Query], at time: UInt64) {
    let context = ApplyContext(group: id, slot: core.applied, time: time)
    // Held here because a property is checked and retained anew for every query.
    let machine = machine
    var reply = Reply()
    swap(&reply, &self.reply)
    defer { swap(&reply, &self.reply) }
    for query in queries {
      reply.removeAll()
      warming?.warm(query.body.span)
      _ = SizedItems.forEach(query.body.span) { item in
        Applier.sized(&reply) { machine.read(item, context, reply: &$0) }
      }
      host.answer(.answers(id: query.id, reply.bytes), to: query.origin, group: index)
    }
  }

  private func turnAway(_ id: UInt64) {
    guard let position = confirming.firstIndex(where: { $0.id == id }) else { return }
    for query in confirming.remove(at: position).queries {
      host.answer(.turnedAway(leader: core.leader), to: query.origin, group: index)
    }
  }
}
