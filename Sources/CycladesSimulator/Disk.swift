import CycladesPaxos

/// A log on a disk that forgets, in a crash, what it had not reported as durable.
///
/// Writes are one sequence and become durable in groups, as with one sync at a time. A crash keeps
/// any subset of the writes under way; recovery reads up to the first one that is missing.
struct Disk {
  private enum Record {
    case promise(Ballot)
    case entry(Entry)
  }

  /// What a restart would read.
  private(set) var promised = Ballot.zero
  /// The highest ballot promised in so many words: learned entries may be of higher ones.
  private(set) var vow = Ballot.zero
  private(set) var entries: [Entry] = []
  private(set) var commit: Slot = 0
  private var pending: [(record: Record, token: UInt64)] = []
  /// How many of the pending writes the sync under way covers; zero when there is none.
  private var syncing = 0
  var stalledUntil: UInt64 = 0

  var isSyncing: Bool { syncing > 0 }

  /// Whether a write waits for a sync that nobody has started.
  var needsSync: Bool { syncing == 0 && !pending.isEmpty }

  mutating func write(_ promise: Ballot, token: UInt64) {
    pending.append((.promise(promise), token))
  }

  mutating func write(_ entry: Entry, token: UInt64) {
    pending.append((.entry(entry), token))
  }

  mutating func startSync() { syncing = pending.count }

  /// Ends the sync and returns the token up to which all is durable.
  mutating func finishSync() -> UInt64 {
    let token = pending[syncing - 1].token
    keep(syncing)
    syncing = 0
    return token
  }

  private mutating func keep(_ count: Int) {
    for (record, _) in pending.prefix(count) {
      switch record {
      case .promise(let ballot):
        promised = max(promised, ballot)
        vow = max(vow, ballot)
      case .entry(let entry):
        promised = max(promised, entry.ballot)
        commit = max(commit, entry.commit)
        if entry.slot <= Slot(entries.count) {
          entries[Int(entry.slot) - 1] = entry
        } else {
          precondition(entry.slot == Slot(entries.count) + 1, "a gap in the log")
          entries.append(entry)
        }
      }
    }
    pending.removeFirst(count)
  }

  mutating func crash(random: inout SplitMix) {
    var survivors = 0
    if random.chance(500) {
      while survivors < pending.count, random.chance(800) { survivors += 1 }
    }
    keep(survivors)
    pending = []
    syncing = 0
  }

  /// Whether the entry of a slot, in whatever ballot, is durable with this value.
  func holds(_ payload: Payload, in slot: Slot) -> Bool {
    slot <= Slot(entries.count) && entries[Int(slot) - 1].payload === payload
  }
}
