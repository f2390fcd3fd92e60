internal import CycladesReplication

/// The number of one command of a client's session.
struct CommandNumber: Equatable {
  var session: UInt64
  /// 1, 2, 3, ... in the order in which the client made the commands up.
  var sequence: UInt64
  /// Below it the client waits for no reply any more.
  var floor: UInt64

  init(session: UInt64, sequence: UInt64, floor: UInt64) {
    self.session = session
    self.sequence = sequence
    self.floor = floor
  }

  /// Reads a number from the first three arguments of a packed command; `nil` when it is none.
  init?(_ parts: Arguments) {
    guard let session = parts.integer(0), let sequence = parts.integer(1),
      let floor = parts.integer(2), session > 0, floor > 0, sequence >= floor
    else { return nil }
    self.init(
      session: UInt64(session), sequence: UInt64(sequence), floor: UInt64(floor))
  }
}

/// What a shard remembers of the clients that number their commands, so that one which is sent again,
/// through whatever node, is carried out once.
///
/// The rules are those of Lee, Park, Kejriwal, Matsushita, Ousterhout: *Implementing Linearizability
/// at Large Scale and Low Latency* (SOSP 2015). Of each session the replies to commands are kept
/// until the client says that it has them, by a greater floor. A command
///
///  - with a reply is answered with that;
///  - below the floor was answered before, or given up: it is late, and refused;
///  - else is carried out. Commands of one session may arrive in any order.
///
/// A session begins with a number given out by the shard, never twice: a command of a session that
/// has been forgotten is refused, and never taken for a new one. So forgetting is always safe, and
/// memory has a bound: beyond `sessionsMax` the session that was used least recently goes, and
/// replies that would make those kept exceed `bytesMax` are not kept, only that they were given.
struct ClientSessions: Equatable {
  static let sessionsMax = 4096
  /// Commands of a session that may be without acknowledgement.
  static let windowMax: UInt64 = 1024
  static let bytesMax = 16 << 20

  enum Verdict: Equatable {
    case perform
    case replay([UInt8])
    case refuse(String)
  }

  private struct Session: Equatable {
    var id: UInt64
    var floor: UInt64 = 1
    /// The slot of the log at which it was used last.
    var lastSlot: UInt64
    /// In the order of their sequences; `nil` where the reply was not kept.
    var replies: [(sequence: UInt64, bytes: [UInt8]?)] = []

    static func == (a: Session, b: Session) -> Bool {
      a.id == b.id && a.floor == b.floor && a.lastSlot == b.lastSlot
        && a.replies.elementsEqual(b.replies) { $0.sequence == $1.sequence && $0.bytes == $1.bytes }
    }
  }

  /// In the order of their numbers.
  private var sessions: [Session] = []

  /// The bytes that sessions and their replies take, by estimate.
  private(set) var byteCount = 0

  /// The number of the session that began last.
  var lastID: UInt64 = 0

  private static let sessionBytes = 64
  private static let replyBytes = 32

  /// The number of sessions.
  var count: Int { sessions.count }

  /// Begins a session; returns its number. At most one begins per slot and call of `open`.
  mutating func open(slot: UInt64) -> UInt64 {
    if sessions.count == Self.sessionsMax {
      let oldest = sessions.indices.min { sessions[$0].lastSlot < sessions[$1].lastSlot }!
      let gone = sessions.remove(at: oldest)
      byteCount -= Self.sessionBytes
      for reply in gone.replies { byteCount -= Self.weight(reply.bytes) }
    }
    // Slots grow, and one entry may begin several sessions.
    lastID = max(lastID + 1, slot << 10)
    sessions.append(Session(id: lastID, lastSlot: slot))
    byteCount += Self.sessionBytes
    return lastID
  }

  /// Judges a command, and forgets the replies below its floor.
  ///
  /// - Complexity: O(log *s* + *w*) for *s* sessions with *w* replies kept.
  mutating func admit(_ number: CommandNumber, slot: UInt64) -> Verdict {
    guard let index = index(of: number.session) else {
      return .refuse("NOSESSION the session is not known to this shard; not executed")
    }
    sessions[index].lastSlot = slot
    if number.floor > sessions[index].floor {
      sessions[index].floor = number.floor
      let kept = sessions[index].replies.firstIndex { $0.sequence >= number.floor }
      let end = kept ?? sessions[index].replies.count
      for reply in sessions[index].replies[..<end] { byteCount -= Self.weight(reply.bytes) }
      sessions[index].replies.removeSubrange(..<end)
    }
    guard number.sequence >= sessions[index].floor else {
      return .refuse("STALESEQUENCE the command was acknowledged or given up before; not executed")
    }
    guard number.sequence - sessions[index].floor < Self.windowMax else {
      return .refuse(
        "WINDOWFULL a session has at most \(Self.windowMax) commands without acknowledgement; "
          + "not executed")
    }
    let place = place(of: number.sequence, index)
    let replies = sessions[index].replies
    guard place < replies.count, replies[place].sequence == number.sequence else { return .perform }
    guard let bytes = replies[place].bytes else {
      return .refuse("REPLYLOST the command was executed, once; its reply was too large to be kept")
    }
    return .replay(bytes)
  }

  /// Keeps the reply to a command that was admitted and carried out.
  mutating func record(_ number: CommandNumber, reply: [UInt8]) {
    guard let index = index(of: number.session) else {
      preconditionFailure("a command was carried out without its session")
    }
    let fits = byteCount + reply.count + Self.replyBytes <= Self.bytesMax
    let kept = fits ? reply : nil
    byteCount += Self.weight(kept)
    sessions[index].replies.insert((number.sequence, kept), at: place(of: number.sequence, index))
  }

  private static func weight(_ reply: [UInt8]?) -> Int { replyBytes + (reply?.count ?? 0) }

  private func index(of id: UInt64) -> Int? {
    let index = sessions.partition { $0.id >= id }
    return index < sessions.count && sessions[index].id == id ? index : nil
  }

  /// Where the reply to a command is, or belongs.
  private func place(of sequence: UInt64, _ index: Int) -> Int {
    sessions[index].replies.partition { $0.sequence >= sequence }
  }
}

// MARK: - Snapshots

extension ClientSessions {
  /// Appends one session behind its mark; see ``SnapshotFormat``.
  func encode(_ index: Int, into part: inout Reply) {
    let session = sessions[index]
    part.append(littleEndian: session.id)
    part.append(littleEndian: session.floor)
    part.append(littleEndian: session.lastSlot)
    part.append(littleEndian: UInt32(session.replies.count))
    for reply in session.replies {
      part.append(littleEndian: reply.sequence)
      part.append(reply.bytes == nil ? 0 : 1)
      part.append(littleEndian: UInt32(reply.bytes?.count ?? 0))
      part.append(contentsOf: reply.bytes ?? [])
    }
  }

  /// Takes in one session.
  mutating func decode(_ reader: inout SnapshotReader) throws(StoreError) {
    let id: UInt64 = try reader.integer()
    let floor: UInt64 = try reader.integer()
    let lastSlot: UInt64 = try reader.integer()
    let count: UInt32 = try reader.integer()
    var session = Session(id: id, floor: floor, lastSlot: lastSlot)
    guard id > sessions.last?.id ?? 0, id <= lastID, floor > 0, sessions.count < Self.sessionsMax,
      UInt64(count) <= Self.windowMax
    else { throw reader.damage("a session that cannot be") }
    for _ in 0..<count {
      let sequence: UInt64 = try reader.integer()
      let isKept: UInt8 = try reader.integer()
      let size: UInt32 = try reader.integer()
      let bytes = try reader.bytes(size)
      guard sequence >= floor, sequence - floor < Self.windowMax,
        sequence > session.replies.last?.sequence ?? 0, isKept <= 1, isKept == 1 || size == 0
      else { throw reader.damage("a session that cannot be") }
      session.replies.append((sequence, isKept == 1 ? bytes.array : nil))
    }
    sessions.append(session)
    byteCount += Self.sessionBytes
    for reply in session.replies { byteCount += Self.weight(reply.bytes) }
  }
}

extension Array {
  /// The first index whose element fulfils a condition that all behind it fulfil as well.
  fileprivate func partition(_ isBehind: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
