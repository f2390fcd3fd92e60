/// What a replica finds in its log when it starts.
///
/// The log is one sequence of promises and entries in the order of the `persist` effects. A crash may
/// cut off an end of it whose tokens were never reported as durable, and nothing else. A later entry
/// for a slot replaces an earlier one.
public struct Recovered {
  /// The highest ballot of any promise or entry in the log.
  public var promised: Ballot
  /// A slot up to which everything is known to be decided: the largest `commit` of any entry in the
  /// log will do.
  public var commit: Slot
  /// The slot up to which the shell has applied the log already, or has a snapshot; at most `commit`.
  public var applied: Slot
  /// The entries from `applied + 1` on, without a gap but for the damaged ones.
  public var entries: [Entry]
  /// The slots behind `applied`, in order, whose entry lay in the log and can no longer be read.
  public var damaged: [Slot]
  /// The members behind slot `applied`; nil for those of the configuration.
  public var schedule: MembershipSchedule?

  /// Makes the state of a replica that never ran.
  public init() {
    promised = .zero
    commit = 0
    applied = 0
    entries = []
    damaged = []
  }

  /// Makes the state found in a log.
  public init(
    promised: Ballot, commit: Slot, applied: Slot, entries: [Entry], damaged: [Slot] = [],
    schedule: MembershipSchedule? = nil
  ) {
    self.promised = promised
    self.commit = commit
    self.applied = applied
    self.entries = entries
    self.damaged = damaged
    self.schedule = schedule
  }

  /// The last slot of the log.
  var last: Slot { applied + Slot(entries.count + damaged.count) }

  /// The slots known to be decided and readable one behind the other.
  var decided: Slot { min(commit, damaged.first.map { $0 - 1 } ?? commit) }

  func validate() throws(PaxosError) {
    guard applied <= commit, commit <= last else {
      throw PaxosError(
        .invalidRecovery, "applied \(applied), commit \(commit) and last slot \(last) disagree")
    }
    var expected = applied
    var holes = damaged[...]
    for entry in entries {
      expected += 1
      while holes.first == expected {
        holes.removeFirst()
        expected += 1
      }
      guard entry.slot == expected else {
        throw PaxosError(.invalidRecovery, "slot \(entry.slot) stands where \(expected) belongs")
      }
    }
    for hole in holes {
      expected += 1
      guard hole == expected else {
        throw PaxosError(.invalidRecovery, "slot \(hole) is damaged where \(expected) belongs")
      }
    }
  }
}
