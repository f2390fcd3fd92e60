import CycladesPaxos

/// What a client asks of one key.
public enum Action: Hashable, Sendable {
  /// Returns the value.
  case read
  /// Sets the value.
  case write(Int)
  /// Sets the value to `new` if it is `expected`, and returns the value that was found.
  case compareAndSet(expected: Int, new: Int)
}

/// The replicated state machine of the simulation: a few registers, all zero at first, and for every
/// client the last operation done, so that one that is asked again is not done again.
struct Machine: Equatable {
  private(set) var values: [Int]
  /// Of each client: its newest operation, counted from 1, and what that one found.
  private var sessions: [(operation: Int, found: Int)]

  init(keys: Int, clients: Int) {
    values = Array(repeating: 0, count: keys)
    sessions = Array(repeating: (0, 0), count: clients)
  }

  /// Restores what `words` wrote down; nil when it is not from a machine of this size.
  init?(keys: Int, clients: Int, words: [Int]) {
    guard words.count == keys + 2 * clients else { return nil }
    values = Array(words.prefix(keys))
    sessions = stride(from: keys, to: words.count, by: 2).map { (words[$0], words[$0 + 1]) }
  }

  /// The whole state.
  var words: [Int] { values + sessions.flatMap { [$0.operation, $0.found] } }

  /// Applies a command once, however often it comes, and returns the value that was there before.
  ///
  /// Nil when the client has gone on to a later operation: this one is not done any more.
  mutating func apply(_ command: Command) -> Int? {
    guard let attempt = command.attempt else { return 0 }
    let operation = attempt.operation + 1
    let session = sessions[attempt.client]
    guard operation > session.operation else {
      return operation == session.operation ? session.found : nil
    }
    let found = values[command.key]
    switch command.action {
    case .read: break
    case .write(let new): values[command.key] = new
    case .compareAndSet(let expected, let new): if found == expected { values[command.key] = new }
    }
    sessions[attempt.client] = (operation, found)
    return found
  }

  /// Changes without a command, as memory may.
  mutating func goWrong() { values[values.count - 1] ^= 1 << 20 }

  static func == (a: Machine, b: Machine) -> Bool { a.words == b.words }
}

/// One try of a client to get an operation done.
struct Attempt {
  var operation: Int
  var client: Int
  /// Numbers all attempts of a simulation; doubles as the id of a read.
  var number: UInt64
}

/// What a node answers to an attempt.
enum Answer {
  case done(found: Int)
  /// Certainly not done, and never will be.
  case notDone(leader: NodeID?)
  case unknown
}

/// A value of the simulated log: an operation of a client, or a no-op.
final class Command: Payload {
  let attempt: Attempt?
  let key: Int
  let action: Action

  init(_ attempt: Attempt, key: Int, action: Action) {
    self.attempt = attempt
    self.key = key
    self.action = action
    super.init(byteCount: 1, checksum: Checksum(low: attempt.number, high: 1), isNoop: false)
  }

  init(_ membership: Membership, number: UInt64) {
    attempt = nil
    key = 0
    action = .read
    super.init(
      byteCount: 1, checksum: Checksum(low: number, high: 2), isNoop: false,
      membership: membership)
  }

  init(noop number: UInt64) {
    attempt = nil
    key = 0
    action = .read
    super.init(byteCount: 0, checksum: Checksum(low: number, high: 0), isNoop: true)
  }
}
