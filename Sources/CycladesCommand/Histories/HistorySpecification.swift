import CycladesSimulator

/// A number under a key: read with GET, set with SET, added to with INCRBY.
struct NumberSpecification: Specification {
  enum Action: Hashable {
    case read
    case write(Int)
    case add(Int)
  }

  let initial = 0

  func step(_ state: Int, _ input: Action, _ output: Int?) -> Int? {
    switch input {
    case .read: return output ?? state == state ? state : nil
    case .write(let number): return number
    case .add(let number):
      let sum = state + number
      return output ?? sum == sum ? sum : nil
    }
  }
}

/// What clients saw of one key.
typealias KeyHistory = [Observation<NumberSpecification.Action, Int>]

/// What one task did, in order: one operation after the other.
struct HistoryRecord {
  struct Operation {
    var key: Int32
    var action: NumberSpecification.Action
    /// `nil` for a write, and for what has no answer.
    var output: Int?
    var call: UInt64
    /// `UInt64.max` where the outcome is unknown.
    var end: UInt64
  }

  var operations: [Operation] = []
  /// Errors by code and outcome.
  var errors: [String: Int] = [:]

  /// The operations of all records, by key.
  static func byKey(_ records: [HistoryRecord], keyCount: Int) -> [KeyHistory] {
    var histories = [KeyHistory](repeating: [], count: keyCount)
    for record in records {
      for operation in record.operations {
        histories[Int(operation.key)].append(
          Observation(
            operation.action, operation.output, call: operation.call, end: operation.end))
      }
    }
    return histories
  }
}
