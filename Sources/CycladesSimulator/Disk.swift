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
  /// The highest ballot promised in so many words: learned entries may be of higher ones. Kept for
  /// the checks alone.
  private(set) var vow = Ballot.zero
  /// The log has nothing up to this slot.
  private(set) var base: Slot = 0
  private(set) var entries: [Entry] = []
  private(set) var commit: Slot = 0
  /// The newest durable snapshot.
  private(set) var snapshot: Snapshot?
  private var pending: [(record: Record, token: UInt64)] = []
  /// How many of the pending writes the sync under way covers; zero when there is none.
  private var syncing = 0
  var stalledUntil: UInt64 = 0
  /// Slots whose record cannot be read any more, until it is written again.
  var damage: Set<Slot> = []

  var isDamaged: Bool { !damage.isEmpty }

  var isSyncing: Bool { syncing > 0 }

  /// Whether a write waits for a sync that nobody has started.
  var needsSync: Bool { syncing == 0 && !pending.isEmpty }

  /// The last slot of the log.
  var last: Slot { base + Slot(entries.count) }

  /// The entries of these slots, as far as the log holds them without a gap from the first on.
  func entries(from first: Slot, through end: Slot) -> ArraySlice<Entry> {
    guard first > base, first <= min(end, last) else { return [] }
    let whole = entries[Int(first - base) - 1..<Int(min(end, last) - base)]
    return isDamaged ? whole.prefix { !damage.contains($0.slot) } : whole
  }

  /// What a replica that has a snapshot of the state after a slot finds behind it.
  func recovered(behind slot: Slot, schedule: MembershipSchedule?) -> Recovered {
    let readable = entries.filter { $0.slot > slot && !damage.contains($0.slot) }
    return Recovered(
      promised: promised, commit: max(commit, slot), applied: slot, entries: readable,
      damaged: damage.filter { $0 > slot }.sorted(), schedule: schedule)
  }

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
        damage.remove(entry.slot)
        // What a snapshot overtook on its way here has no place any more.
        guard entry.slot > base else { continue }
        if entry.slot <= last {
          entries[Int(entry.slot - base) - 1] = entry
        } else {
          precondition(entry.slot == last + 1, "a gap in the log")
          entries.append(entry)
        }
      }
    }
    pending.removeFirst(count)
  }

  /// Takes a snapshot for the newest one, in one atomic step, unless there is a newer one.
  mutating func replace(by snapshot: Snapshot) {
    guard snapshot.slot > self.snapshot?.slot ?? 0 else { return }
    self.snapshot = snapshot
    commit = max(commit, snapshot.slot)
  }

  /// Forgets the entries up to a slot.
  mutating func compact(through slot: Slot, forgettingPromises: Bool) {
    begin(behind: slot)
    if forgettingPromises { promised = entries.reduce(.zero) { max($0, $1.ballot) } }
  }

  /// Lets the log begin behind a slot, which may be beyond its last.
  mutating func begin(behind slot: Slot) {
    guard slot > base else { return }
    entries.removeFirst(min(entries.count, Int(slot - base)))
    base = slot
    damage = damage.filter { $0 > slot }
  }

  /// Gives up all but the promises, the last of which was under way perhaps.
  mutating func giveUp(promising ballot: Ballot) {
    promised = max(promised, ballot)
    vow = max(vow, ballot)
    entries = []
    base = 0
    commit = 0
    snapshot = nil
    pending = []
    syncing = 0
    damage = []
  }

  /// Reads what there is after a start: of a log that ends, or is damaged, before the snapshot the
  /// part up to there is of no use.
  mutating func recover() {
    guard let snapshot else { return }
    if last < snapshot.slot { begin(behind: snapshot.slot) }
    if let damaged = damage.filter({ $0 <= snapshot.slot }).max() { begin(behind: damaged) }
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

  /// Whether it holds a slot, readable, and the word that it is decided.
  func vouches(for slot: Slot) -> Bool {
    slot <= snapshot?.slot ?? 0
      || slot > base && slot <= min(last, commit) && !damage.contains(slot)
  }

  /// Whether the value of a slot is durable here: itself, in whatever ballot, or its effect.
  func holds(_ payload: Payload, in slot: Slot) -> Bool {
    slot <= snapshot?.slot ?? 0
      || slot > base && slot <= last && entries[Int(slot - base) - 1].payload === payload
  }
}
