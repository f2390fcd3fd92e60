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
  public var delegate: (any ReplicaHostDelegate)?
  /// Told to peers at every handshake from now on, for the layer above; at most 1 KiB.
  public var announcement: [UInt8] {
    didSet { precondition(announcement.count <= 1024, "an announcement has at most 1024 bytes") }
  }
  /// Why the host stopped by itself, if it did.
  public private(set) var failure: ReplicationError?

  let logger: Logger
  let cluster: UInt64
  let folder: DataFolder
  private var storage: Log!
  private var snapshots: Snapshots!
  private let newMachine: (UInt32) -> any StateMachine
  private var replicas: [Group?] = []
  private var couriers: [Courier] = []
  var links: [NodeID: PeerLink] = [:]
  private var announcements: [NodeID: [UInt8]] = [:]
  private var listener: PeerListener!
  /// For groups this node is no member of: whom to ask.
  private var guesses: [Int]
  private var refused: [(RequestContext, Refusal)] = []
  private var hasNewWork = false
  var isStopping = false

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
    guesses = Array(repeating: 0, count: configuration.groups.count)
    newMachine = makeMachine
    folder = try DataFolder(configuration)
    let files = try SnapshotRecovery(folder, cluster: cluster, logger: logger)
    var loaded: [LoadedSnapshot?] = []
    for group in configuration.groups {
      loaded.append(try files.load(group.id) { makeMachine(group.id) })
    }
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
      guard group.members.contains(configuration.node) else {
        replicas.append(nil)
        continue
      }
      let start =
        loaded[index]?.state
        ?? SnapshotAssembly.State(
          machine: makeMachine(group.id), head: SnapshotHead(logTime: 0, sessions: SessionTable()))
      let state = try RecoveredState(
        start, recovered.groups[index], id: group.id, segments: recovered.segments,
        pool: reactor.pool)
      replicas.append(
        try Group(
          group, index: index, recovered: state, timing: configuration.effectiveTiming,
          windowBytes: max(64 << 20, 2 * configuration.limits.commandBytesMax), host: self))
    }
    snapshots = Snapshots(loaded.map { $0?.stored }, host: self)
    if recovered.records > 0 || snapshots.byteCount > 0 {
      logger.info(
        "log recovered",
        metadata: [
          "snapshot.bytes": "\(snapshots.byteCount)",
          "records": "\(recovered.records)", "segments": "\(recovered.segments.count)",
          "torn.bytes": "\(recovered.tornBytes)",
        ])
    }
  }

  /// Listens for peers, dials them, and takes part.
  public func start() throws(ReplicationError) {
    let mode = PeerFrames.mode(configuration.limits)
    do {
      try listener.listen(on: configuration.peerListen, mode)
    } catch {
      throw ReplicationError(.ioFailed, "\(error)")
    }
    for (peer, address) in configuration.peers where peer != configuration.node {
      links[peer] = PeerLink(peer, address, mode, host: self)
    }
    for peer in links.keys.sorted() { links[peer]!.dial() }
    reactor.addTurnObserver(self)
    for (index, replica) in replicas.enumerated() {
      replica?.start(now: reactor.now.nanoseconds)
      if snapshots.covered(index) > 0 {
        replica?.step(.compacted(through: storage.index[index].base))
      }
    }
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

  private func tick() {
    if isStopping { return }
    for replica in replicas { replica?.step(.tick(now: now)) }
    for courier in couriers where !courier.isIdle { courier.expire() }
    snapshots.tick(now)
    reactor.schedule(after: Self.tickInterval) { self.tick() }
  }

  /// A 64-bit name for a cluster (FNV-1a); the seed of every checksum.
  private static func hash(of name: String) -> UInt64 {
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
    if let replica = replicas[Int(group)] { return replica.core.leader }
    return members(Int(group))[guesses[Int(group)]]
  }

  /// All groups as this node sees them.
  public var groups: [GroupStatus] {
    replicas.indices.map { index in
      let core = replicas[index]?.core
      return GroupStatus(
        id: UInt32(index), members: members(index), leader: leader(of: UInt32(index)),
        role: core?.role, ballot: core?.ballot ?? .zero, commit: core?.commit ?? 0,
        applied: core?.applied ?? 0, last: core?.last ?? 0)
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
      snapshotsInstalled: snapshots.counters.installed)
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
    if replicas[group] == nil {
      let members = members(group)
      guesses[group] = members.firstIndex(of: leader) ?? (guesses[group] + 1) % members.count
    }
    couriers[group].turnedAway()
  }

  private func members(_ group: Int) -> [NodeID] { configuration.groups[group].members }
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
      for courier in couriers where !courier.isIdle { courier.dispatch() }
      for replica in replicas { replica?.turnEnding() }
      if !hasNewWork { break }
    }
    storage.flush()
  }
}

extension ReplicaHost: LogOwner {
  func logged(group: Int, token: UInt64) {
    if !isStopping { replicas[group]?.logged(token) }
  }

  func compacted(group: Int, through slot: Slot) {
    if !isStopping { replicas[group]?.step(.compacted(through: slot)) }
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
  var pool: BufferPool { reactor.pool }
  var now: UInt64 { reactor.now.nanoseconds }
  var log: Log { storage }

  func send(_ frame: Bytes, to peer: NodeID) { links[peer]?.send(frame) }

  func send(_ header: inout WireHeader, _ body: RawSpan, to peer: NodeID) {
    links[peer]?.send(&header, body)
  }

  func offerSnapshot(_ group: Int, to peer: NodeID) { snapshots.offer(group, to: peer) }

  func leaderChanged(_ group: Int) { delegate?.leadershipChanged(UInt32(group)) }
}

extension ReplicaHost: CourierHost {
  func route(to group: Int) -> Route {
    if let replica = replicas[group] {
      guard let leader = replica.core.leader else { return .nowhere }
      if leader == node { return replica.leads ? .here : .nowhere }
      return links[leader]?.isReady == true ? .peer(leader) : .nowhere
    }
    let members = members(group)
    for step in members.indices {
      let candidate = (guesses[group] + step) % members.count
      if links[members[candidate]]?.isReady == true {
        guesses[group] = candidate
        return .peer(members[candidate])
      }
    }
    return .nowhere
  }

  func lead(_ request: WriteRequest, group: Int) -> Bool {
    replicas[group]?.lead(request.body, frame: request.hasLeft ? nil : request.frame) ?? false
  }

  func lead(_ query: ReadRequest, group: Int) -> Bool {
    replicas[group]?.read(query.body, id: query.id, origin: node) ?? false
  }

  func header(_ kind: WireHeader.Kind, group: Int, bodyByteCount: Int) -> WireHeader {
    WireHeader(
      kind: kind, cluster: cluster, group: UInt32(group), sender: node,
      bodyByteCount: bodyByteCount)
  }

  func complete(_ context: RequestContext, _ outcome: Outcome, _ reply: RawSpan) {
    delegate?.completed(context, outcome, reply)
  }
}

extension ReplicaHost: SnapshotsHost {
  var logBytesTarget: Int { configuration.limits.logBytesTarget }
  func replica(_ group: Int) -> Group? { replicas[group] }
  func makeMachine(_ group: Int) -> any StateMachine { newMachine(UInt32(group)) }
}

// MARK: - Peers

extension ReplicaHost: PeerHost {
  func sendHello(_ connection: ConnectionID) {
    var header = WireHeader(
      kind: .hello, cluster: cluster, group: 0, sender: node, bodyByteCount: announcement.count)
    header.token = folder.identity.incarnation
    header.extra = folder.identity.placement
    let body = announcement
    reactor.send(connection, &header, body.rawSpan)
  }

  func recognise(_ frame: Bytes) -> Result<NodeID, PeerRefusal> {
    func refuse(_ reason: String) -> Result<NodeID, PeerRefusal> {
      .failure(PeerRefusal(reason: reason))
    }
    let header: WireHeader
    do {
      header = try WireHeader(verifying: frame.span, cluster: cluster)
    } catch {
      return refuse("not a frame of cluster \"\(configuration.cluster)\": \(error)")
    }
    let peer = header.sender
    guard header.kind == .hello, header.bodyByteCount <= 1024 else {
      return refuse("no introduction")
    }
    guard peer != node, configuration.peers[peer] != nil else {
      return refuse("node \(peer) is not one of the configured peers")
    }
    guard header.extra == folder.identity.placement else {
      return refuse("node \(peer) was started with other shards or peers than this node")
    }
    do {
      guard try folder.recognise(peer, incarnation: header.token) else {
        return refuse(
          "node \(peer) came back with another data folder; it must not vote under its old "
            + "identity: restore its folder")
      }
    } catch {
      logFailed(error)
      return refuse("this node stops")
    }
    announcements[peer] = [UInt8](
      copying: frame.span.extracting(WireHeader.byteCount..<frame.byteCount))
    return .success(peer)
  }

  func opened(_ peer: NodeID) {
    logger.debug("peer connected", metadata: ["peer": "\(peer)"])
    for replica in replicas {
      if let replica, replica.members.contains(peer) { replica.step(.connected(peer)) }
    }
  }

  func lost(_ peer: NodeID) {
    for courier in couriers { courier.lost(peer) }
  }

  func received(_ frame: Bytes, from peer: NodeID) -> Bool {
    if isStopping { return true }
    guard let header = try? WireHeader(verifying: frame.span, cluster: cluster),
      header.group < UInt32(replicas.count)
    else {
      logger.warning("damaged frame", metadata: ["peer": "\(peer)"])
      return false
    }
    let group = Int(header.group)
    switch header.kind {
    case .request: return receivedRequest(frame, from: peer, group)
    case .query:
      let body = frame.slice(WireHeader.byteCount..<frame.byteCount)
      if replicas[group]?.read(body, id: header.token, origin: peer) != true {
        answer(.turnedAway(leader: replicas[group]?.core.leader), to: peer, group: group)
      }
      return true
    case .reply:
      receivedReply(header, frame, group)
      return true
    case .notice:
      noticed(frame, from: peer)
      return true
    case .snapshotHead, .snapshotPart, .snapshotEnd, .snapshotOffer, .snapshotPull:
      snapshots.received(header, frame, from: peer)
      return true
    default:
      guard let replica = replicas[group], replica.members.contains(peer) else { return true }
      guard let entries = Frames.entries(frame, header, cluster: cluster),
        let message = header.message(entries: entries)
      else { return false }
      replica.step(.received(message, from: peer))
      return true
    }
  }

  private func receivedRequest(_ frame: Bytes, from peer: NodeID, _ group: Int) -> Bool {
    let body = frame.slice(WireHeader.byteCount..<frame.byteCount)
    guard let request = RequestHeader(body.span), Int(request.size) == body.byteCount,
      request.origin == peer.rawValue
    else { return false }
    if replicas[group]?.lead(body, frame: nil) != true {
      answer(.turnedAway(leader: replicas[group]?.core.leader), to: peer, group: group)
    }
    return true
  }
}
