import CycladesPaxos
import CycladesTransport

/// A group's state as its log has it.
struct RecoveredState {
  var machine: any StateMachine
  var logTime: UInt64
  var sessions: SessionTable
  var chain: UInt64
  var paxos = Recovered()
  var forgotten: Slot

  /// Applies the decided entries of `group` to the state of its snapshot, or to a fresh machine, and
  /// loads the undecided ones.
  ///
  /// - Complexity: O(log behind the snapshot).
  init(
    _ start: SnapshotAssembly.State, _ group: RecoveredGroup, _ configuration: GroupConfiguration,
    segments: [LogSegment], pool: BufferPool
  ) throws(ReplicationError) {
    machine = start.machine
    logTime = start.head.logTime
    sessions = start.head.sessions
    chain = start.head.chain
    forgotten = group.forgotten
    var schedule = start.head.schedule ?? configuration.schedule
    let commit = min(group.commit, group.index.last)
    let holes = group.index.holes
    // Behind a hole nothing can be applied, decided or not, until a peer has filled it.
    let applicable = min(commit, (holes.first ?? .max) - 1)
    var reply = Reply()
    var entries: [Entry] = []
    for slot in (group.index.base + 1)..<(group.index.last + 1) {
      guard let location = group.index[slot] else { continue }
      guard let segment = segments.first(where: { $0.number == UInt64(location.segment) }) else {
        preconditionFailure("recovery found an entry in a segment it did not read")
      }
      let frame: Bytes
      do {
        var buffer = try Buffer(minimumCapacity: Int(location.byteCount), in: pool)
        try segment.read(location, into: &buffer)
        frame = buffer.freeze()
      } catch let error as ReplicationError {
        throw error
      } catch {
        throw ReplicationError(.ioFailed, "no memory to read the log back: \(error)")
      }
      guard let payload = EntryPayload(frame, WireHeader(trusting: frame.span)) else {
        throw ReplicationError(
          .damagedLog,
          "\(segment.path): slot \(slot) of group \(configuration.id) is of another version")
      }
      if slot > applicable {
        entries.append(WireHeader(trusting: frame.span).entry(payload))
        continue
      }
      let context = Applier.advance(
        &machine, &logTime, payload.time, group: configuration.id, slot: slot)
      Applier.apply(payload, context, &machine, nil, &sessions, &chain, &reply) { _, _ in }
      if let membership = payload.membership {
        _ = schedule.decide(membership, in: slot, window: GroupConfiguration.window)
      }
      _ = schedule.advance(behind: slot)
    }
    paxos = Recovered(
      promised: group.promised, commit: commit, applied: applicable, entries: entries,
      damaged: holes, schedule: schedule)
  }
}
