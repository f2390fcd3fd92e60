public import CycladesPaxos
import CycladesTransport
import Glibc
public import Logging

/// The last resort: goes on with one node's data when so many are lost for good that no quorum is left.
///
/// Works on the folder of a node that does not run. Each group that has lost its quorum is given a
/// history of its own from here on: whatever this node has accepted counts as decided, the state behind
/// it becomes a snapshot, and this node is the only member, until others are added.
///
/// **This may lose acknowledged writes**: a quorum may have decided what this node never saw. And it is
/// only right when the others are gone: were they to go on, there would be two histories. So the folder
/// remembers who was given up, and refuses to talk to them; they can come back under other numbers,
/// with empty folders.
public struct QuorumLoss {
  /// What is known of a group here.
  public struct GroupReport: Sendable, Hashable {
    /// What is to become of the group, or became.
    public enum Fate: Sendable, Hashable {
      /// This node has nothing of it.
      case absent
      /// A quorum of its members is not lost: it is left as it is.
      case hasQuorum
      /// It goes on with what this node has.
      case goesOn
      /// This node is its only member already.
      case isAlone
      /// This node can give no state: what it has is damaged, or it left the group.
      case isLost
      /// Members beside this node are not lost either, but too few to decide.
      case hasOtherSurvivors([NodeID])
    }

    /// The group's number.
    public var id: UInt32
    /// Its members, as this node knows them.
    public var membership: Membership
    /// The last slot accepted here.
    public var last: Slot
    /// The last slot known to be decided.
    public var commit: Slot
    /// Slots that cannot be read any more: their writes, and those behind the first of them, are lost.
    public var unreadable: Int
    /// What becomes of it.
    public var fate: Fate
  }

  private let configuration: HostConfiguration
  private let lost: Set<NodeID>
  private let folder: DataFolder
  private let pool = BufferPool(budgetBytes: 1 << 40)
  private let cluster: UInt64
  private var states: [RecoveredState?] = []
  private var promised: [Ballot]
  private var segments: [String]
  /// All groups of the cluster.
  public private(set) var groups: [GroupReport] = []

  /// Reads the folder of a node that does not run; mends what a start would mend, and changes nothing
  /// else.
  ///
  /// - Parameters:
  ///   - lost: The nodes that will not come back.
  ///   - makeMachine: Makes the initial state of a group, as for a host.
  public init(
    _ configuration: HostConfiguration, lost: Set<NodeID>, logger: Logger,
    makeMachine: (UInt32) -> any StateMachine
  ) throws(ReplicationError) {
    try configuration.validate()
    guard !lost.contains(configuration.node) else {
      throw ReplicationError(.badConfiguration, "node \(configuration.node) cannot be lost itself")
    }
    guard try Files.names(in: configuration.directory).contains(Superblock.name) else {
      throw ReplicationError(
        .foreignFolder, "\(configuration.directory) is not the data folder of a node")
    }
    self.configuration = configuration
    self.lost = lost
    cluster = ReplicaHost.hash(of: configuration.cluster)
    folder = try DataFolder(configuration)
    var files = try SnapshotRecovery(folder, cluster: cluster, logger: logger)
    var loaded: [LoadedSnapshot?] = []
    for group in configuration.groups {
      loaded.append(try files.load(group.id) { makeMachine(group.id) })
    }
    let log = try LogRecovery.run(
      folder, cluster: cluster, snapshots: loaded.map { $0?.stored.slot ?? 0 })
    defer { for segment in log.segments { Files.close(segment.descriptor) } }
    promised = log.groups.map(\.promised)
    segments = log.segments.map(\.path)
    for (index, group) in configuration.groups.enumerated() {
      var found = log.groups[index]
      let commit = found.commit
      // What was accepted is taken for decided, as far as it can be read.
      found.commit = found.index.last
      let start =
        loaded[index]?.state
        ?? SnapshotAssembly.State(machine: makeMachine(group.id), head: SnapshotHead())
      let state =
        found.isDropped
        ? nil : try RecoveredState(start, found, group, segments: log.segments, pool: pool)
      let membership = state?.paxos.schedule?.newest ?? group.schedule.current
      let isEmpty = loaded[index] == nil && found.index.isEmpty
      groups.append(
        GroupReport(
          id: group.id, membership: membership, last: found.index.last,
          commit: min(commit, found.index.last), unreadable: found.index.holes.count,
          fate: fate(membership, isEmpty: isEmpty, isDropped: found.isDropped)))
      states.append(state)
    }
  }

  private func fate(
    _ membership: Membership, isEmpty: Bool, isDropped: Bool
  ) -> GroupReport.Fate {
    let voters = membership.members.filter(\.kind.votes).map(\.id)
    let left = voters.filter { !lost.contains($0) }
    if !membership.members.contains(where: { $0.id == configuration.node }) { return .absent }
    if voters == [configuration.node] { return .isAlone }
    if left.count >= membership.quorum { return .hasQuorum }
    if isDropped { return .isLost }
    if isEmpty && !voters.contains(configuration.node) { return .absent }
    let others = left.filter { $0 != configuration.node }
    return others.isEmpty ? .goesOn : .hasOtherSurvivors(others)
  }

  /// Gives the groups that lost their quorum a new history, with this node as the only member.
  ///
  /// Cut off at any instant, it can be done again.
  public mutating func recover() throws(ReplicationError) {
    for group in groups {
      if case .hasOtherSurvivors(let others) = group.fate {
        throw ReplicationError(
          .notDone,
          "of group \(group.id) nodes \(others.map(\.description).joined(separator: ", ")) survive, "
            + "too: choose the node whose data is to be kept, and count the others among the lost")
      }
    }
    guard groups.contains(where: { $0.fate == .goesOn }) else {
      throw ReplicationError(.notDone, "no group here has lost its quorum: nothing was changed")
    }
    // First of all nobody who was given up may be listened to.
    folder.superblock.content.identity.givenUp.formUnion(lost)
    for node in lost { folder.superblock.content.identity.peers[node] = nil }
    try folder.superblock.storeNow()
    for index in groups.indices where states[index] != nil && groups[index].fate != .absent {
      if groups[index].fate == .goesOn {
        let next = groups[index].membership.number + 1
        groups[index].membership = Membership(
          number: next,
          members: [Member(id: configuration.node, incarnation: folder.identity.incarnation)])
        states[index]!.paxos.schedule = MembershipSchedule(current: groups[index].membership)
      } else if groups[index].fate == .hasQuorum {
        continue
      }
      try writeSnapshot(index)
      groups[index].commit = groups[index].last
    }
    try forgetLog()
  }

  private func writeSnapshot(_ index: Int) throws(ReplicationError) {
    let state = states[index]!
    let slot = groups[index].last
    let id = SnapshotID(
      group: groups[index].id, slot: slot, number: .random(in: 1...UInt64.max))
    let path = folder.path + "/" + SnapshotFormat.name(group: id.group, slot: slot)
    let descriptor = try Files.open(
      path + SnapshotFormat.unfinished, O_RDWR | O_CREAT | O_TRUNC)
    defer { Files.close(descriptor) }
    var offset = 0
    var place = 0
    func append(
      _ kind: WireHeader.Kind, time: UInt64 = 0, _ body: [UInt8]
    ) throws(ReplicationError) {
      var header = id.header(
        kind, place: place, cluster: cluster, node: configuration.node, bodyByteCount: body.count)
      header.time = time
      let frame: Bytes
      do {
        var buffer = try Buffer(minimumCapacity: header.frameByteCount, in: pool)
        buffer.appendZeros(WireHeader.byteCount)
        buffer.append(body)
        frame = buffer.freeze()
      } catch {
        throw ReplicationError(.ioFailed, "no memory for a snapshot: \(error)")
      }
      frame.seal(&header)
      try Files.write([UInt8](copying: frame.span), to: descriptor, path, at: offset)
      offset += frame.byteCount
      place += 1
    }
    let head = SnapshotHead(
      logTime: state.logTime, schedule: state.paxos.schedule, sessions: state.sessions,
      chain: state.chain)
    try append(.snapshotHead, time: head.logTime, head.encode())
    var source = state.machine.snapshot()
    var part = Reply()
    while source.next(into: &part, byteCountTarget: SnapshotFormat.partBytesTarget) {
      try append(.snapshotPart, part.bytes)
      part.removeAll()
    }
    try append(.snapshotEnd, [])
    try Files.sync(descriptor, path)
    try Files.rename(path + SnapshotFormat.unfinished, to: path)
    try Files.syncFolder(folder.path)
  }

  /// Removes the log, which the snapshots stand for, if they do for all groups. Groups that have a
  /// quorum need theirs, and slots that were lost in the log are then told of by the others.
  private func forgetLog() throws(ReplicationError) {
    guard !groups.contains(where: { $0.fate == .hasQuorum }) else { return }
    for index in groups.indices {
      let mark = folder.superblock.content.groups[index]
      folder.superblock.content.groups[index].promised = max(mark.promised, promised[index])
      guard groups[index].fate == .goesOn || groups[index].fate == .isAlone else { continue }
      folder.superblock.content.groups[index].last = groups[index].last
      folder.superblock.content.groups[index].commit = groups[index].last
    }
    folder.superblock.content.position = LogPosition()
    try folder.superblock.storeNow()
    for path in segments { try Files.remove(path) }
    try Files.syncFolder(folder.path)
  }
}
