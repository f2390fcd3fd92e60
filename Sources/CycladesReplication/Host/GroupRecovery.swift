import CycladesPaxos
import CycladesTransport

/// A group's state as its log has it.
struct RecoveredState<Machine: StateMachine> {
  var machine: Machine
  var sessions = SessionTable()
  var logTime: UInt64 = 0
  var paxos = Recovered()

  /// Applies the decided entries of `group` to a fresh machine, and loads the undecided ones.
  ///
  /// - Complexity: O(log): there are no snapshots yet.
  init(
    _ machine: Machine, _ group: RecoveredGroup, id: UInt32, segments: [LogSegment],
    pool: BufferPool
  ) throws(ReplicationError) {
    self.machine = machine
    let commit = min(group.commit, Slot(group.index.count))
    var reply = Reply()
    var entries: [Entry] = []
    for (position, location) in group.index.enumerated() {
      let slot = Slot(position) + 1
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
      let payload = EntryPayload(frame, WireHeader(trusting: frame.span))
      if slot > commit {
        entries.append(WireHeader(trusting: frame.span).entry(payload))
        continue
      }
      let context = Applier.advance(&self.machine, &logTime, payload.time, group: id, slot: slot)
      Applier.apply(payload.body, context, &self.machine, &sessions, &reply) { _, _ in }
    }
    paxos = Recovered(
      promised: group.promised, commit: commit, applied: commit, entries: entries)
  }
}
