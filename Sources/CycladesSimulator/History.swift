/// What the clients asked and were answered.
struct History {
  struct Operation {
    var key: Int
    var action: Action
    var call: UInt64
    /// When the answer came; nil while, and if, there is none.
    var end: UInt64?
    var found: Int?
    /// Certainly never done: as if it had never been asked.
    var isVoid = false
  }

  private(set) var operations: [Operation] = []
  /// Orders calls and returns, also those of one instant.
  private var stamp: UInt64 = 0
  private(set) var acknowledged = 0

  mutating func begin(_ action: Action, key: Int) -> Int {
    stamp += 1
    operations.append(Operation(key: key, action: action, call: stamp))
    return operations.count - 1
  }

  mutating func finish(_ operation: Int, found: Int) {
    stamp += 1
    acknowledged += 1
    operations[operation].end = stamp
    operations[operation].found = found
  }

  mutating func abandon(_ operation: Int) { operations[operation].isVoid = true }

  /// The key whose operations have no linearization; nil when there is none such.
  ///
  /// Operations that may or may not have been done make the search costly, so those that left no
  /// mark are set aside: all values written are different, and a value that nobody found cannot
  /// explain anything that anybody was answered.
  func check(keys: Int) -> (key: Int, verdict: Verdict)? {
    var undecided: Int?
    for key in 0..<keys {
      let found = valuesFound(key)
      var observations: [Observation<Action, Int>] = []
      for operation in operations where operation.key == key && !operation.isVoid {
        if let end = operation.end {
          observations.append(
            Observation(operation.action, operation.found, call: operation.call, end: end))
        } else if let value = operation.action.written, found.contains(value) {
          observations.append(
            Observation(operation.action, nil, call: operation.call, end: .max))
        }
      }
      switch LinearizabilityChecker(RegisterSpecification()).check(observations) {
      case .linearizable: continue
      case .violation: return (key, .violation)
      case .undecided: undecided = key
      }
    }
    return undecided.map { ($0, .undecided) }
  }
}

extension History {
  /// The values of a key that an answer shows to have been there: those that somebody found, and
  /// those that a compare-and-set must have found to write another one of them.
  private func valuesFound(_ key: Int) -> Set<Int> {
    var found: Set<Int> = []
    for operation in operations where operation.key == key {
      if let value = operation.found { found.insert(value) }
    }
    var hasGrown = true
    while hasGrown {
      hasGrown = false
      for operation in operations where operation.key == key {
        if case .compareAndSet(let expected, let new) = operation.action, found.contains(new),
          found.insert(expected).inserted
        {
          hasGrown = true
        }
      }
    }
    return found
  }
}

extension Action {
  /// The value that the action leaves behind if it takes effect.
  var written: Int? {
    switch self {
    case .read: nil
    case .write(let value), .compareAndSet(_, let value): value
    }
  }
}
