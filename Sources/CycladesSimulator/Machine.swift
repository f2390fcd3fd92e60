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

/// The replicated state machine of the simulation: a few registers, all zero at first.
struct Machine: Equatable {
  private(set) var values: [Int]

  init(keys: Int) { values = Array(repeating: 0, count: keys) }

  /// Applies an action and returns the value that was there before.
  mutating func apply(_ action: Action, to key: Int) -> Int {
    let found = values[key]
    switch action {
    case .read: break
    case .write(let new): values[key] = new
    case .compareAndSet(let expected, let new): if found == expected { values[key] = new }
    }
    return found
  }
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

  init(noop number: UInt64) {
    attempt = nil
    key = 0
    action = .read
    super.init(byteCount: 0, checksum: Checksum(low: number, high: 0), isNoop: true)
  }
}
