/// What promises told of undecided slots: for each the entry of the highest ballot.
struct Gathered {
  /// The first slot asked about.
  private(set) var from: Slot
  private var entries: [Entry?] = []

  init(from: Slot) { self.from = from }

  /// The last slot that anybody told an entry of; the one before the first when nobody did.
  var last: Slot { from + Slot(entries.count) - 1 }

  /// The entry that may have been decided in a slot; nil when none was.
  subscript(slot: Slot) -> Entry? {
    slot >= from && slot <= last ? entries[Int(slot - from)] : nil
  }

  /// Adds what one acceptor told. Of two entries the one of the higher ballot may have been decided.
  mutating func add(_ entry: Entry) {
    guard entry.slot >= from else { return }
    let offset = Int(entry.slot - from)
    while entries.count <= offset { entries.append(nil) }
    if let other = entries[offset], other.ballot >= entry.ballot { return }
    entries[offset] = entry
  }

  /// The last slot in which anything may have been accepted.
  func horizon(_ peers: [Peer]) -> Slot {
    peers.reduce(last) { max($0, $1.hasVoted ? $1.unknown?.upperBound ?? 0 : 0) }
  }
}
