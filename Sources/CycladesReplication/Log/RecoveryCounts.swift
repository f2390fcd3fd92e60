/// What a start, or the scrubber, can find in a data folder; each case is counted.
///
/// A write is the records of one sync; see `cyc_log_write.h` for how its parity gives back any sector,
/// or a run of 4 KiB of a larger write. "Confirmed" is a write that was certainly durable: a later one stands behind it, or the
/// superblock says so.
///
/// | case               | found                                         | done                         |
/// |--------------------|-----------------------------------------------|------------------------------|
/// | `wholeWrite`       | all records and the parity are intact         | taken                        |
/// | `parityRepaired`   | the records are intact, the parity is not     | taken, parity written anew   |
/// | `recordsRepaired`  | a run of records was given back by the parity | taken, written back in place |
/// | `tornWrite`        | beyond repair, and never confirmed            | cut off: nobody was told     |
/// | `recordSalvaged`   | an intact record of a write beyond repair     | taken                        |
/// | `entryDamaged`     | only the header of an entry is intact         | its slot is unknown          |
/// | `entryLost`        | only its prefix is, which names the group     | what may have been           |
/// |                    |                                               | undecided there is unknown   |
/// | `bytesLost`        | nothing                                       | the same, in all groups      |
/// | `slotUnknown`      | of these, one slot each                       | no vote on it; fetched       |
/// | `stateLost`        | a group's log begins behind its snapshot      | the group is begun anew,     |
/// |                    |                                               | without a vote at first      |
/// | `snapshotRepaired` | a snapshot with a damaged run                 | given back by its parity     |
/// | `snapshotDamaged`  | one beyond repair                             | passed over                  |
/// | `superblockCopy`   | a damaged or old copy of the superblock       | written anew                 |
public enum RecoveryCase: String, CaseIterable, Sendable {
  case wholeWrite, parityRepaired, recordsRepaired, tornWrite, recordSalvaged, entryDamaged
  case entryLost, bytesLost, slotUnknown, stateLost, snapshotRepaired, snapshotDamaged
  case superblockCopy
}

/// How often each case was met.
public struct RecoveryCounts: Sendable, Hashable {
  private var counts: [RecoveryCase: UInt64] = [:]

  /// Makes counts of nothing.
  public init() {}

  /// How often a case was met.
  public subscript(_ kind: RecoveryCase) -> UInt64 {
    get { counts[kind] ?? 0 }
    set { counts[kind] = newValue }
  }

  /// Whether anything but whole writes was met.
  public var isClean: Bool {
    RecoveryCase.allCases.allSatisfy { $0 == .wholeWrite || self[$0] == 0 }
  }

  /// Adds what another start, or another part of one, met.
  public mutating func add(_ other: RecoveryCounts) {
    for (kind, count) in other.counts { counts[kind, default: 0] += count }
  }
}

extension RecoveryCounts: CustomStringConvertible {
  /// The cases that were met, in the order of the table.
  public var description: String {
    RecoveryCase.allCases.filter { self[$0] > 0 }.map { "\($0.rawValue) \(self[$0])" }
      .joined(separator: ", ")
  }
}
