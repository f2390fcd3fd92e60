// Linearizable reads by read-index: a round of heartbeats proves that nobody else led when it began.
//
// A read waits for two things: a quorum must confirm, in a round that began after the read came, that
// it has promised no higher ballot; and what was decided when it came must be applied, the opening
// no-op of the ballot at the least. Rounds are numbered for the life of the core and echoed with the
// ballot, so no answer to an earlier round or leader can ever be taken for a later one.

/// The reads that wait at a leader.
struct Reads {
  struct Waiting {
    var id: UInt64
    var round: UInt64
    var slot: Slot
  }

  /// The newest round of heartbeats, and the newest that a quorum echoed.
  var sentRound: UInt64 = 0
  var confirmedRound: UInt64 = 0
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
}

extension Paxos {
  mutating func read(_ id: UInt64) {
    guard role == .leader, reads.count < configuration.maximumReads else {
      outbox.append(.readRefused(id: id))
      return
    }
    if mutation.contains(.readUnconfirmed) {
      outbox.append(.readReady(id: id))
      return
    }
    // While a round is under way all new reads share the next one.
    reads.append(
      Reads.Waiting(
        id: id, round: reads.sentRound + 1,
        slot: mutation.contains(.readEarly) ? commit : max(commit, proposer.opening)))
    if reads.confirmedRound == reads.sentRound { sendHeartbeats() }
  }

  /// Answers the reads that a quorum has confirmed and whose slot is applied.
  mutating func confirmReads() {
    if let own { peers[own].echo = reads.sentRound }
    reads.confirmedRound = max(reads.confirmedRound, highest(\.echo))
    // New members may tell of slots that nobody knew when the read came: then the ballot opens later.
    while let read = reads.first, read.round <= reads.confirmedRound, read.slot <= commit,
      proposer.opening <= commit || mutation.contains(.readEarly)
    {
      outbox.append(.readReady(id: read.id))
      reads.removeFirst()
    }
    if let last = reads.last, last.round > reads.sentRound,
      reads.confirmedRound == reads.sentRound
    {
      sendHeartbeats()
    }
  }

  mutating func refuseReads() {
    while let read = reads.first {
      outbox.append(.readRefused(id: read.id))
      reads.removeFirst()
    }
  }
}
