package import CycladesPaxos

/// What happened in a run: always as a hash, on demand also as text.
struct Trace {
  /// Equal hashes mean equal runs.
  private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325
  private(set) var lines: [String] = []
  var isRecording: Bool
  private let limit = 4_000
  /// A bit for each kind of message seen, as numbered in `mix`.
  private(set) var kinds: UInt64 = 0

  init(isRecording: Bool) { self.isRecording = isRecording }

  mutating func mix(_ value: UInt64) {
    hash = (hash ^ value) &* 0x0000_0100_0000_01B3
    hash ^= hash >> 29
  }

  /// Adds a line; it is made only when somebody wants to read it.
  mutating func note(at time: UInt64, _ text: @autoclosure () -> String) {
    guard isRecording else { return }
    if lines.count == 2 * limit { lines.removeFirst(limit) }
    let microseconds = String(time / 1000)
    let stamp = String(repeating: " ", count: max(0, 9 - microseconds.count)) + microseconds
    lines.append("\(stamp) us  \(text())")
  }

  mutating func mix(_ message: Message) {
    func mix(_ kind: UInt64, _ ballot: Ballot = .zero, _ a: UInt64 = 0, _ b: UInt64 = 0) {
      kinds |= 1 << kind
      self.mix(kind)
      self.mix(ballot.round)
      self.mix(UInt64(ballot.node.rawValue))
      self.mix(a)
      self.mix(b)
    }
    switch message {
    case .canvass(let commit, let token): mix(1, .zero, commit, token)
    case .canvassReply(let granted, let promised, let commit, let token):
      mix(granted ? 2 : 3, promised, commit, token)
    case .prepare(let ballot, let from, let handover): mix(4, ballot, from, handover?.round ?? 0)
    case .readIndex(let token): mix(16, .zero, token)
    case .readIndexReply(let token, let slot): mix(17, .zero, token, slot)
    case .promise(let ballot, let from, let commit, let entries, let unknown):
      mix(5, ballot, from, commit)
      self.mix(unknown?.lowerBound ?? 0)
      self.mix(unknown?.upperBound ?? 0)
      for entry in entries { mix(6, entry.ballot, entry.slot, entry.payload.checksum.low) }
    case .reject(let round, let promised, let commit): mix(7, promised, round, commit)
    case .accept(let entry): mix(8, entry.ballot, entry.slot, entry.payload.checksum.low)
    case .accepted(let ballot, let through): mix(9, ballot, through)
    case .heartbeat(let ballot, let commit, let last, let round):
      mix(10, ballot, commit, last)
      self.mix(round)
    case .heartbeatReply(let ballot, let through, let round): mix(11, ballot, through, round)
    case .audit(let ballot, let slot, let digest, let isVerdict):
      mix(18, ballot, slot, digest)
      self.mix(isVerdict ? 1 : 0)
    case .auditReply(let ballot, let slot, let digest): mix(19, ballot, slot, digest)
    case .fetch(let from): mix(12, .zero, from)
    case .stand(let ballot): mix(15, ballot)
    case .learn(let entries):
      mix(13)
      for entry in entries { mix(14, entry.ballot, entry.slot, entry.payload.checksum.low) }
    }
  }
}

/// A message in the words of a trace.
package func describe(_ message: Message) -> String {
  func list(_ entries: [Entry]) -> String {
    entries.map { "\($0.slot)@\($0.ballot)" }.joined(separator: " ")
  }
  switch message {
  case .canvass(let commit, _): return "canvass commit \(commit)"
  case .canvassReply(let granted, let promised, let commit, _):
    return "canvass \(granted ? "yes" : "no") promised \(promised) commit \(commit)"
  case .prepare(let ballot, let from, let handover):
    return "prepare \(ballot) from \(from)\(handover.map { " after \($0)" } ?? "")"
  case .readIndex: return "read index?"
  case .readIndexReply(_, let slot): return "read index \(slot)"
  case .promise(let ballot, _, let commit, let entries, let unknown):
    let damage = unknown.map { " unknown \($0.lowerBound)...\($0.upperBound)" } ?? ""
    return "promise \(ballot) commit \(commit) [\(list(entries))]\(damage)"
  case .stand(let ballot): return "stand after \(ballot)"
  case .reject(let round, let promised, let commit):
    return "reject round \(round) promised \(promised) commit \(commit)"
  case .accept(let entry): return "accept \(entry.slot)@\(entry.ballot) commit \(entry.commit)"
  case .accepted(let ballot, let through): return "accepted \(ballot) through \(through)"
  case .heartbeat(let ballot, let commit, let last, let round):
    return "heartbeat \(ballot) commit \(commit) last \(last) round \(round)"
  case .heartbeatReply(let ballot, let through, let round):
    return "heartbeat reply \(ballot) through \(through) round \(round)"
  case .audit(let ballot, let slot, _, let isVerdict):
    return "\(isVerdict ? "verdict" : "audit") \(ballot) behind \(slot)"
  case .auditReply(let ballot, let slot, _): return "audit reply \(ballot) behind \(slot)"
  case .fetch(let from): return "fetch from \(from)"
  case .learn(let entries): return "learn [\(list(entries))]"
  }
}
