internal import CycladesReplication

/// How the scores of a member that several sorted sets hold become one.
private enum Aggregate {
  case sum, min, max

  func callAsFunction(_ a: Double, _ b: Double) -> Double {
    switch self {
    case .sum:
      let sum = a + b
      return sum.isNaN ? 0 : sum  // of two infinities
    case .min: return Swift.min(a, b)
    case .max: return Swift.max(a, b)
    }
  }
}

/// The sorted sets, or sets, that a command combines, and how.
private struct Combination {
  let operation: SetOperation
  private(set) var keys: [(argument: Int, weight: Double)] = []
  private(set) var aggregate = Aggregate.sum
  private(set) var withScores = false

  /// Reads the options behind the keys; `nil` after an error, which is then answered.
  init?(
    _ call: borrowing Invocation, _ arguments: Range<Int>, _ operation: SetOperation,
    stores: Bool, _ reply: inout Reply
  ) {
    self.operation = operation
    keys = arguments.map { ($0, 1) }
    var index = arguments.upperBound
    while index < call.count {
      let rest = call.count - index
      if operation != .difference, rest >= keys.count + 1, call.arguments.equals(index, "WEIGHTS") {
        for number in keys.indices {
          guard let weight = call[index + 1 + number].parsedDouble(.strict) else {
            reply.appendError("ERR weight value is not a float")
            return nil
          }
          keys[number].weight = weight
        }
        index += keys.count
      } else if operation != .difference, rest >= 2, call.arguments.equals(index, "AGGREGATE") {
        index += 1
        if call.arguments.equals(index, "SUM") {
          aggregate = .sum
        } else if call.arguments.equals(index, "MIN") {
          aggregate = .min
        } else if call.arguments.equals(index, "MAX") {
          aggregate = .max
        } else {
          reply.appendSyntaxError()
          return nil
        }
      } else if !stores, call.arguments.equals(index, "WITHSCORES") {
        withScores = true
      } else {
        reply.appendSyntaxError()
        return nil
      }
      index += 1
    }
  }

  /// Puts smaller collections first, as Redis does, since the order of additions is seen in sums.
  mutating func sortBySize(_ size: (Int) -> Int) {
    guard operation != .difference else { return }
    keys = keys.enumerated().sorted { a, b in
      let (x, y) = (size(a.element.argument), size(b.element.argument))
      return x != y ? x < y : a.offset < b.offset
    }.map(\.element)
  }
}

/// Combinations of sorted sets.
extension Shard {
  mutating func combineSorted(
    _ call: borrowing Invocation, _ operation: SetOperation, _ reply: inout Reply
  ) {
    guard let keys = scoredKeys(call, at: 0, &reply),
      let combination = Combination(call, keys, operation, stores: false, &reply)
    else { return }
    let result = combine(call, combination)
    let isNested = combination.withScores && call.version == .v3
    reply.appendArray(combination.withScores && !isNested ? result.count * 2 : result.count)
    for index in result.order {
      if isNested { reply.appendArray(2) }
      reply.appendBulk(result.members[index])
      if combination.withScores { reply.appendDouble(result.scores[index], call.version) }
    }
  }

  mutating func storeSorted(
    _ call: borrowing Invocation, _ operation: SetOperation, _ reply: inout Reply
  ) {
    guard let keys = scoredKeys(call, at: 1, &reply),
      let combination = Combination(call, keys, operation, stores: true, &reply)
    else { return }
    let result = combine(call, combination)
    store(result, at: call[0])
    reply.appendInteger(Int64(result.count))
  }

  mutating func countSortedIntersection(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let keys = scoredKeys(call, at: 0, &reply),
      let limit = call.limit(from: keys.upperBound, &reply)
    else { return }
    let smallest = keys.min { count(of: call[$0]) < count(of: call[$1]) }!
    var found = 0
    forEachScored(call[smallest]) { member, _ in
      if keys.allSatisfy({ $0 == smallest || score(of: member, in: call[$0]) != nil }) {
        found += 1
      }
      return found == 0 || found != limit
    }
    reply.appendInteger(Int64(found))
  }

  private func combine(_ call: borrowing Invocation, _ given: Combination) -> ScoredBuffer {
    var combination = given
    combination.sortBySize { count(of: call[$0]) }
    let (keys, aggregate) = (combination.keys, combination.aggregate)
    var result = ScoredBuffer()
    func weighted(_ score: Double, _ weight: Double) -> Double {
      let product = score * weight
      return product.isNaN ? 0 : product  // of infinity and zero
    }
    for (number, key) in keys.enumerated() {
      forEachScored(call[key.argument]) { member, score in
        func otherScore(_ number: Int) -> Double? {
          self.score(of: member, in: call[keys[number].argument])
        }
        switch combination.operation {
        case .difference:
          if (1..<keys.count).contains(where: { otherScore($0) != nil }) { return true }
          result.append(member, score)
        case .intersection, .union:
          if (0..<number).contains(where: { otherScore($0) != nil }) { return true }
          var total = weighted(score, key.weight)
          for other in keys.indices.dropFirst(number + 1) {
            if let score = otherScore(other) {
              total = aggregate(total, weighted(score, keys[other].weight))
            } else if combination.operation == .intersection {
              return true
            }
          }
          result.append(member, total)
        }
        return true
      }
      if combination.operation != .union { break }
    }
    return result
  }

  /// The keys behind their number at an argument, which must hold members or be missing; answers when
  /// it is otherwise. Redis looks at them before it reads the options.
  private func scoredKeys(
    _ call: borrowing Invocation, at index: Int, _ reply: inout Reply
  ) -> Range<Int>? {
    guard let keys = call.scoredKeys(at: index, &reply) else { return nil }
    for index in keys where !admitsScored(call[index], &reply) { return nil }
    return keys
  }

  /// Whether a key is missing or holds members, with scores or without; answers when it does not.
  private func admitsScored(_ key: RawSpan, _ reply: inout Reply) -> Bool {
    guard let entry = table.find(key) else { return true }
    let kind = ValueKind(stored: entry.kind)
    if kind == .set || kind == .sortedSet { return true }
    reply.appendWrongType()
    return false
  }

  /// The score of a member; 1 in a set.
  private func score(of member: RawSpan, in key: RawSpan) -> Double? {
    guard let entry = table.find(key) else { return nil }
    let members = Collection(entry)
    let (rank, isThere) = members.find(member)
    guard isThere else { return nil }
    return ValueKind(stored: entry.kind) == .set ? 1 : members.value(rank).double
  }

  private func forEachScored(_ key: RawSpan, _ visit: (RawSpan, Double) -> Bool) {
    guard let entry = table.find(key) else { return }
    let isSet = ValueKind(stored: entry.kind) == .set
    let members = Collection(entry)
    members.forEach(0..<members.count) { visit($0, isSet ? 1 : $1.double) }
  }
}

extension Invocation {
  /// The keys behind their number at an argument; answers when that is no number of keys.
  fileprivate func scoredKeys(at index: Int, _ reply: inout Reply) -> Range<Int>? {
    guard let count = self[index].integer else {
      reply.appendNotInteger()
      return nil
    }
    guard count >= 1 else {
      reply.appendError("ERR at least 1 input key is needed for '\(command.name)' command")
      return nil
    }
    guard count <= Int64(self.count - index - 1) else {
      reply.appendSyntaxError()
      return nil
    }
    return index + 1..<index + 1 + Int(count)
  }
}
