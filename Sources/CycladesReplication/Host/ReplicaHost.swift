public import CycladesPaxos
public import CycladesTransport
public import Logging

/// Hosts a node's replicas of many groups on one reactor: one log, one connection per peer.
///
/// Commands may be submitted on any node for any group. Those of one turn and group leave as one
/// request for the group's leader, wherever it is, and are applied exactly once however often a
/// leader is lost on the way. Writes of one node to one group are applied in the order in which they
/// were submitted. A read is linearizable; it is not ordered after writes that are unanswered yet.
///
/// All of it belongs to the reactor's thread: create, start, use and stop it there.
public final class ReplicaHost {
  /// What the host was made with.
  public let configuration: HostConfiguration
  /// The reactor that the host lives on.
  public let reactor: Reactor
  /// Told the outcomes; held until `stop`.
  public var delegate: (any ReplicaHostDelegate)? {
    didSet { batchDelegate = delegate as? any BatchDelegate }
  }
  /// The delegate, when it takes whole requests.
  private var batchDelegate: (any BatchDelegate)?
  /// Told to peers at every handshake from now on, for the layer above; at most 1 KiB.
  public var announcement: [UInt8] {
    didSet { precondition(announcement.count <= 1024, "an announcement has at most 1024 bytes") }
  }
  /// Why the host stopped by itself, if it did.
  public private(set) var failure: ReplicationError?

  let logger: Logger
  let cluster: UInt64
  let folder: DataFolder
  var storage: Log!
  var snapshots: Snapshots!
  private let newMachine: (UInt32) -> any StateMachine
  var replicas: [Group?] = []
  var couriers: [Courier] = []
  var links: [NodeID: PeerLink] = [:]
  var announcements: [NodeID: [UInt8]] = [:]
  var disks = PeerDisks()
  var disksCheckedAt: UInt64 = 0
  private var listener: PeerListener!
  /// For groups this node is no member of: whom to ask.
  private var guesses: [NodeID?]
  private var refused: [(RequestContext, Refusal)] = []
  /// What was found damaged at the start and by the scrubber, and what was done about it.
  var recovery = RecoveryCounts()
  private var scrubber = Scrubber()
  private var hasNewWork = false
  private var copiedBytes: UInt64 = 0
  var isStopping = false
  var audits = AuditCounts()

  private static let tickInterval = Duration.milliseconds(10)

  /// Opens the data folder and recovers what its log holds.
  ///
  /// `makeMachine` makes the initial state of a group: once for each that this node is a member of,
  /// and again whenever a snapshot of a peer is received. The machines are brought up to date with
  /// the newest snapshots and all decided entries of the log before this returns.
  public init(
    _ configuration: HostConfiguration, reactor: Reactor, logger: Logger,
    makeMachine: @escaping (UInt32) -> any StateMachine
  ) throws(ReplicationError) {
    try configuration.validate()
    for (index, group) in configuration.groups.enumerated() where group.id != UInt32(index) {
      throw ReplicationError(.badConfiguration, "groups must be numbered 0, 1, 2… in order")
    }
    self.configuration = configuration
    self.reactor = reactor
    self.logger = logger
    announcement = configuration.announcement
    cluster = ReplicaHost.hash(of: configuration.cluster)
    guesses = Array(repeating: nil, count: configuration.groups.count)
    newMachine = makeMachine
    folder = try DataFolder(configuration) { max(1, reactor.random()) }
    var files = try SnapshotRecovery(folder, cluster: cluster, logger: logger)
    var loaded: [LoadedSnapshot?] = []
    for group in configuration.groups {
      loaded.append(try files.load(group.id) { makeMachine(group.id) })
    }
    recovery[.superblockCopy] += UInt64(folder.superblock.repairedCopies)
    recovery[.snapshotDamaged] += files.damagedCount
    let recovered = try LogRecovery.run(
      folder, cluster: cluster, snapshots: loaded.map { $0?.stored.slot ?? 0 })
    storage = try Log(
      recovered, folder: folder, reactor: reactor, segmentBytes: configuration.limits.segmentBytes,
      owner: self)
    listener = PeerListener(host: self)
    for (index, group) in configuration.groups.enumerated() {
      couriers.append(
        Courier(
          group: index, node: configuration.node, limits: configuration.limits, host: self))
      let found = recovered.groups[index]
      if found.isStateLost {
        guard group.members.count > 1 else {
          throw ReplicationError(
            .damagedLog,
            "\(configuration.directory): the snapshot of group \(index) is damaged or missing, and no "
              + "other replica has its state: restore the folder from a backup")
        }
        storage.append(dropOf: index, behind: found.forgotten)
      }
      if found.isDropped { loaded[index] = nil }
      let isMember = group.members.contains(configuration.node) && !found.isDropped
      guard isMember || loaded[index] != nil || !found.index.isEmpty else {
        replicas.append(nil)
        continue
      }
      replicas.append(
        try makeReplica(index, loaded[index]?.state, found, segments: recovered.segments))
    }
    snapshots = Snapshots(loaded.map { $0?.stored }, host: self)
    try files.tidy(keeping: loaded.map { $0?.stored.slot })
    if recovered.records > 0 || snapshots.byteCount > 0 {
      logger.info(
        "log recovered",
        metadata: [
          "snapshot.bytes": "\(snapshots.byteCount)",
          "records": "\(recovered.records)", "segments": "\(recovered.segments.count)",
          "torn.bytes": "\(recovered.tornBytes)",
        ])
    }
    noteRecovery(recovered.counts)
  }

  /// Reads on in the log; a segment that can no longer be mended goes as soon as snapshots allow.
  private func scrub() {
    do {
      guard let found = try scrubber.tick(now, storage, cluster: cluster) else { return }
      recovery.add(found.counts)
      if found.counts.isClean && found.damaged.isEmpty { return }
      logger.warning(
        "damage in the log",
        metadata: ["found": "\(found.counts)", "beyond.repair": "\(found.damaged)"])
      for segment in found.damaged { snapshots.replace(segmentsThrough: segment) }
    } catch {
      logFailed(error)
    }
  }

  private func noteRecovery(_ counts: RecoveryCounts) {
    recovery.add(counts)
    if recovery.isClean { return }
    logger.warning("damage in the data folder", metadata: ["found": "\(recovery)"])
  }

  func makeReplica(
    _ index: Int, _ start: SnapshotAssembly.State?, _ found: RecoveredGroup, segments: [LogSegment]
  ) throws(ReplicationError) -> Group {
    let group = configuration.groups[index]
    let start =
      start ?? SnapshotAssembly.State(machine: newMachine(group.id), head: SnapshotHead())
    let state = try RecoveredState(start, found, group, segments: segments, pool: reactor.pool)
    return try Group(
      group, index: index, recovered: state, timing: configuration.effectiveTiming,
      lease: configuration.lease,
      windowBytes: max(64 << 20, 2 * configuration.limits.commandBytesMax), host: self)
  }

  /// Listens for peers, dials them, and takes part.
  public func start() throws(ReplicationError) {
    let mode = PeerFrames.mode(configuration.limits)
    do {
      try listener.listen(on: configuration.peerListen, mode)
    } catch {
      throw ReplicationError(.ioFailed, "\(error)")
    }
    for peer in configuration.peers.keys.sorted() { setPeer(peer, configuration.peers[peer]!) }
    reactor.addTurnObserver(self)
    for index in replicas.indices { startReplica(index) }
    tick()
  }

  /// Takes no further part: callers are told, peers and timers let go. What is being written to the
  /// log is finished by the reactor.
  public func stop() {
    if isStopping { return }
    isStopping = true
    listener.stop()
    for link in links.values { link.stop() }
    for courier in couriers { courier.stop() }
    deliverRefusals()
    snapshots.stop()
    storage.stop()
    delegate = nil
  }

  /// Stops as a process does that is killed: in a simulation, whose disks are what they were then.
  package func abandon() {
    storage.abandon()
    stop()
  }

  func startReplica(_ index: Int) {
    guard let replica = replicas[index] else { return }
    replica.start(now: reactor.now.nanoseconds)
    let base = storage.index[index].base
    if base > 0 { replica.step(.compacted(through: base)) }
  }

  private func tick() {
    if isStopping { return }
    for (index, replica) in replicas.enumerated() {
      guard let replica, !replica.isLeaving else { continue }
      replica.step(.tick(now: now))
      if replica.hasLeft(now: now) { leave(index) }
      if replica.mustBeginAnew(now: now) { beginAnew(index) }
    }
    replaceDisks()
    storage.tick(now)
    scrub()
    for courier in couriers where !courier.isIdle { courier.expire() }
    snapshots.tick(now)
    reactor.schedule(after: Self.tickInterval) { self.tick() }
  }

  /// A 64-bit name for a cluster (FNV-1a); the seed of every checksum.
  static func hash(of name: String) -> UInt64 {
    name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }

  // MARK: Submitting

  /// Submits a command; the outcome comes to the delegate with `context`.
  public func write(_ group: UInt32, _ context: RequestContext, _ command: RawSpan) {
    unsafe command.withUnsafeBytes { bytes in
      unsafe write(group, context, byteCount: bytes.count) { target in
        if let source = bytes.baseAddress {
          unsafe target.copyMemory(from: source, byteCount: bytes.count)
        }
      }
    }
  }

  /// Submits a command of `byteCount` bytes that `encode` writes straight into the request.
  package func write(
    _ group: UInt32, _ context: RequestContext, byteCount: Int,
    _ encode: (UnsafeMutableRawPointer) -> Void
  ) {
    submit(group, context) { courier in
      unsafe courier.write(context, byteCount, encode)
    }
  }

  /// Submits a query; the answer comes to the delegate with `context`.
  public func read(_ group: UInt32, _ context: RequestContext, _ query: RawSpan) {
    unsafe query.withUnsafeBytes { bytes in
      unsafe read(group, context, byteCount: bytes.count) { target in
        if let source = bytes.baseAddress {
          unsafe target.copyMemory(from: source, byteCount: bytes.count)
        }
      }
    }
  }

  /// Submits a query of `byteCount` bytes that `encode` writes straight into the request.
  package func read(
    _ group: UInt32, _ context: RequestContext, byteCount: Int,
    _ encode: (UnsafeMutableRawPointer) -> Void
  ) {
    submit(group, context) { courier in
      unsafe courier.read(context, byteCount, encode)
    }
  }

  private func submit(
    _ group: UInt32, _ context: RequestContext, _ body: (Courier) -> Refusal?
  ) {
    let refusal: Refusal? =
      if isStopping {
        .stopping
      } else if group >= UInt32(couriers.count) {
        .noSuchGroup
      } else {
        body(couriers[Int(group)])
      }
    hasNewWork = true
    if let refusal { refused.append((context, refusal)) }
  }

  private func deliverRefusals() {
    let refusals = refused
    refused = []
    for (context, refusal) in refusals {
      delegate?.completed(context, .notDone(refusal), RawSpan())
    }
  }

  // MARK: Looking in

  /// Who leads a group, as far as this node knows.
  public func leader(of group: UInt32) -> NodeID? {
    guard group < UInt32(replicas.count) else { return nil }
    if let replica = member(Int(group)) { return replica.core.leader }
    return guesses[Int(group)] ?? members(Int(group)).first
  }

  /// All groups as this node sees them.
  public var groups: [GroupStatus] {
    replicas.indices.map { index in
      let core = member(index)?.core
      return GroupStatus(
        id: UInt32(index), members: members(index), membership: core?.schedule.current,
        nextMembership: core?.schedule.next, leader: leader(of: UInt32(index)), role: core?.role,
        ballot: core?.ballot ?? .zero, commit: core?.commit ?? 0, applied: core?.applied ?? 0,
        last: core?.last ?? 0)
    }
  }

  /// All peers as this node sees them, in order of their ids.
  public var peers: [PeerStatus] {
    links.keys.sorted().map { peer in
      PeerStatus(
        node: peer, address: links[peer]!.address, isConnected: links[peer]!.isReady,
        announcement: announcements[peer])
    }
  }

  /// The log as it stands.
  public var logStatus: LogStatus {
    LogStatus(
      byteCount: storage.byteCount, segmentCount: storage.segments.count,
      writes: storage.counters.writes, records: storage.counters.records,
      writtenBytes: storage.counters.bytes, snapshotBytes: snapshots.byteCount,
      snapshotsWritten: snapshots.counters.written,
      snapshotsInstalled: snapshots.counters.installed, commandBytesCopied: copiedBytes,
      recovery: recovery, audits: audits)
  }

  /// Where the listener for peers is bound; `nil` before `start`.
  public var peerAddress: SocketAddress? { listener.address }

  /// This node's copy of a group's state, to be looked at; it may lag behind the leader's. `nil` when
  /// the node is no member.
  ///
  /// Ask again each time: when a snapshot is installed another machine takes its place.
  public func machine(of group: UInt32) -> (any StateMachine)? {
    group < UInt32(replicas.count) ? replicas[Int(group)]?.machine : nil
  }

  func courier(_ group: Int) -> Courier { couriers[group] }

  /// A group this node is no member of turned a request away: ask the one it named, or the next.
  func turnedAway(_ group: Int, _ leader: NodeID) {
    if member(group) == nil {
      let peers = links.keys.sorted().filter { links[$0]!.isReady }
      if peers.contains(leader) {
        guesses[group] = leader
      } else if let asked = guesses[group], !peers.isEmpty {
        guesses[group] = peers.first { $0 > asked } ?? peers[0]
      }
    }
    couriers[group].turnedAway()
  }

  /// Whom the newest membership names; of a group without a replica here, whom the first one did.
  private func members(_ group: Int) -> [NodeID] {
    replicas[group]?.core.schedule.newest.members.map(\.id) ?? configuration.groups[group].members
  }

  /// The replica of a group that this node has not left.
  func member(_ group: Int) -> Group? {
    guard let replica = replicas[group], !replica.isLeaving else { return nil }
    return replica
  }
}

// MARK: - The turn

extension ReplicaHost: TurnObserver {
  /// Sends what was submitted, proposes what came in, and starts the log's write.
  public func turnEnding() {
    if isStopping { return }
    // Answers given here may make callers submit more; a few rounds spare that a turn's delay.
    for _ in 0..<4 {
      hasNewWork = false
      deliverRefusals()
      let isGathering = storage.isWriting
      for courier in couriers where !courier.isIdle { courier.dispatch(isGathering: isGathering) }
      for replica in replicas { replica?.turnEnding(isGathering: isGathering) }
      if !hasNewWork { break }
    }
    storage.flush()
  }
}

extension ReplicaHost: LogOwner {
  func logged(group: Int, token: UInt64) {
    if !isStopping, let replica = replicas[group], !replica.isLeaving { replica.logged(token) }
  }

  func decided(group: Int) -> Slot { replicas[group]?.core.decidedThrough ?? 0 }

  func compacted(group: Int, through slot: Slot) {
    if !isStopping { replicas[group]?.step(.compacted(through: slot)) }
  }

  func dropped(group: Int) {
    replicas[group] = nil
    snapshots.forget(group)
  }

  func logFailed(_ error: ReplicationError) {
    failure = error
    logger.critical("the log failed, this node stops", metadata: ["error": "\(error)"])
    let delegate = delegate
    stop()
    delegate?.failed(error)
  }
}

extension ReplicaHost: GroupHost {
  var node: NodeID { configuration.node }
  var incarnation: UInt64 { folder.identity.incarnation }
  var pool: BufferPool { reactor.pool }
  var now: UInt64 { reactor.now.nanoseconds }
  var log: Log { storage }

  func send(_ frame: Bytes, to peer: NodeID) { links[peer]?.send(frame) }

  func send(_ header: inout WireHeader, _ body: RawSpan, to peer: NodeID) {
    links[peer]?.send(&header, body)
  }

  func offerSnapshot(_ group: Int, to peer: NodeID) { snapshots.offer(group, to: peer) }

  func copied(_ byteCount: Int) { copiedBytes += UInt64(byteCount) }

  func leaderChanged(_ group: Int) { delegate?.leadershipChanged(UInt32(group)) }
}

extension ReplicaHost: CourierHost {
  func randomName() -> UInt64 { max(1, reactor.random()) }

  func route(to group: Int) -> Route {
    if let replica = member(group) {
      guard let leader = replica.core.leader else { return .nowhere }
      if leader == node { return replica.leads ? .here : .nowhere }
      return links[leader]?.isReady == true ? .peer(leader) : .nowhere
    }
    if let guess = guesses[group], links[guess]?.isReady == true { return .peer(guess) }
    guesses[group] = (members(group) + links.keys.sorted()).first { links[$0]?.isReady == true }
    return guesses[group].map { .peer($0) } ?? .nowhere
  }

  func lead(_ request: WriteRequest, group: Int) -> Bool {
    member(group)?.lead(request.body, frame: request.hasLeft ? nil : request.frame) ?? false
  }

  func lead(_ query: ReadRequest, group: Int) -> Bool {
    member(group)?.read(query.body, id: query.id, origin: node) ?? false
  }

  func header(_ kind: WireHeader.Kind, group: Int, bodyByteCount: Int) -> WireHeader {
    WireHeader(
      kind: kind, cluster: cluster, group: UInt32(group), sender: node,
      bodyByteCount: bodyByteCount)
  }

  func complete(_ context: RequestContext, _ outcome: Outcome, _ reply: RawSpan) {
    delegate?.completed(context, outcome, reply)
  }

  func complete(_ contexts: [RequestContext], _ replies: RawSpan) {
    if let batchDelegate { return batchDelegate.completed(contexts, replies) }
    guard let delegate else { return }
    var next = 0
    _ = SizedItems.forEach(replies) { reply in
      delegate.completed(contexts[next], .done, reply)
      next += 1
    }
  }
}

extension ReplicaHost: SnapshotsHost {
  var logBytesTarget: Int { configuration.limits.logBytesTarget }
  func replica(_ group: Int) -> Group? { member(group) }
  func makeMachine(_ group: Int) -> any StateMachine { newMachine(UInt32(group)) }
}
