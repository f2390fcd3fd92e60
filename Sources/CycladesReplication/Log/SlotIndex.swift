import CycladesPaxos

/// Where the newest durable record of each slot of a group stands: a stretch of slots without a gap.
///
/// ```
///   slots   1 ............ base | base + 1 ............ last |
///           in a snapshot       | in the log                 | nothing yet
/// ```
struct SlotIndex {
  /// Everything up to this slot has left the log, or was never in it: a snapshot stands for it.
  private(set) var base: Slot
  private var locations: [LogLocation] = []

  init(base: Slot = 0) { self.base = base }

  /// The last slot with a record; `base` when there is none.
  var last: Slot { base + Slot(locations.count) }

  /// Whether no slot has a record.
  var isEmpty: Bool { locations.isEmpty }

  /// The record of a slot; `nil` outside of `base + 1 ... last`.
  subscript(slot: Slot) -> LogLocation? {
    slot > base && slot <= last ? locations[Int(slot - base) - 1] : nil
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
