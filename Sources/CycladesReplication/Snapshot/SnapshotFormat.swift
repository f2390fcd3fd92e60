import CycladesPaxos
import CycladesTransport

/// A snapshot is a file of frames, the same that carry it to a peer:
///
/// ```
///   head                          part 1          part 2     ...   end
///   log time, members, sessions   state           state            nothing
///
///   header of each:  group   slot = the last one applied   extra = a random number of the snapshot
///                    token = 0, 1, 2 ... its place          time = log time (head)
/// ```
///
/// The number and the place are under the header's checksum, so a frame of another snapshot, or of
/// another place in this one, is never taken for what belongs there. A replica that installs a
/// snapshot keeps the frames as they came, and can serve them in turn.
enum SnapshotFormat {
  /// What a part of a machine's state aims at, in bytes.
  static let partBytesTarget = 256 << 10
  /// The most a part may have, in bytes.
  static let partBytesMax = 64 << 20

  private static let prefix = "snapshot-"
  static let unfinished = ".new"

  /// The name of the file of a complete snapshot.
  static func name(group: UInt32, slot: Slot) -> String {
    func digits(_ number: UInt64, _ count: Int) -> String {
      let text = String(number)
      return String(repeating: "0", count: max(0, count - text.count)) + text
    }
    return prefix + digits(UInt64(group), 5) + "-" + digits(slot, 20)
  }

  /// The group and slot in a file's name; `nil` when it is not a complete snapshot's.
  static func parse(_ name: String) -> (group: UInt32, slot: Slot)? {
    guard name.hasPrefix(prefix) else { return nil }
    let parts = name.dropFirst(prefix.count).split(separator: "-")
    guard parts.count == 2, let group = UInt32(parts[0]), let slot = Slot(parts[1]),
      name == self.name(group: group, slot: slot)
    else { return nil }
    return (group, slot)
  }

  /// Whether a file was left behind by a snapshot that was never finished.
  static func isUnfinished(_ name: String) -> Bool {
    name.hasPrefix(prefix) && name.hasSuffix(unfinished)
  }
}

/// Which snapshot: what all its frames have in common.
struct SnapshotID: Hashable {
  var group: UInt32
  var slot: Slot
  var number: UInt64

  /// What a frame says it belongs to.
  init(_ header: WireHeader) {
    group = header.group
    slot = header.slot
    number = header.extra
  }

  init(group: UInt32, slot: Slot, number: UInt64) {
    self.group = group
    self.slot = slot
    self.number = number
  }

  /// The header of the frame in a place of this snapshot, or about it.
  func header(
    _ kind: WireHeader.Kind, place: Int, cluster: UInt64, node: NodeID, bodyByteCount: Int = 0
  ) -> WireHeader {
    var header = WireHeader(
      kind: kind, cluster: cluster, group: group, sender: node, bodyByteCount: bodyByteCount)
    header.slot = slot
    header.extra = number
    header.token = UInt64(place)
    return header
  }
}

/// What a replica holds beside its machine, as of a slot: the body of a snapshot's head.
struct SnapshotHead {
  var logTime: UInt64 = 0
  /// Who the members are behind the slot; `nil` when they never changed.
  var schedule: MembershipSchedule?
  var sessions = SessionTable()
  /// The digest of all replies.
  var chain: UInt64 = 0

  func encode() -> [UInt8] {
    var output = Reply()
    output.append(littleEndian: logTime)
    output.append(littleEndian: chain)
    let schedule = schedule?.encoded ?? []
    output.append(littleEndian: UInt32(schedule.count))
    output.append(contentsOf: schedule)
    sessions.encode(into: &output)
    return output.bytes
  }

  /// Makes the head of a group without a past, or with the one given.
  init(
    logTime: UInt64 = 0, schedule: MembershipSchedule? = nil,
    sessions: SessionTable = SessionTable(), chain: UInt64 = 0
  ) {
    self.logTime = logTime
    self.schedule = schedule
    self.sessions = sessions
    self.chain = chain
  }

  /// Reads the body of a head; `nil` when it is none.
  init?(_ body: RawSpan) {
    var input = SpanReader(body)
    guard let logTime = input.read(UInt64.self), let chain = input.read(UInt64.self),
      let size = input.read(UInt32.self),
      let encoded = input.read(byteCount: Int(size)), let sessions = SessionTable(&input),
      input.isAtEnd
    else { return nil }
    if !encoded.isEmpty {
      guard let schedule = MembershipSchedule(decoding: encoded) else { return nil }
      self.schedule = schedule
    }
    self.logTime = logTime
    self.sessions = sessions
    self.chain = chain
  }
}

/// A complete and durable snapshot of a group, and where its frames stand in the file.
struct StoredSnapshot {
  var id: SnapshotID
  var path: String
  /// The offset of each frame, and behind them that of the end of the file.
  var offsets: [Int]

  var slot: Slot { id.slot }
  var frameCount: Int { offsets.count - 1 }
  var byteCount: Int { offsets.last! }
}

/// Takes the frames of one snapshot in order, from a file or from a peer, and builds the state.
struct SnapshotAssembly {
  /// What the frames amount to.
  struct State {
    var machine: any StateMachine
    var head: SnapshotHead
  }

  enum Progress {
    case more
    case complete(State)
  }

  let id: SnapshotID
  private var machine: any StateMachine
  private var head: SnapshotHead?
  /// The place of the frame that comes next.
  private(set) var next = 0

  /// - Parameter machine: A machine just made.
  init(_ id: SnapshotID, _ machine: any StateMachine) {
    self.id = id
    self.machine = machine
  }

  /// Takes the next frame, whose checksums were verified; `nil` when it is not what comes next, or
  /// not what the machine can read.
  mutating func take(_ header: WireHeader, _ body: RawSpan) -> Progress? {
    guard SnapshotID(header) == id, header.token == UInt64(next) else { return nil }
    defer { next += 1 }
    switch header.kind {
    case .snapshotHead where next == 0:
      head = SnapshotHead(body)
      return head == nil ? nil : .more
    case .snapshotPart where next > 0:
      do {
        try machine.restore(body)
      } catch {
        return nil
      }
      return .more
    case .snapshotEnd where next > 0:
      guard let head else { return nil }
      return .complete(State(machine: machine, head: head))
    default: return nil
    }
  }
}
