import CycladesReplication
import CycladesStore

/// One command that several shards answer in parts, such as MGET over keys of three shards.
///
/// Every part is linearizable by itself; the command as a whole is not one atomic step.
final class Gather {
  /// One shard's share of the command.
  struct Part {
    var duty: ReplyQueue.Duty
    /// Which of the command's keys this shard holds, counted from 0.
    var keys: [Int]
  }

  let parts: [Part]
  private var join: ReplyJoin
  private var outstanding: Int
  private var done = 0
  private var isUnknown = false
  private var refusal: [UInt8]?

  init(_ join: ReplyJoin, parts: [Part]) {
    self.join = join
    self.parts = parts
    outstanding = parts.count
  }

  /// Takes in the reply of one part, or the error line that stands for its outcome; true when it was
  /// the last one.
  func receive(part: Int, _ outcome: Outcome, _ reply: RawSpan) -> Bool {
    precondition(outstanding > 0, "every part answers once")
    outstanding -= 1
    switch outcome {
    case .done:
      done += 1
      join.add(reply, keys: parts[part].keys)
    case .notDone:
      refusal = refusal ?? [UInt8](copying: reply)
    case .unknown:
      isUnknown = true
    }
    return outstanding == 0
  }

  /// Appends the one reply to the whole command, once every part is in.
  func finish(into reply: inout Reply) {
    precondition(outstanding == 0, "a gather ends with its last part")
    let isWrite = parts.contains { $0.duty.isWrite }
    if isWrite, isUnknown {
      Refusals.unknown(&reply)
    } else if isWrite, refusal != nil, done > 0 {
      Refusals.executedInPart(&reply)
    } else if let refusal {
      reply.append(contentsOf: refusal)
    } else if isUnknown {
      Refusals.unknown(&reply)
    } else {
      join.finish(into: &reply)
    }
  }
}
