import CycladesReplication
import CycladesStore
import CycladesTransport

/// A pop (BLPOP and its kin) of one connection, from its first try to its reply.
///
/// A shard never waits: it carries the pop out or answers null at once, as one entry of its log. The
/// waiting is done here, by the node that has the client, and each further try is a fresh entry. So a
/// shard holds nothing for a client, and a leader that goes away takes nobody's place in a queue along.
///
/// Nothing is popped for nobody, as far as a server can know it:
///  - At most one try is under way, and a timeout that comes meanwhile waits for its outcome: a client
///    is never told that it got nothing while it gets something.
///  - A client that closes, or ends its input, while it waits is taken off the queue at once.
///  - When it does so with a try under way, and the try succeeds, the elements are put back where they
///    were taken from (`undo`). Until that is decided others see them missing, as if they had been
///    popped and pushed.
///  - What remains is what TCP cannot tell: a reply on its way to a client that is already gone.
final class BlockedPop {
  /// Why a wait ends without an element.
  enum Ending { case timeout, error }

  let connection: ConnectionID
  let sequence: UInt64
  let duty: ReplyQueue.Duty
  let command: Command
  let keys: [[UInt8]]
  /// The command as it is tried.
  let packed: [UInt8]
  /// The side from which a list is popped, or the end of a sorted set.
  let isFromLeft: Bool
  let version: RESPVersion
  /// True while a try is under way.
  var isTrying = false
  /// True when a key was written to during a try, whose outcome may precede it.
  var isStale = false
  /// How the wait ends when the try under way finds nothing.
  var ending: Ending?
  var timer: Timer?

  init(
    connection: ConnectionID, sequence: UInt64, duty: ReplyQueue.Duty, command: Command,
    keys: [[UInt8]], packed: [UInt8], isFromLeft: Bool, version: RESPVersion
  ) {
    self.connection = connection
    self.sequence = sequence
    self.duty = duty
    self.command = command
    self.keys = keys
    self.packed = packed
    self.isFromLeft = isFromLeft
    self.version = version
  }

  var context: RequestContext { Ticket(sequence: sequence).context(of: connection) }

  /// The request that puts back what a try popped; `nil` when nothing was lost, since the command
  /// moves elements to where they can be found.
  func undo(_ reply: RawSpan) -> [[UInt8]]? {
    var words = RESPReader.strings(reply)
    guard words.count >= 2 else { return nil }
    let key = words.removeFirst()
    switch command.name {
    case "blpop", "brpop", "blmpop":
      // The element popped last is pushed first.
      return [Array((isFromLeft ? "LPUSH" : "RPUSH").utf8), key] + words.reversed()
    case "bzpopmin", "bzpopmax", "bzmpop":
      // Scores and members change places. A member that was added again meanwhile stays.
      var pairs: [[UInt8]] = []
      for index in stride(from: 0, to: words.count - 1, by: 2) {
        pairs += [words[index + 1], words[index]]
      }
      return [Array("ZADD".utf8), key, Array("NX".utf8)] + pairs
    default: return nil
    }
  }
}

/// The pops of a node's clients that wait, by key, those that wait longest first.
///
/// The order holds among the clients of one node. Between nodes whoever's try is decided first gets
/// the element.
struct BlockedPops {
  private struct Key: Hashable {
    var group: UInt32
    var bytes: [UInt8]
  }

  private var queues: [Key: [BlockedPop]] = [:]
  /// Pops by the number of keys under which they wait, per group.
  private(set) var groups: [UInt32: Int] = [:]
  /// Which copy of a shard knows that somebody waits; another takes its place after a snapshot.
  var copies: [UInt32: ObjectIdentifier] = [:]
  /// Pops under way whose client has left.
  private var orphans: [RequestContext: BlockedPop] = [:]
  private(set) var count = 0
  /// Keys that lost their last waiter, which a shard has not been told yet.
  private var forgotten: Set<Key> = []
  /// True while a look at the shards is due.
  var isRetryDue = false

  var isEmpty: Bool { count == 0 }

  /// Whether anybody waits for a key.
  func hasWaiters(_ group: UInt32, _ key: [UInt8]) -> Bool {
    queues[Key(group: group, bytes: key)] != nil
  }

  mutating func add(_ pop: BlockedPop) {
    count += 1
    groups[pop.duty.group, default: 0] += 1
    for key in Set(pop.keys) {
      queues[Key(group: pop.duty.group, bytes: key), default: []].append(pop)
    }
  }

  /// Takes a pop off its queues.
  mutating func remove(_ pop: BlockedPop) {
    count -= 1
    groups[pop.duty.group]! -= 1
    if groups[pop.duty.group] == 0 {
      groups[pop.duty.group] = nil
      copies[pop.duty.group] = nil
    }
    for bytes in Set(pop.keys) {
      let key = Key(group: pop.duty.group, bytes: bytes)
      queues[key]?.removeAll { $0 === pop }
      guard queues[key]?.isEmpty == true else { continue }
      queues[key] = nil
      forgotten.insert(key)
    }
  }

  /// The keys that nobody waits for any more.
  mutating func takeForgotten() -> [(group: UInt32, key: [UInt8])] {
    if forgotten.isEmpty { return [] }
    defer { forgotten = [] }
    return forgotten.filter { queues[$0] == nil }.map { ($0.group, $0.bytes) }
  }

  /// The pops that wait for a key, in order.
  func queue(_ group: UInt32, _ key: [UInt8]) -> [BlockedPop] {
    queues[Key(group: group, bytes: key)] ?? []
  }

  /// The keys of a group that somebody waits for.
  func keys(of group: UInt32) -> [[UInt8]] {
    queues.keys.lazy.filter { $0.group == group }.map(\.bytes)
  }

  mutating func leave(_ pop: BlockedPop) { orphans[pop.context] = pop }

  mutating func takeOrphan(_ context: RequestContext) -> BlockedPop? {
    orphans.isEmpty ? nil : orphans.removeValue(forKey: context)
  }
}
