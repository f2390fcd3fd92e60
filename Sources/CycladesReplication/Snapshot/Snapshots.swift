import CycladesPaxos
import CycladesTransport
import Logging

/// What the snapshots of a host work on.
protocol SnapshotsHost: SnapshotReceiverHost {
  var node: NodeID { get }
  var cluster: UInt64 { get }
  var reactor: Reactor { get }
  var logger: Logger { get }
  var folder: DataFolder { get }
  var log: Log { get }
  var logBytesTarget: Int { get }
  func replica(_ group: Int) -> Group?
  func makeMachine(_ group: Int) -> any StateMachine
  func send(_ frame: Bytes, to peer: NodeID)
}

/// The snapshots of a host's groups: when they are written so that the log can be cut, how peers get
/// them, and how this node gets theirs.
///
/// The log may hold as many bytes as `HostLimits.logBytesTarget`, or twice as many as all snapshots
/// together when that is more: so writing snapshots never costs more than half of what writing the
/// log does. Beyond it, groups whose entries stand in the oldest segment are written out, one at a
/// time, until the segment can go.
final class Snapshots: SnapshotWriterOwner {
  /// How often something was done since the start.
  struct Counters {
    var written: UInt64 = 0
    var installed: UInt64 = 0
    var failed: UInt64 = 0
  }

  private unowned let host: any SnapshotsHost
  private(set) var counters = Counters()
  /// By group: the snapshot that a restart would begin with.
  private var stored: [StoredSnapshot?]
  /// Replaced while a peer was pulling it, and kept until the peer has done.
  private var retiring: [StoredSnapshot] = []
  private var pulledAt: [SnapshotID: UInt64] = [:]
  private var writer: SnapshotWriter?
  private var writeAgainAt: UInt64 = 0
  /// Segments up to this one are damaged, and go however small the log is.
  private var damagedThrough: UInt64 = 0
  private var receivers: [Int: SnapshotReceiver] = [:]

  /// Snapshots pulled at a time; other groups wait.
  private static let receiversMax: Int = 4
  private static let retryInterval: UInt64 = 5_000_000_000
  private static let pullPatience: UInt64 = 5_000_000_000

  init(_ stored: [StoredSnapshot?], host: any SnapshotsHost) {
    self.stored = stored
    self.host = host
  }

  /// The slot up to which a durable snapshot stands for a group's entries; 0 without one. What a
  /// group without a replica here left in the log, nobody needs.
  ///
  /// Not beyond what is durable in the log without a gap: a repaired entry may be on its way there.
  func covered(_ group: Int) -> Slot {
    guard let replica = host.replica(group) else { return Slot.max }
    return min(stored[group]?.slot ?? 0, replica.core.compactable)
  }

  /// Gives up all snapshots of a group that this node has left.
  func forget(_ group: Int) {
    if writer?.id.group == UInt32(group) {
      writer?.cancel()
      writer = nil
    }
    receivers.removeValue(forKey: group)?.cancel()
    for old in retiring where old.id.group == UInt32(group) { remove(old) }
    retiring.removeAll { $0.id.group == UInt32(group) }
    if let old = stored[group] { remove(old) }
    stored[group] = nil
  }

  /// Bytes in all snapshots.
  var byteCount: Int { stored.reduce(0) { $0 + ($1?.byteCount ?? 0) } }

  func stop() {
    writer?.cancel()
    for receiver in receivers.values { receiver.cancel() }
    receivers.removeAll()
  }

  func tick(_ now: UInt64) {
    compact(now)
    for receiver in receivers.values { receiver.tick(now) }
    if pulledAt.isEmpty && retiring.isEmpty { return }
    pulledAt = pulledAt.filter { now - $0.value <= Self.pullPatience }
    for old in retiring where pulledAt[old.id] == nil { remove(old) }
    retiring.removeAll { pulledAt[$0.id] == nil }
  }

  private func remove(_ snapshot: StoredSnapshot) {
    do {
      try Files.remove(snapshot.path)
    } catch {
      host.logger.warning("old snapshot stays", metadata: ["error": "\(error)"])
    }
  }

  /// Makes a snapshot the one that counts.
  private func store(_ snapshot: StoredSnapshot) {
    let group = Int(snapshot.id.group)
    if let old = stored[group] {
      precondition(old.slot < snapshot.slot, "an older snapshot must not replace a newer one")
      if pulledAt[old.id] != nil { retiring.append(old) } else { remove(old) }
    }
    stored[group] = snapshot
  }

  // MARK: Writing

  /// Lets snapshots take the place of all segments up to this one, in which something is damaged.
  func replace(segmentsThrough number: UInt64) { damagedThrough = max(damagedThrough, number) }

  private func compact(_ now: UInt64) {
    let log = host.log
    guard writer == nil,
      log.byteCount > max(host.logBytesTarget, 2 * byteCount)
        || log.segments.first.map({ $0.number <= damagedThrough }) ?? false
    else { return }
    guard let group = log.pinning(covered) else { return log.dropOldest(covered) }
    if now >= writeAgainAt { write(group, now) }
  }

  private func write(_ group: Int, _ now: UInt64) {
    guard let replica = host.replica(group), receivers[group] == nil,
      replica.core.applied > stored[group]?.slot ?? 0
    else { return }
    let id = SnapshotID(
      group: UInt32(group), slot: replica.core.applied, number: max(1, host.reactor.random()))
    do {
      writer = try SnapshotWriter(
        id, replica.snapshotHead, replica.machine.snapshot(), cluster: host.cluster,
        node: host.node, folder: host.folder, reactor: host.reactor, owner: self)
    } catch {
      notWritten(id, error)
    }
  }

  func written(_ snapshot: StoredSnapshot) {
    writer = nil
    counters.written += 1
    host.logger.debug(
      "snapshot written",
      metadata: [
        "group": "\(snapshot.id.group)", "slot": "\(snapshot.slot)",
        "bytes": "\(snapshot.byteCount)",
      ])
    let group = Int(snapshot.id.group)
    let held = stored[group]
    if host.replica(group) == nil || held?.slot ?? 0 > snapshot.slot {
      // Left, or overtaken by one that a peer sent meanwhile.
      remove(snapshot)
    } else if held?.slot == snapshot.slot {
      // Its file took the place of the other, whose name it has.
      stored[group] = snapshot
    } else {
      store(snapshot)
    }
  }

  func notWritten(_ id: SnapshotID, _ error: ReplicationError) {
    // Nothing is lost but room: the log keeps what the snapshot would have stood for.
    writer = nil
    counters.failed += 1
    writeAgainAt = host.reactor.now.nanoseconds + Self.retryInterval
    host.logger.error(
      "cannot write a snapshot, the log keeps growing",
      metadata: ["group": "\(id.group)", "error": "\(error)"])
  }

  // MARK: Serving

  /// Tells a peer that lacks entries which the log no longer has what it can have instead.
  func offer(_ group: Int, to peer: NodeID) {
    guard let snapshot = stored[group] else { return }
    var header = snapshot.id.header(
      .snapshotOffer, place: 0, cluster: host.cluster, node: host.node)
    header.count = UInt32(snapshot.frameCount)
    host.send(&header, RawSpan(), to: peer)
  }

  private func serve(_ header: WireHeader, to peer: NodeID) {
    let id = SnapshotID(header)
    guard let snapshot = ([stored[Int(id.group)]] + retiring).first(where: { $0?.id == id }),
      let snapshot
    else { return offer(Int(id.group), to: peer) }
    guard header.token < UInt64(snapshot.frameCount) else { return }
    pulledAt[id] = host.reactor.now.nanoseconds
    do {
      let place = Int(header.token)
      let start = snapshot.offsets[place]
      host.send(
        try Files.read(
          snapshot.path, at: start, count: snapshot.offsets[place + 1] - start,
          pool: host.reactor.pool), to: peer)
    } catch {
      host.logger.warning(
        "cannot serve a snapshot",
        metadata: ["group": "\(id.group)", "peer": "\(peer)", "error": "\(error)"])
    }
  }

  // MARK: Receiving

  /// Takes a frame about a snapshot: an offer, a wish for a part, or a part.
  func received(_ header: WireHeader, _ frame: Bytes, from peer: NodeID) {
    let now = host.reactor.now.nanoseconds
    let group = Int(header.group)
    switch header.kind {
    case .snapshotOffer: consider(header, from: peer, now)
    case .snapshotPull: serve(header, to: peer)
    default: receivers[group]?.received(header, frame, now: now)
    }
  }

  private func consider(_ offer: WireHeader, from peer: NodeID, _ now: UInt64) {
    let group = Int(offer.group)
    guard let replica = host.replica(group), replica.core.canInstall(through: offer.slot),
      offer.count >= 2
    else { return }
    if let receiver = receivers[group] {
      // The same source speaks of another one only when it no longer has the first.
      guard receiver.source == peer, receiver.id != SnapshotID(offer) else { return }
      receiver.cancel()
      receivers[group] = nil
    }
    guard receivers.count < Self.receiversMax else { return }
    do {
      receivers[group] = try SnapshotReceiver(
        offer, from: peer, into: host.makeMachine(group), now: now, node: host.node,
        cluster: host.cluster, folder: host.folder, reactor: host.reactor, host: host
      ) { [unowned self] in ended($0, group) }
    } catch {
      host.logger.error("cannot receive a snapshot", metadata: ["error": "\(error)"])
    }
  }

  private func ended(_ end: SnapshotReceiver.End, _ group: Int) {
    receivers[group] = nil
    switch end {
    case .failed(let reason):
      counters.failed += 1
      host.logger.warning(
        "snapshot not received", metadata: ["group": "\(group)", "reason": "\(reason)"])
    case .complete(let state, let snapshot):
      guard let replica = host.replica(group), replica.core.canInstall(through: snapshot.slot)
      else { return remove(snapshot) }
      store(snapshot)
      host.log.installed(group: group, through: snapshot.slot)
      replica.install(state, through: snapshot.slot)
      counters.installed += 1
      host.logger.info(
        "snapshot installed",
        metadata: [
          "group": "\(group)", "slot": "\(snapshot.slot)", "bytes": "\(snapshot.byteCount)",
        ])
    }
  }
}
