import CycladesPaxos
import CycladesSimulator
import Testing

@Suite struct LinearizabilityTests {
  typealias Register = Observation<Action, Int>
  private let checker = LinearizabilityChecker(RegisterSpecification())

  @Test("a sequential history is linearizable")
  func sequential() {
    #expect(
      checker.check([
        Register(.write(1), 0, call: 1, end: 2), Register(.read, 1, call: 3, end: 4),
        Register(.compareAndSet(expected: 1, new: 2), 1, call: 5, end: 6),
        Register(.read, 2, call: 7, end: 8),
      ]) == .linearizable)
  }

  @Test("a stale read is a violation")
  func staleRead() {
    #expect(
      checker.check([
        Register(.write(1), 0, call: 1, end: 2), Register(.read, 0, call: 3, end: 4),
      ]) == .violation)
  }

  @Test("a read that overlaps a write may see it or not")
  func overlap() {
    for found in [0, 1] {
      #expect(
        checker.check([
          Register(.write(1), 0, call: 1, end: 4), Register(.read, found, call: 2, end: 3),
        ]) == .linearizable)
    }
  }

  @Test("what one read saw a later read may not unsee")
  func readsGoForward() {
    #expect(
      checker.check([
        Register(.write(1), 0, call: 1, end: 10), Register(.read, 1, call: 2, end: 3),
        Register(.read, 0, call: 4, end: 5),
      ]) == .violation)
  }

  @Test("an operation without an answer may take effect late, or never")
  func unknownOutcome() {
    let unknown = Register(.write(1), nil, call: 1, end: .max)
    #expect(
      checker.check([unknown, Register(.read, 0, call: 2, end: 3)]) == .linearizable)
    #expect(
      checker.check([
        unknown, Register(.read, 0, call: 2, end: 3), Register(.read, 1, call: 4, end: 5),
      ]) == .linearizable)
    #expect(
      checker.check([
        unknown, Register(.read, 1, call: 2, end: 3), Register(.read, 0, call: 4, end: 5),
      ]) == .violation)
  }

  @Test("two compare-and-sets cannot both find the same value")
  func lostUpdate() {
    #expect(
      checker.check([
        Register(.compareAndSet(expected: 0, new: 1), 0, call: 1, end: 3),
        Register(.compareAndSet(expected: 0, new: 2), 0, call: 2, end: 4),
      ]) == .violation)
  }

  @Test("a search that would take too long is given up and says so")
  func givesUp() {
    var impatient = checker
    impatient.maximumSteps = 3
    let writes = (1...8).map { Register(.write($0), 0, call: UInt64($0), end: 100) }
    #expect(impatient.check(writes) == .undecided)
    #expect(checker.check(writes) == .linearizable)
  }

  @Test("the search agrees with trying all orders, on random histories")
  func againstAllOrders() {
    var random = SplitMix(seed: 5)
    var verdicts: [Verdict: Int] = [:]
    for _ in 0..<600 {
      let history = (0..<Int(random.next() % 6)).map { index in
        let call = random.next() % 12
        let action: Action =
          switch random.next() % 3 {
          case 0: .read
          case 1: .write(Int(random.next() % 3))
          default: .compareAndSet(expected: Int(random.next() % 3), new: Int(random.next() % 3))
          }
        let isUnknown = random.next() % 5 == 0
        return Register(
          action, isUnknown ? nil : Int(random.next() % 3), call: call,
          end: isUnknown ? .max : call + 1 + random.next() % 6)
      }
      let verdict = checker.check(history)
      verdicts[verdict, default: 0] += 1
      #expect(verdict == (hasOrder(history, 0) ? .linearizable : .violation))
    }
    #expect(verdicts[.linearizable, default: 0] > 50 && verdicts[.violation, default: 0] > 50)
  }

  private func hasOrder(_ rest: [Register], _ state: Int) -> Bool {
    if rest.isEmpty { return true }
    for (index, next) in rest.enumerated() {
      // Nothing that ended before this was called may be left for later.
      guard rest.allSatisfy({ $0.end >= next.call }) else { continue }
      guard let after = RegisterSpecification().step(state, next.input, next.output) else {
        continue
      }
      var others = rest
      others.remove(at: index)
      if hasOrder(others, after) { return true }
    }
    return false
  }
}
