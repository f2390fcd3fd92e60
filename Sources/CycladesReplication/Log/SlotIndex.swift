import CycladesPaxos

/// Where the newest durable record of each slot of a group stands: a stretch of slots, with a hole
/// wherever a record was damaged and is not replaced yet.
///
/// ```
///   slots   1 ............ base | base + 1 ............ last |
///           in a snapshot       | in the log                 | nothing yet
/// ```
struct SlotIndex {
  /// Everything up to this slot has left the log, or was never in it: a snapshot stands for it.
  private(set) var base: Slot
  private var locations: [LogLocation] = []

  /// Behind every segment, so that a hole keeps none from being dropped.
  private static let hole = LogLocation(segment: .max, offset: 0, byteCount: 0)

  init(base: Slot = 0) { self.base = base }

  /// The last slot with a record or a hole; `base` when there is none.
  var last: Slot { base + Slot(locations.count) }

  /// Whether no slot has a record or a hole.
  var isEmpty: Bool { locations.isEmpty }

  /// The record of a slot; `nil` outside of `base + 1 ... last`, and for a hole.
  subscript(slot: Slot) -> LogLocation? {
    guard slot > base && slot <= last else { return nil }
    let location = locations[Int(slot - base) - 1]
    return location.byteCount == 0 ? nil : location
  }

  /// The slots whose record was damaged.
  ///
  /// - Complexity: O(*n*) in the number of records.
  var holes: [Slot] {
    locations.indices.filter { locations[$0].byteCount == 0 }.map { base + 1 + Slot($0) }
  }

  /// Enters a record of a slot: behind the last, in place of another, or not at all when a snapshot
  /// stands for the slot. False when slots before it are missing.
  mutating func enter(_ location: LogLocation, slot: Slot) -> Bool {
    if slot <= base { return true }
    if slot > last + 1 { return false }
    if slot == last + 1 {
      locations.append(location)
    } else {
      locations[Int(slot - base) - 1] = location
    }
    return true
  }

  /// Makes holes of the slots from one on, through the last.
  mutating func lose(from slot: Slot) {
    guard slot <= last else { return }
    for position in Int(max(slot, base + 1) - base - 1)..<locations.count {
      locations[position] = SlotIndex.hole
    }
  }

  /// Makes a hole of one slot, which may be behind the last.
  mutating func lose(_ slot: Slot) {
    guard slot > base else { return }
    extend(through: slot)
    locations[Int(slot - base) - 1] = SlotIndex.hole
  }

  /// Makes holes behind the last slot, up to this one.
  mutating func extend(through slot: Slot) {
    while last < slot { locations.append(SlotIndex.hole) }
  }

  /// Forgets the records of all slots up to this one, for which a snapshot stands.
  ///
  /// - Complexity: O(*n*) in the number of records that stay.
  mutating func drop(through slot: Slot) {
    guard slot > base else { return }
    if slot >= last {
      locations.removeAll()
    } else {
      locations.removeFirst(Int(slot - base))
    }
    base = slot
  }

  /// The last slot whose record stands in this segment or an earlier one; `base` when none does.
  func last(inSegmentsThrough number: UInt64) -> Slot {
    let position = locations.lastIndex { UInt64($0.segment) <= number }
    return base + Slot((position ?? -1) + 1)
  }
}
