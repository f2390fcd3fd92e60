import CycladesReplication
import CycladesStore

/// The error replies for commands that were not executed, or whose outcome nobody knows.
///
/// The first word is what client libraries act on: they retry after CLUSTERDOWN and TRYAGAIN, follow
/// MOVED, and treat any other as final. Nothing here is sent by guess: CLUSTERDOWN, TRYAGAIN and MOVED
/// promise that the command had no effect.
enum Refusals {
  /// Appends the error for an outcome other than done.
  static func append(_ outcome: Outcome, to reply: inout Reply) {
    switch outcome {
    case .done: preconditionFailure("a command that was executed has a reply of its own")
    case .unknown: unknown(&reply)
    case .notDone(let refusal):
      switch refusal {
      case .noLeader: noLeader(&reply)
      case .overloaded:
        reply.appendError("TRYAGAIN the shard has too many commands in flight; not executed")
      case .tooLarge:
        reply.appendError("ERR the command is larger than a log entry may be; not executed")
      case .noSuchGroup: noLeader(&reply)
      case .stopping:
        reply.appendError("TRYAGAIN this node is stopping; not executed")
      }
    }
  }

  static func unknown(_ reply: inout Reply) {
    reply.appendError(
      "UNKNOWNOUTCOME the command may or may not have been executed: contact with the shard's "
        + "leader was lost before it answered")
  }

  static func executedInPart(_ reply: inout Reply) {
    reply.appendError(
      "UNKNOWNOUTCOME the command was executed for the keys of some shards only: the others refused"
    )
  }

  static func noLeader(_ reply: inout Reply) {
    reply.appendError(
      "CLUSTERDOWN the shard of this key has no leader: most of its replicas cannot be reached; "
        + "not executed")
  }

  static func moved(to address: ClientAddress, slot: KeySlot, _ reply: inout Reply) {
    reply.appendError("MOVED \(slot.rawValue) \(address.host):\(address.port)")
  }

  static func listening(_ command: Command, _ reply: inout Reply) {
    reply.appendError(
      "ERR Can't execute '\(command.name)': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
        + "RESET are allowed in this context")
  }

  static func outOfMemory(_ reply: inout Reply) {
    reply.appendError("OOM command not allowed when used memory > 'maxmemory'.")
  }

  static func crossSlot(_ reply: inout Reply) {
    reply.appendError("CROSSSLOT Keys in request don't hash to the same slot")
  }

  static func crossShard(_ reply: inout Reply) {
    reply.appendError(
      "CROSSSLOT Keys in request are in different shards; put the same {tag} into them")
  }
}
