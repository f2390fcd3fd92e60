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
  /// The first outcome other than done; unknown outranks any refusal.
  private var failure: Outcome?

  init(_ join: ReplyJoin, parts: [Part]) {
    self.join = join
    self.parts = parts
    outstanding = parts.count
  }

  /// Takes in the outcome of one part, and its reply if it is done; true when it was the last one.
  func receive(part: Int, _ outcome: Outcome, _ reply: RawSpan) -> Bool {
    precondition(outstanding > 0, "every part answers once")
    outstanding -= 1
    switch outcome {
    case .done:
      done += 1
      join.add(reply, keys: parts[part].keys)
    case .notDone:
      failure = failure ?? outcome
    case .unknown:
      failure = outcome
    }
    return outstanding == 0
  }

  /// What became of the whole command, once every part is in.
  var outcome: Outcome { failure ?? .done }

  /// Appends the one reply to the whole command, once every part is in.
  func finish(into reply: inout Reply) {
    precondition(outstanding == 0, "a gather ends with its last part")
    guard let failure else { return join.finish(into: &reply) }
    let isWrite = parts.contains { $0.duty.isWrite }
    if isWrite, done > 0, failure != .unknown {
      Refusals.executedInPart(&reply)
    } else {
      Refusals.append(failure, to: &reply)
    }
  }
}
