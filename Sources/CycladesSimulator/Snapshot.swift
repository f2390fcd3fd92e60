import CycladesPaxos

/// The state of a machine after a slot, as its words.
struct Snapshot {
  var slot: Slot
  var words: [Int]
  /// Who governs behind the slot.
  var schedule: MembershipSchedule
  var hash: UInt64

  init(slot: Slot, words: [Int], schedule: MembershipSchedule) {
    self.slot = slot
    self.words = words
    self.schedule = schedule
    hash = Snapshot.hash(words)
  }

  /// The words in parts of a few each; the last part may be shorter.
  func part(_ index: Int, size: Int) -> [Int] {
    Array(words.dropFirst(index * size).prefix(size))
  }

  static func hash(_ words: [Int]) -> UInt64 {
    words.reduce(0xCBF2_9CE4_8422_2325) { hash, word in
      let mixed = (hash ^ UInt64(bitPattern: Int64(word))) &* 0x0000_0100_0000_01B3
      return mixed ^ mixed >> 29
    }
  }
}

/// What nodes say to each other about a snapshot, beside the messages of the protocol.
enum Transfer {
  /// "I have this one": the answer to a fetch from before the beginning of the log.
  case offer(slot: Slot, hash: UInt64, words: Int, schedule: MembershipSchedule)
  /// "Give me this part of it."
  case pull(slot: Slot, hash: UInt64, part: Int)
  case part(slot: Slot, hash: UInt64, part: Int, words: [Int])
}

/// A snapshot on its way: its parts come in order, from whoever has the same one.
struct Download {
  var slot: Slot
  var hash: UInt64
  var total: Int
  var schedule: MembershipSchedule
  var source: Int
  var words: [Int] = []
  var parts = 0
  var pulledAt: UInt64 = 0
  /// When the last part came, or the first was asked for.
  var progressAt: UInt64
  var isBeingStored = false
}
