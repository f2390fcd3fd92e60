/// The stretch of the log that the protocol still needs in memory, as a ring of slots.
///
/// ```
///            floor                                   last
///   released   |  (floor, last]: what was accepted    |  nothing yet
/// ```
///
/// A slot is released when nobody here needs it: it is decided, it is durable, and, at a leader, no
/// living peer lacks it. Whoever needs it later gets it out of the shell's log.
struct Window {
  private struct Cell {
    var ballot: Ballot
    var commit: Slot
    var token: UInt64
    var payload: Payload?
  }

  private static var empty: Cell { Cell(ballot: .zero, commit: 0, token: 0, payload: nil) }

  private var cells: [Cell]
  /// The last slot that was released.
  private(set) var floor: Slot
  /// The last slot that holds an entry.
  private(set) var last: Slot

  init(floor: Slot, capacity: Int) {
    self.floor = floor
    last = floor
    cells = Array(repeating: Window.empty, count: Window.roundUp(capacity))
  }

  /// A power of two, so that a slot finds its cell by its low bits.
  private static func roundUp(_ capacity: Int) -> Int {
    var rounded = 8
    while rounded < capacity { rounded *= 2 }
    return rounded
  }

  private func index(_ slot: Slot) -> Int {
    Int(truncatingIfNeeded: slot) & (cells.count - 1)
  }

  /// Whether the entry of a slot is here: a damaged one is not.
  func holds(_ slot: Slot) -> Bool {
    slot > floor && slot <= last && cells[index(slot)].payload != nil
  }

  /// The entry of a slot that is here.
  func entry(_ slot: Slot) -> Entry {
    precondition(holds(slot))
    let cell = cells[index(slot)]
    return Entry(slot: slot, ballot: cell.ballot, commit: cell.commit, payload: cell.payload!)
  }

  /// The ballot in which the entry of a slot was accepted.
  func ballot(_ slot: Slot) -> Ballot {
    precondition(holds(slot))
    return cells[index(slot)].ballot
  }

  /// The token with which the entry of a slot becomes durable.
  func token(_ slot: Slot) -> UInt64 {
    precondition(holds(slot))
    return cells[index(slot)].token
  }

  /// Puts an entry into the slot behind the last, or in place of another one.
  ///
  /// - Complexity: O(1), amortised.
  mutating func store(_ entry: Entry, token: UInt64) {
    precondition(entry.slot > floor && entry.slot <= last + 1)
    last = max(last, entry.slot)
    if last - floor > Slot(cells.count) { grow() }
    cells[index(entry.slot)] = Cell(
      ballot: entry.ballot, commit: entry.commit, token: token, payload: entry.payload)
  }

  /// Makes room for a slot behind the last, whose entry is damaged.
  mutating func storeDamaged(_ slot: Slot) {
    precondition(slot == last + 1)
    last = slot
    if last - floor > Slot(cells.count) { grow() }
    cells[index(slot)] = Window.empty
  }

  /// The stretch of slots from this one on in which all damaged ones lie.
  func damage(from first: Slot) -> ClosedRange<Slot>? {
    var damage: ClosedRange<Slot>?
    var slot = max(first, floor + 1)
    while slot <= last {
      if !holds(slot) { damage = (damage?.lowerBound ?? slot)...slot }
      slot += 1
    }
    return damage
  }

  /// Lets go of all slots up to this one.
  mutating func release(through slot: Slot) {
    precondition(slot <= last)
    while floor < slot {
      floor += 1
      cells[index(floor)].payload = nil
    }
  }

  /// Goes on behind a slot that may lie beyond the last; what is behind it stays.
  mutating func skip(through slot: Slot) {
    if slot > floor { release(through: min(slot, last)) }
    floor = max(floor, slot)
    last = max(last, slot)
  }

  private mutating func grow() {
    let old = cells
    cells = Array(repeating: Window.empty, count: old.count * 2)
    for slot in floor + 1..<last {
      cells[index(slot)] = old[Int(truncatingIfNeeded: slot) & (old.count - 1)]
    }
  }
}
