/// What an object would do if its operations came one at a time.
public protocol Specification {
  /// A state of the object.
  associatedtype State: Hashable
  /// What an operation asks.
  associatedtype Input
  /// What an operation answers.
  associatedtype Output

  /// The state before the first operation.
  var initial: State { get }

  /// The state after an operation, or nil when it cannot answer this in this state.
  ///
  /// A nil output is one that nobody saw: any answer is possible.
  func step(_ state: State, _ input: Input, _ output: Output?) -> State?
}

/// One operation as its caller saw it.
public struct Observation<Input, Output> {
  /// What was asked.
  public var input: Input
  /// What was answered; nil when no answer came.
  public var output: Output?
  /// When it was asked, on a clock that orders all calls and returns.
  public var call: UInt64
  /// When the answer came; `UInt64.max` when none did, and then it may take effect at any later time.
  public var end: UInt64

  /// Makes an observation.
  public init(_ input: Input, _ output: Output?, call: UInt64, end: UInt64) {
    precondition(call < end)
    self.input = input
    self.output = output
    self.call = call
    self.end = end
  }
}

/// What a search for a linearization found.
public enum Verdict: Hashable, Sendable {
  /// There is an order in which all answers are right.
  case linearizable
  /// There is none.
  case violation
  /// The search was given up after as many steps as it was allowed.
  case undecided
}

/// Decides whether a history is linearizable, by Wing and Gong's search with Lowe's memory.
///
/// The search takes operations in an order that respects real time, as far as their answers fit the
/// specification, and turns back at the first return whose operation could not be taken. It never
/// visits a pair (set of taken operations, state) twice. (Wing and Gong, "Testing and verifying
/// concurrent objects", 1993; Lowe, "Testing for linearizability", 2017.)
///
/// Check keys that do not influence each other apart: the cost is exponential in the number of
/// operations that overlap, in the worst case.
public struct LinearizabilityChecker<S: Specification> {
  private struct Visited: Hashable {
    var taken: [UInt64]
    var state: S.State
  }

  /// What the object should do.
  public let specification: S
  /// How many operations the search may try to take before it gives up.
  public var maximumSteps: Int

  /// Makes a checker.
  public init(_ specification: S, maximumSteps: Int = 2_000_000) {
    self.specification = specification
    self.maximumSteps = maximumSteps
  }

  /// Searches for a linearization of the history.
  public func check(_ history: [Observation<S.Input, S.Output>]) -> Verdict {
    var events = EventList(history)
    var state = specification.initial
    var taken = [UInt64](repeating: 0, count: (history.count + 63) / 64)
    var visited: Set<Visited> = []
    var path: [(operation: Int, state: S.State)] = []
    var steps = 0
    var current = events.first
    while !events.isEmpty {
      let operation = events.operation(current)
      if events.isCall(current) {
        steps += 1
        guard steps <= maximumSteps else { return .undecided }
        let observation = history[operation]
        if let next = specification.step(state, observation.input, observation.output) {
          taken[operation / 64] |= 1 << UInt64(operation % 64)
          if visited.insert(Visited(taken: taken, state: next)).inserted {
            path.append((operation, state))
            state = next
            events.remove(operation)
            current = events.first
            continue
          }
          taken[operation / 64] &= ~(1 << UInt64(operation % 64))
        }
        current = events.next(current)
      } else {
        guard let (last, before) = path.popLast() else { return .violation }
        state = before
        taken[last / 64] &= ~(1 << UInt64(last % 64))
        events.insert(last)
        current = events.next(events.call(of: last))
      }
    }
    return .linearizable
  }
}

/// The calls and returns of a history in order of time, as a doubly linked list that gives up an
/// operation and takes it back in O(1).
private struct EventList {
  // Event 0 is the head; `order` holds the operation of each event, calls and returns alike.
  private var next: [Int]
  private var previous: [Int]
  private var operations: [Int]
  private var calls: [Int]
  private var returns: [Int]

  init<Input, Output>(_ history: [Observation<Input, Output>]) {
    var times: [(time: UInt64, isReturn: Bool, operation: Int)] = []
    for (operation, observation) in history.enumerated() {
      times.append((observation.call, false, operation))
      times.append((observation.end, true, operation))
    }
    // Calls first among equals: what touches may overlap.
    times.sort {
      if $0.time != $1.time { return $0.time < $1.time }
      if $0.isReturn != $1.isReturn { return !$0.isReturn }
      return $0.operation < $1.operation
    }
    let count = times.count + 1
    next = (1...count).map { $0 % count }
    previous = (0..<count).map { ($0 + count - 1) % count }
    operations = [-1] + times.map(\.operation)
    calls = Array(repeating: 0, count: history.count)
    returns = calls
    for (index, event) in times.enumerated() {
      if event.isReturn {
        returns[event.operation] = index + 1
      } else {
        calls[event.operation] = index + 1
      }
    }
  }

  var isEmpty: Bool { next[0] == 0 }
  var first: Int { next[0] }
  func next(_ event: Int) -> Int { next[event] }
  func operation(_ event: Int) -> Int { operations[event] }
  func isCall(_ event: Int) -> Bool { calls[operations[event]] == event }
  func call(of operation: Int) -> Int { calls[operation] }

  mutating func remove(_ operation: Int) {
    unlink(calls[operation])
    unlink(returns[operation])
  }

  /// Undoes the last `remove` that is not undone yet.
  mutating func insert(_ operation: Int) {
    link(returns[operation])
    link(calls[operation])
  }

  private mutating func unlink(_ event: Int) {
    next[previous[event]] = next[event]
    previous[next[event]] = previous[event]
  }

  private mutating func link(_ event: Int) {
    next[previous[event]] = event
    previous[next[event]] = event
  }
}

/// One register that can be read, written, and compared and set.
public struct RegisterSpecification: Specification {
  /// The value before the first write.
  public let initial = 0

  /// Makes the specification of a register that starts at zero.
  public init() {}

  /// A read or a compare-and-set answers the value it found; a write answers nothing of note.
  public func step(_ state: Int, _ input: Action, _ output: Int?) -> Int? {
    switch input {
    case .read: return output ?? state == state ? state : nil
    case .write(let new): return new
    case .compareAndSet(let expected, let new):
      guard output ?? state == state else { return nil }
      return state == expected ? new : state
    }
  }
}
