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

  // MARK: Snapshots

  /// Appends the whole table: the same bytes on every replica in the same slot.
  ///
  /// ```
  /// u32 count, then for each session, in the order of entry:
  ///   u64 id, u64 next, u64 last slot, u32 count of replies, then { u64 sequence, u32 size, bytes }
  /// ```
  func encode(into output: inout Reply) {
    output.append(littleEndian: UInt32(sessions.count))
    for session in sessions {
      output.append(littleEndian: session.id)
      output.append(littleEndian: session.next)
      output.append(littleEndian: session.lastSlot)
      output.append(littleEndian: UInt32(session.replies.count))
      for reply in session.replies {
        output.append(littleEndian: reply.sequence)
        output.append(littleEndian: UInt32(reply.bytes.count))
        output.append(contentsOf: reply.bytes)
      }
    }
  }

  /// Reads a table back; `nil` when the bytes are not one.
  init?(_ input: inout SpanReader, sessionsMax: Int = 1024) {
    self.init(sessionsMax: sessionsMax)
    guard let count = input.read(UInt32.self), count <= UInt32(sessionsMax) else { return nil }
    for _ in 0..<count {
      guard let id = input.read(UInt64.self), let next = input.read(UInt64.self), next >= 1,
        let lastSlot = input.read(Slot.self), let replyCount = input.read(UInt32.self)
      else { return nil }
      var session = Session(id: id, next: next, lastSlot: lastSlot)
      for _ in 0..<replyCount {
        guard let sequence = input.read(UInt64.self), let size = input.read(UInt32.self),
          let bytes = input.read(byteCount: Int(size))
        else { return nil }
        session.replies.append((sequence, bytes))
      }
      sessions.append(session)
    }
  }
}
