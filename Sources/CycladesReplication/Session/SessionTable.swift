import CycladesPaxos

/// Which requests have been applied, so that one that arrives twice is applied once.
///
/// Replicated state: every replica of a group decides the same from the same entries. A session is
/// one run of a node; its requests to a group are numbered 1, 2, 3… and applied in that order only.
/// A request that comes again gets the reply it got; one that comes too early, because an earlier one
/// was lost with a leader, is turned away and sent again behind it.
///
/// Sessions are bounded: beyond `sessionsMax`, the one unused for the most slots is forgotten. A node
/// that finds its session forgotten must treat what it had in flight as of unknown outcome.
struct SessionTable {
  /// What to do with a request.
  enum Verdict: Equatable {
    /// Apply it, then `record` its replies.
    case apply
    /// It was applied: here are its replies.
    case replay([UInt8])
    /// It was applied, and its origin has the replies.
    case forgotten
    /// A request before it is missing: `expected` comes next.
    case early(expected: UInt64)
  }

  private struct Session {
    var id: UInt64
    var next: UInt64
    var lastSlot: Slot
    var replies: [(sequence: UInt64, bytes: [UInt8])] = []
  }

  private var sessions: [Session] = []
  let sessionsMax: Int

  init(sessionsMax: Int = 1024) {
    precondition(sessionsMax > 0)
    self.sessionsMax = sessionsMax
  }

  /// The number of sessions remembered.
  var count: Int { sessions.count }

  /// Judges a request of the entry in `slot`, and forgets replies below its floor.
  ///
  /// - Complexity: O(sessions), which are as many as nodes that wrote lately.
  mutating func admit(_ request: RequestHeader, slot: Slot) -> Verdict {
    let position = find(request.session, slot)
    sessions[position].lastSlot = slot
    sessions[position].replies.removeAll { $0.sequence < request.floor }
    let next = sessions[position].next
    if request.sequence == next { return .apply }
    if request.sequence > next { return .early(expected: next) }
    for reply in sessions[position].replies where reply.sequence == request.sequence {
      return .replay(reply.bytes)
    }
    return .forgotten
  }

  /// Remembers the replies to a request that was admitted and applied.
  mutating func record(_ request: RequestHeader, replies: [UInt8]) {
    guard let position = sessions.firstIndex(where: { $0.id == request.session }) else {
      preconditionFailure("a request was applied without a session")
    }
    precondition(sessions[position].next == request.sequence, "requests are applied in order")
    sessions[position].next += 1
    sessions[position].replies.append((request.sequence, replies))
  }

  private mutating func find(_ id: UInt64, _ slot: Slot) -> Int {
    if let position = sessions.firstIndex(where: { $0.id == id }) { return position }
    if sessions.count == sessionsMax {
      // The oldest use goes; the order of entry, the same everywhere, breaks ties.
      let oldest = sessions.indices.min { sessions[$0].lastSlot < sessions[$1].lastSlot }!
      sessions.remove(at: oldest)
    }
    sessions.append(Session(id: id, next: 1, lastSlot: slot))
    return sessions.count - 1
  }
}
