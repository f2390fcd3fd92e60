/// Keeps the commands of one connection to one shard in the order they were sent.
///
/// The log keeps writes in order by itself. Reads travel beside the log, so two cases need care:
/// a read behind an unfinished write of its own connection goes through the log as well, and a write
/// behind an unfinished read waits until that read is answered. Commands for different shards are
/// concurrent: a client that needs an order between them awaits the reply.
struct ProgramOrder {
  /// How a command may be sent now.
  enum Passage {
    case read
    case write
    /// Not yet: reads of this connection are unfinished in that group.
    case hold
  }

  /// Unfinished commands per group; a group never has both kinds.
  private var reads: [UInt32]
  private var writes: [UInt32]

  init(groups: Int) {
    reads = [UInt32](repeating: 0, count: groups)
    writes = reads
  }

  /// Decides how the next command for a group may be sent.
  func passage(for group: UInt32, isReadOnly: Bool) -> Passage {
    if isReadOnly { return writes[Int(group)] == 0 ? .read : .write }
    return reads[Int(group)] == 0 ? .write : .hold
  }

  /// Notes a command that was sent.
  mutating func began(_ duty: ReplyQueue.Duty) {
    if duty.isWrite { writes[Int(duty.group)] += 1 } else { reads[Int(duty.group)] += 1 }
  }

  /// Notes that a command was answered.
  mutating func ended(_ duty: ReplyQueue.Duty) {
    if duty.isWrite { writes[Int(duty.group)] -= 1 } else { reads[Int(duty.group)] -= 1 }
  }
}
