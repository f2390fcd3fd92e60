extension WireHeader {
  private static let granted: UInt16 = 1

  /// Makes the header of a message. A `promise` or `learn` has the frames of its entries for a body.
  ///
  /// Not for `accept`: that frame is the entry itself, and the shell has it already.
  public init(
    _ message: Message, cluster: UInt64, group: UInt32, sender: NodeID, bodyByteCount: Int = 0
  ) {
    func header(_ kind: Kind, bodyByteCount: Int = 0) -> WireHeader {
      WireHeader(
        kind: kind, cluster: cluster, group: group, sender: sender, bodyByteCount: bodyByteCount)
    }
    switch message {
    case .canvass(let commit, let token):
      self = header(.canvass)
      self.commit = commit
      self.token = token
    case .canvassReply(let granted, let promised, let commit, let token):
      self = header(.canvassReply)
      flags = granted ? WireHeader.granted : 0
      ballot = promised
      self.commit = commit
      self.token = token
    case .prepare(let ballot, let from, let handover):
      self = header(.prepare)
      self.ballot = ballot
      slot = from
      extra = handover?.round ?? 0
      count = handover?.node.rawValue ?? 0
    case .promise(let ballot, let from, let commit, let entries, let unknown):
      self = header(.promise, bodyByteCount: bodyByteCount)
      self.ballot = ballot
      slot = from
      self.commit = commit
      count = UInt32(entries.count)
      // Slots start at 1, so that a zero says that nothing is damaged.
      token = unknown?.lowerBound ?? 0
      extra = unknown?.upperBound ?? 0
    case .reject(let round, let promised, let commit):
      self = header(.reject)
      extra = round
      ballot = promised
      self.commit = commit
    case .stand(let ballot):
      self = header(.stand)
      self.ballot = ballot
    case .accept:
      preconditionFailure("the frame of an accept is the entry itself")
    case .accepted(let ballot, let through):
      self = header(.accepted)
      self.ballot = ballot
      slot = through
    case .heartbeat(let ballot, let commit, let last, let round):
      self = header(.heartbeat)
      self.ballot = ballot
      self.commit = commit
      slot = last
      token = round
    case .heartbeatReply(let ballot, let through, let round):
      self = header(.heartbeatReply)
      self.ballot = ballot
      slot = through
      token = round
    case .audit(let ballot, let slot, let digest, let isVerdict):
      self = header(.audit)
      flags = isVerdict ? WireHeader.granted : 0
      self.ballot = ballot
      self.slot = slot
      chain = digest
    case .auditReply(let ballot, let slot, let digest):
      self = header(.auditReply)
      self.ballot = ballot
      self.slot = slot
      chain = digest
    case .readIndex(let token):
      self = header(.readIndex)
      self.token = token
    case .readIndexReply(let token, let slot):
      self = header(.readIndexReply)
      self.token = token
      self.slot = slot
    case .fetch(let from):
      self = header(.fetch)
      slot = from
    case .learn(let entries):
      self = header(.learn, bodyByteCount: bodyByteCount)
      slot = entries.first?.slot ?? 0
      count = UInt32(entries.count)
    }
  }

  /// The message that a header stands for; nil when it is none of the protocol's.
  ///
  /// `entries` are those that the caller found in the body of a `promise`, `learn` or `accept` (one);
  /// it must have checked that there are `count` of them.
  public func message(entries: [Entry] = []) -> Message? {
    switch kind {
    case .canvass: return .canvass(commit: commit, token: token)
    case .canvassReply:
      return .canvassReply(
        granted: flags & WireHeader.granted != 0, promised: ballot, commit: commit, token: token)
    case .prepare:
      let handover = Ballot(round: extra, node: NodeID(count))
      return .prepare(ballot, from: slot, after: handover == .zero ? nil : handover)
    case .readIndex: return .readIndex(token: token)
    case .readIndexReply: return .readIndexReply(token: token, slot: slot)
    case .promise:
      guard extra >= token else { return nil }
      return .promise(
        ballot, from: slot, commit: commit, entries: entries,
        unknown: token > 0 ? token...extra : nil)
    case .stand: return .stand(ballot)
    case .reject: return .reject(round: extra, promised: ballot, commit: commit)
    case .accept: return entries.first.map { .accept($0) }
    case .accepted: return .accepted(ballot, through: slot)
    case .heartbeat: return .heartbeat(ballot, commit: commit, last: slot, round: token)
    case .heartbeatReply: return .heartbeatReply(ballot, through: slot, round: token)
    case .audit:
      return .audit(
        ballot, slot: slot, digest: chain, isVerdict: flags & WireHeader.granted != 0)
    case .auditReply: return .auditReply(ballot, slot: slot, digest: chain)
    case .fetch: return .fetch(from: slot)
    case .learn: return .learn(entries)
    default: return nil
    }
  }

  /// Makes the header of an entry's frame: an `accept`, and a record of the log.
  public init(entry: Entry, cluster: UInt64, group: UInt32, bodyByteCount: Int) {
    self.init(
      kind: .accept, cluster: cluster, group: group, sender: entry.ballot.node,
      bodyByteCount: bodyByteCount)
    slot = entry.slot
    ballot = entry.ballot
    commit = entry.commit
  }

  /// The entry that a frame of kind `accept` stands for, with the payload that the caller made of it.
  public func entry(_ payload: Payload) -> Entry {
    Entry(slot: slot, ballot: ballot, commit: commit, payload: payload)
  }
}
