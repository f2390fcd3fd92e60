// Linearizable reads by read-index: a round of heartbeats proves that nobody else led when it began.
//
// A read waits for two things: a quorum must confirm, in a round that began after the read came, that
// it has promised no higher ballot; and what was decided when it came must be applied, the opening
// no-op of the ballot at the least. Rounds are numbered for the life of the core and echoed with the
// ballot, so no answer to an earlier round or leader can ever be taken for a later one.

/// The reads that wait at a leader.
struct Reads {
  /// Who gets the answer.
  enum Origin {
    case client(UInt64)
    case peer(NodeID, token: UInt64)
  }

  struct Waiting {
    var origin: Origin
    var round: UInt64
    var slot: Slot
  }

  /// The newest round of heartbeats, and the newest that a quorum echoed.
  private(set) var sentRound: UInt64 = 0
  private(set) var confirmedRound: UInt64 = 0
  /// When the rounds that nobody has confirmed yet were sent.
  private var unconfirmed: [(round: UInt64, sentAt: UInt64)] = []
  /// When the round was sent that the present lease rests on.
  private(set) var leaseStart: UInt64?
  /// Rounds up to this one are no ground for a lease.
  private var barren: UInt64 = 0
  /// In the order they came, so rounds and slots only grow; the first `head` are answered.
  private var queue: [Waiting] = []
  private var head = 0

  var count: Int { queue.count - head }
  var isEmpty: Bool { count == 0 }
  var first: Waiting? { isEmpty ? nil : queue[head] }
  var last: Waiting? { isEmpty ? nil : queue.last }

  mutating func append(_ read: Waiting) { queue.append(read) }

  mutating func removeFirst() {
    head += 1
    if head == queue.count {
      queue.removeAll(keepingCapacity: true)
      head = 0
    } else if head >= 1024, head * 2 >= queue.count {
      queue.removeFirst(head)
      head = 0
    }
  }

  mutating func beginRound(at time: UInt64) {
    sentRound += 1
    unconfirmed.append((sentRound, time))
  }

  /// Takes a round for confirmed by a quorum, and what came before it.
  mutating func confirm(_ round: UInt64) {
    guard round > confirmedRound else { return }
    confirmedRound = round
    for sent in unconfirmed where sent.round <= round && sent.round > barren {
      leaseStart = sent.sentAt
    }
    unconfirmed.removeAll { $0.round <= round }
  }

  /// Lets no round that was sent so far be the ground of a lease.
  mutating func endLease() {
    leaseStart = nil
    barren = sentRound
  }
}

extension Paxos {
  mutating func read(_ id: UInt64, at time: UInt64?) {
    guard role == .leader, reads.count < configuration.maximumReads else {
      outbox.append(.readRefused(id: id))
      return
    }
    if let time, holdsLease(at: time) {
      outbox.append(.readReady(id: id))
    } else if mutation.contains(.readUnconfirmed) {
      outbox.append(.readReady(id: id))
    } else {
      enqueue(.client(id))
    }
  }

  /// While a round is under way all new reads share the next one.
  mutating func enqueue(_ origin: Reads.Origin) {
    reads.append(
      Reads.Waiting(
        origin: origin, round: reads.sentRound + 1,
        slot: mutation.contains(.readEarly) ? commit : max(commit, proposer.opening)))
    if reads.confirmedRound == reads.sentRound { sendHeartbeats() }
  }

  /// Answers the reads that a quorum has confirmed and whose slot is applied.
  mutating func confirmReads() {
    if let own { peers[own].echo = reads.sentRound }
    reads.confirm(highest(\.echo))
    // New members may tell of slots that nobody knew when the read came: then the ballot opens later.
    while let read = reads.first, read.round <= reads.confirmedRound, read.slot <= commit,
      proposer.opening <= commit || mutation.contains(.readEarly)
    {
      switch read.origin {
      case .client(let id): outbox.append(.readReady(id: id))
      case .peer(let node, let token):
        send(.readIndexReply(token: token, slot: read.slot), to: node)
      }
      reads.removeFirst()
    }
    if let last = reads.last, last.round > reads.sentRound,
      reads.confirmedRound == reads.sentRound
    {
      sendHeartbeats()
    }
  }

  /// Refuses all reads of clients; a peer that asked notices by itself.
  mutating func refuseReads() {
    while let read = reads.first {
      if case .client(let id) = read.origin { outbox.append(.readRefused(id: id)) }
      reads.removeFirst()
    }
    reads.endLease()
  }
}
