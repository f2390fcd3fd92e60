internal import CycladesReplication

/// The options of ZADD.
private struct AddOptions {
  var ifMissing = false
  var ifPresent = false
  var ifGreater = false
  var ifLess = false
  var countsChanged = false
  var increments: Bool
  /// The first argument behind the options.
  var first = 1

  init(_ call: borrowing Invocation, increments: Bool) {
    self.increments = increments
    while first < call.count {
      if call.arguments.equals(first, "NX") {
        ifMissing = true
      } else if call.arguments.equals(first, "XX") {
        ifPresent = true
      } else if call.arguments.equals(first, "GT") {
        ifGreater = true
      } else if call.arguments.equals(first, "LT") {
        ifLess = true
      } else if call.arguments.equals(first, "CH") {
        countsChanged = true
      } else if call.arguments.equals(first, "INCR") {
        self.increments = true
      } else {
        break
      }
      first += 1
    }
  }

  /// Why the options and the number of arguments do not go together.
  func refusal(argumentCount: Int) -> StaticString? {
    let rest = argumentCount - first
    if rest % 2 != 0 || rest <= 0 { return "ERR syntax error" }
    if ifMissing && ifPresent { return "ERR XX and NX options at the same time are not compatible" }
    if ifGreater && ifMissing || ifLess && ifMissing || ifGreater && ifLess {
      return "ERR GT, LT, and/or NX options at the same time are not compatible"
    }
    if increments && rest > 2 {
      return "ERR INCR option supports a single increment-element pair"
    }
    return nil
  }
}

/// Sorted sets: single members.
extension Shard {
  mutating func sortedAdd(
    _ call: borrowing Invocation, increments: Bool = false, _ reply: inout Reply
  ) {
    let options = AddOptions(call, increments: increments)
    if let refusal = options.refusal(argumentCount: call.count) {
      return reply.appendError(refusal)
    }
    var scores: [Double] = []
    for index in stride(from: options.first, to: call.count, by: 2) {
      guard let score = call[index].parsedDouble(.strict) else {
        return reply.appendError("ERR value is not a valid float")
      }
      scores.append(score)
    }
    guard admits(call[0], .sortedSet, &reply),
      admitsElements(call, from: options.first + 1, step: 2, &reply)
    else { return }
    if options.increments, let refusal = incrementRefusal(call, options, scores[0]) {
      return reply.appendError(refusal)
    }
    var (added, changed) = (Int64(0), Int64(0))
    var result: Double?
    _ = table.edit(call[0], .sortedSet, creates: !options.ifPresent) { edit in
      for (number, given) in scores.enumerated() {
        let member = call[options.first + 2 * number + 1]
        guard let old = edit.score(of: member) else {
          guard !options.ifPresent else { continue }
          _ = edit.setScore(member, given)
          if member.byteCount > CompactLimits.itemBytes { edit.markLarge() }
          added += 1
          result = given
          continue
        }
        let score = options.increments ? old + given : given
        if options.ifMissing || options.ifGreater && score <= old || options.ifLess && score >= old
        {
          continue
        }
        result = score
        guard score != old else { continue }
        _ = edit.setScore(member, score)
        changed += 1
      }
      if edit.count > CompactLimits.members { edit.markLarge() }
    }
    if added > 0 { noteReady(call[0]) }
    if !options.increments {
      reply.appendInteger(options.countsChanged ? added + changed : added)
    } else if let result {
      reply.appendDouble(result, call.version)
    } else {
      reply.appendNull(call.version)
    }
  }

  /// Why an increment would leave no score.
  private func incrementRefusal(
    _ call: borrowing Invocation, _ options: AddOptions, _ amount: Double
  ) -> StaticString? {
    guard !options.ifMissing, let entry = table.find(call[0]),
      let old = Collection(entry).score(of: call[options.first + 1]), (old + amount).isNaN
    else { return nil }
    return "ERR resulting score is not a number (NaN)"
  }

  mutating func sortedRemove(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard admits(call[0], .sortedSet, &reply) else { return }
    let removed = table.edit(call[0], .sortedSet, creates: false) { edit in
      var removed: Int64 = 0
      for index in 1..<call.count where edit.removeScored(call[index]) { removed += 1 }
      return removed
    }
    reply.appendInteger(removed ?? 0)
  }

  mutating func sortedCount(_ call: borrowing Invocation, _ reply: inout Reply) {
    read(call[0], .sortedSet, &reply, missing: { $0.appendInteger(0) }) { members, reply in
      reply.appendInteger(Int64(members.count))
    }
  }

  mutating func sortedScore(_ call: borrowing Invocation, _ reply: inout Reply) {
    read(call[0], .sortedSet, &reply, missing: { $0.appendNull(call.version) }) { members, reply in
      reply.appendScore(members.score(of: call[1]), call.version)
    }
  }

  mutating func sortedScores(_ call: borrowing Invocation, _ reply: inout Reply) {
    func missing(_ reply: inout Reply) {
      reply.appendArray(call.count - 1)
      for _ in 1..<call.count { reply.appendNull(call.version) }
    }
    read(call[0], .sortedSet, &reply, missing: missing) { members, reply in
      reply.appendArray(call.count - 1)
      for index in 1..<call.count {
        reply.appendScore(members.score(of: call[index]), call.version)
      }
    }
  }

  mutating func sortedRank(
    _ call: borrowing Invocation, isReversed: Bool, _ reply: inout Reply
  ) {
    read(call[0], .sortedSet, &reply, missing: { $0.appendNull(call.version) }) { members, reply in
      guard let score = members.score(of: call[1]) else {
        return reply.appendNull(call.version)
      }
      let rank = members.rank(of: score, call[1])
      reply.appendInteger(Int64(isReversed ? members.count - 1 - rank : rank))
    }
  }

  mutating func sortedRandom(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard call.count > 1 else {
      let digest = table.digest
      return read(call[0], .sortedSet, &reply, missing: { $0.appendNull(call.version) }) {
        members, reply in
        var random = SharedRandom(call, digest: digest)
        reply.appendBulk(members.member(random.below(members.count)))
      }
    }
    guard let count = call.integer(at: 1, in: -Int64.max...Int64.max, &reply) else { return }
    guard call.count == 2 || call.count == 3 && call.arguments.equals(2, "WITHSCORES") else {
      return reply.appendSyntaxError()
    }
    let withScores = call.count == 3
    guard !withScores || abs(count) <= Int64.max / 2 else { return reply.appendOutOfRange() }
    appendRandom(call, .sortedSet, count, &reply) { members, rank, reply in
      if withScores && call.version == .v3 { reply.appendArray(2) }
      reply.appendBulk(members.member(rank))
      if withScores { reply.appendDouble(members.value(rank).double, call.version) }
    } head: { count, reply in
      reply.appendArray(withScores && call.version == .v2 ? count * 2 : count)
    }
  }
}

// MARK: - Popping

extension Shard {
  mutating func sortedPop(_ call: borrowing Invocation, isMax: Bool, _ reply: inout Reply) {
    guard call.count <= 2 else { return reply.appendSyntaxError() }
    var count: Int64 = 1
    if call.count == 2 {
      guard
        let value = call.integer(
          at: 1, in: 0...Int64.max, or: "ERR value is out of range, must be positive", &reply)
      else { return }
      count = value
    }
    guard admits(call[0], .sortedSet, &reply) else { return }
    let taken = min(Int(clamping: count), self.count(of: call[0]))
    let isNested = call.version == .v3 && call.count == 2
    reply.appendArray(isNested ? taken : taken * 2)
    take(call[0], taken, isMax: isMax, isNested: isNested, call, &reply)
  }

  /// Takes members from an end of a sorted set that has so many, and appends them.
  private mutating func take(
    _ key: RawSpan, _ count: Int, isMax: Bool, isNested: Bool, _ call: borrowing Invocation,
    _ reply: inout Reply
  ) {
    guard count > 0 else { return }
    let size = self.count(of: key)
    let ranks = isMax ? size - count..<size : 0..<count
    if let entry = table.find(key) {
      Collection(entry).forEachOrdered(ranks, isReversed: isMax) { member, score in
        if isNested { reply.appendArray(2) }
        reply.appendBulk(member)
        reply.appendDouble(score, call.version)
      }
    }
    _ = table.edit(key, .sortedSet, creates: false) { edit in
      for rank in ranks.reversed() { edit.removeOrdered(at: rank) }
    }
  }

  /// BZPOPMIN and BZPOPMAX: pops from the first sorted set that is there. What is not there is
  /// waited for by the server.
  mutating func sortedPopFirst(_ call: borrowing Invocation, isMax: Bool, _ reply: inout Reply) {
    guard call.hasTimeout(at: call.count - 1, &reply) else { return }
    for index in 0..<call.count - 1 {
      guard admits(call[index], .sortedSet, &reply) else { return }
      guard table.contains(call[index]) else { continue }
      reply.appendArray(3)
      reply.appendBulk(call[index])
      return take(call[index], 1, isMax: isMax, isNested: false, call, &reply)
    }
    reply.appendNullArray(call.version)
  }

  mutating func sortedPopMany(_ call: borrowing Invocation, _ reply: inout Reply) {
    sortedPopMany(call, from: 0, &reply)
  }

  mutating func sortedPopManyBlocking(_ call: borrowing Invocation, _ reply: inout Reply) {
    sortedPopMany(call, from: 1, &reply)
  }

  /// ZMPOP, whose arguments begin at `first`, behind a timeout if that is not 0.
  private mutating func sortedPopMany(
    _ call: borrowing Invocation, from first: Int, _ reply: inout Reply
  ) {
    guard let options = PopOptions(call, from: first, &reply) else { return }
    let isMax = call.arguments.equals(options.whereIndex, "MAX")
    guard isMax || call.arguments.equals(options.whereIndex, "MIN") else {
      return reply.appendSyntaxError()
    }
    guard let count = options.count(call, &reply),
      first == 0 || call.hasTimeout(at: 0, &reply)
    else { return }
    for index in options.keys {
      guard admits(call[index], .sortedSet, &reply) else { return }
      let taken = min(count, self.count(of: call[index]))
      guard taken > 0 else { continue }
      reply.appendArray(2)
      reply.appendBulk(call[index])
      reply.appendArray(taken)
      return take(call[index], taken, isMax: isMax, isNested: true, call, &reply)
    }
    reply.appendNullArray(call.version)
  }
}

extension Reply {
  fileprivate mutating func appendScore(_ score: Double?, _ version: RESPVersion) {
    if let score { appendDouble(score, version) } else { appendNull(version) }
  }
}
