internal import CycladesReplication

/// One end of a list.
enum ListEnd {
  case left, right

  /// The end that an argument names.
  init?(_ call: borrowing Invocation, _ index: Int) {
    if call.arguments.equals(index, "LEFT") {
      self = .left
    } else if call.arguments.equals(index, "RIGHT") {
      self = .right
    } else {
      return nil
    }
  }
}

/// Lists.
extension Shard {
  mutating func push(
    _ call: borrowing Invocation, _ end: ListEnd, ifThere: Bool = false, _ reply: inout Reply
  ) {
    guard admits(call[0], .list, &reply), admitsElements(call, from: 1, &reply) else { return }
    let length = table.edit(call[0], .list, creates: !ifThere) { edit in
      for index in 1..<call.count { edit.insert(call[index], at: end == .left ? 0 : edit.count) }
      return Int64(edit.count)
    }
    if length != nil { noteReady(call[0]) }
    reply.appendInteger(length ?? 0)
  }

  /// Takes elements from an end of a list that is there and has so many, and appends them.
  private mutating func take(_ key: RawSpan, _ count: Int, _ end: ListEnd, _ reply: inout Reply) {
    if let entry = table.find(key) {
      let elements = Collection(entry)
      for step in 0..<count {
        reply.appendBulk(elements.member(end == .left ? step : elements.count - 1 - step))
      }
    }
    removeEnd(key, count, end)
  }

  private mutating func removeEnd(_ key: RawSpan, _ count: Int, _ end: ListEnd) {
    _ = table.edit(key, .list, creates: false) { edit in
      for _ in 0..<count { edit.remove(at: end == .left ? 0 : edit.count - 1) }
    }
  }

  mutating func pop(_ call: borrowing Invocation, _ end: ListEnd, _ reply: inout Reply) {
    guard call.count <= 2 else { return reply.appendWrongArity(call.command) }
    var count: Int64?
    if call.count == 2 {
      guard
        let value = call.integer(
          at: 1, in: 0...Int64.max, or: "ERR value is out of range, must be positive", &reply)
      else { return }
      count = value
    }
    guard admits(call[0], .list, &reply) else { return }
    let length = self.count(of: call[0])
    guard length > 0 else {
      return count == nil ? reply.appendNull(call.version) : reply.appendNullArray(call.version)
    }
    let taken = min(Int(clamping: count ?? 1), length)
    if count != nil { reply.appendArray(taken) }
    if taken > 0 { take(call[0], taken, end, &reply) }
  }

  mutating func listLength(_ call: borrowing Invocation, _ reply: inout Reply) {
    read(call[0], .list, &reply, missing: { $0.appendInteger(0) }) { elements, reply in
      reply.appendInteger(Int64(elements.count))
    }
  }

  mutating func listIndex(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard admits(call[0], .list, &reply) else { return }
    guard let entry = table.find(call[0]) else { return reply.appendNull(call.version) }
    guard let index = call[1].integer else { return reply.appendNotInteger() }
    let elements = Collection(entry)
    guard let rank = Self.rank(index, elements.count) else {
      return reply.appendNull(call.version)
    }
    reply.appendBulk(elements.member(rank))
  }

  /// The rank that an index stands for, which counts from the end when it is negative.
  private static func rank(_ index: Int64, _ count: Int) -> Int? {
    let rank = index < 0 ? index + Int64(count) : index
    return rank >= 0 && rank < Int64(count) ? Int(rank) : nil
  }

  /// The ranks that two indices stand for, both inclusive, as LRANGE and ZRANGE count.
  static func ranks(_ start: Int64, _ stop: Int64, _ count: Int) -> Range<Int> {
    let length = Int64(count)
    let first = max(start < 0 ? start + length : start, 0)
    let last = min(stop < 0 ? stop + length : stop, length - 1)
    return first <= last ? Int(first)..<Int(last) + 1 : 0..<0
  }

  mutating func listRange(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let start = call[1].integer, let stop = call[2].integer else {
      return reply.appendNotInteger()
    }
    read(call[0], .list, &reply, missing: { $0.appendEmptyArray() }) { elements, reply in
      let ranks = Self.ranks(start, stop, elements.count)
      reply.appendArray(ranks.count)
      elements.forEach(ranks) { element, _ in
        reply.appendBulk(element)
        return true
      }
    }
  }

  mutating func listTrim(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let start = call[1].integer, let stop = call[2].integer else {
      return reply.appendNotInteger()
    }
    guard admits(call[0], .list, &reply) else { return }
    let length = self.count(of: call[0])
    let kept = Self.ranks(start, stop, length)
    if length > 0 {
      if kept.isEmpty {
        _ = table.remove(call[0])
      } else {
        removeEnd(call[0], length - kept.upperBound, .right)
        removeEnd(call[0], kept.lowerBound, .left)
      }
    }
    reply.appendOK()
  }

  mutating func listSet(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard admits(call[0], .list, &reply), admitsElements(call, from: 2, &reply) else { return }
    let length = self.count(of: call[0])
    guard length > 0 else { return reply.appendError("ERR no such key") }
    guard let index = call[1].integer else { return reply.appendNotInteger() }
    guard let rank = Self.rank(index, length) else {
      return reply.appendError("ERR index out of range")
    }
    _ = table.edit(call[0], .list, creates: false) { edit in
      // In first, lest a list of one element be empty for a moment.
      edit.insert(call[2], at: rank)
      edit.remove(at: rank + 1)
    }
    reply.appendOK()
  }

  /// The ranks of elements that equal one, at most `limit` of them, from either end.
  private func matches(
    _ key: RawSpan, _ element: RawSpan, fromRight: Bool, limit: Int, scanned: Int = .max
  ) -> [Int] {
    guard let entry = table.find(key) else { return [] }
    let elements = Collection(entry)
    var ranks: [Int] = []
    if fromRight {
      for step in 0..<min(elements.count, scanned) where ranks.count < limit {
        let rank = elements.count - 1 - step
        if elements.member(rank).isEqual(to: element) { ranks.append(rank) }
      }
    } else {
      var rank = 0
      elements.forEach(0..<min(elements.count, scanned)) { candidate, _ in
        if candidate.isEqual(to: element) { ranks.append(rank) }
        rank += 1
        return ranks.count < limit
      }
    }
    return ranks
  }

  mutating func listRemove(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let count = call[1].integer else { return reply.appendNotInteger() }
    guard admits(call[0], .list, &reply) else { return }
    let limit = count == 0 ? Int.max : Int(clamping: count.magnitude)
    let ranks = matches(call[0], call[2], fromRight: count < 0, limit: limit)
    if !ranks.isEmpty {
      _ = table.edit(call[0], .list, creates: false) { edit in
        // From the right, so that ranks not yet removed stay what they are.
        for rank in count < 0 ? ranks : ranks.reversed() { edit.remove(at: rank) }
      }
    }
    reply.appendInteger(Int64(ranks.count))
  }

  mutating func listInsert(_ call: borrowing Invocation, _ reply: inout Reply) {
    let isAfter = call.arguments.equals(1, "AFTER")
    guard isAfter || call.arguments.equals(1, "BEFORE") else { return reply.appendSyntaxError() }
    guard admits(call[0], .list, &reply), admitsElements(call, from: 3, &reply) else { return }
    guard table.contains(call[0]) else { return reply.appendInteger(0) }
    guard let rank = matches(call[0], call[2], fromRight: false, limit: 1).first else {
      return reply.appendInteger(-1)
    }
    let length = table.edit(call[0], .list, creates: false) { edit in
      edit.insert(call[3], at: isAfter ? rank + 1 : rank)
      return Int64(edit.count)
    }
    reply.appendInteger(length ?? 0)
  }

  mutating func listPosition(_ call: borrowing Invocation, _ reply: inout Reply) {
    var (rank, count, scanned) = (Int64(1), Int64?.none, Int64(0))
    var index = 2
    while index < call.count {
      guard index + 1 < call.count else { return reply.appendSyntaxError() }
      if call.arguments.equals(index, "RANK") {
        guard let value = call.integer(at: index + 1, in: -Int64.max...Int64.max, &reply) else {
          return
        }
        guard value != 0 else {
          return reply.appendError(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
              + "or use negative to start from the end of the list")
        }
        rank = value
      } else if call.arguments.equals(index, "COUNT") {
        let range = 0...Int64.max
        guard
          let value = call.integer(
            at: index + 1, in: range, or: "ERR COUNT can't be negative", &reply)
        else { return }
        count = value
      } else if call.arguments.equals(index, "MAXLEN") {
        let range = 0...Int64.max
        guard
          let value = call.integer(
            at: index + 1, in: range, or: "ERR MAXLEN can't be negative", &reply)
        else { return }
        scanned = value
      } else {
        return reply.appendSyntaxError()
      }
      index += 2
    }
    guard admits(call[0], .list, &reply) else { return }
    let skipped = Int(clamping: rank.magnitude - 1)
    let wanted = count.map { $0 == 0 ? Int.max : Int(clamping: $0) } ?? 1
    let found = matches(
      call[0], call[1], fromRight: rank < 0,
      limit: skipped.addingReportingOverflow(wanted).overflow
        ? .max : skipped + wanted, scanned: scanned == 0 ? .max : Int(clamping: scanned)
    ).dropFirst(skipped)
    if count == nil {
      guard let first = found.first else { return reply.appendNull(call.version) }
      return reply.appendInteger(Int64(first))
    }
    reply.appendArray(found.count)
    for rank in found { reply.appendInteger(Int64(rank)) }
  }
}

// MARK: - Between lists, and from the first of several

extension Shard {
  mutating func rotate(_ call: borrowing Invocation, _ reply: inout Reply) {
    move(call, .right, .left, &reply)
  }

  mutating func move(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let from = ListEnd(call, 2), let to = ListEnd(call, 3) else {
      return reply.appendSyntaxError()
    }
    move(call, from, to, &reply)
  }

  mutating func moveBlocking(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let from = ListEnd(call, 2), let to = ListEnd(call, 3) else {
      return reply.appendSyntaxError()
    }
    guard call.hasTimeout(at: 4, &reply) else { return }
    move(call, from, to, &reply)
  }

  mutating func rotateBlocking(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard call.hasTimeout(at: 2, &reply) else { return }
    move(call, .right, .left, &reply)
  }

  /// A copy of the element at an end of a list; `nil` when there is no list.
  private func element(at end: ListEnd, of key: RawSpan) -> [UInt8]? {
    guard let entry = table.find(key) else { return nil }
    let elements = Collection(entry)
    return elements.member(end == .left ? 0 : elements.count - 1).array
  }

  /// Moves an element from an end of the first list to an end of the second.
  private mutating func move(
    _ call: borrowing Invocation, _ from: ListEnd, _ to: ListEnd, _ reply: inout Reply
  ) {
    guard admits(call[0], .list, &reply) else { return }
    guard let element = element(at: from, of: call[0]) else {
      return reply.appendNull(call.version)
    }
    guard admits(call[1], .list, &reply) else { return }
    if call[0].isEqual(to: call[1]) {
      _ = table.edit(call[0], .list, creates: false) { edit in
        edit.remove(at: from == .left ? 0 : edit.count - 1)
        edit.insert(element.rawSpan, at: to == .left ? 0 : edit.count)
      }
    } else {
      removeEnd(call[0], 1, from)
      _ = table.edit(call[1], .list, creates: true) { edit in
        edit.insert(element.rawSpan, at: to == .left ? 0 : edit.count)
      }
    }
    noteReady(call[1])
    reply.appendBulk(element)
  }

  /// BLPOP and BRPOP: pops from the first list that is there. What is not there is waited for by the
  /// server.
  mutating func popFirst(_ call: borrowing Invocation, _ end: ListEnd, _ reply: inout Reply) {
    guard call.hasTimeout(at: call.count - 1, &reply) else { return }
    for index in 0..<call.count - 1 {
      guard admits(call[index], .list, &reply) else { return }
      guard table.contains(call[index]) else { continue }
      reply.appendArray(2)
      reply.appendBulk(call[index])
      return take(call[index], 1, end, &reply)
    }
    reply.appendNullArray(call.version)
  }

  mutating func popMany(_ call: borrowing Invocation, _ reply: inout Reply) {
    popMany(call, from: 0, &reply)
  }

  mutating func popManyBlocking(_ call: borrowing Invocation, _ reply: inout Reply) {
    popMany(call, from: 1, &reply)
  }

  /// LMPOP, whose arguments begin at `first`, behind a timeout if that is not 0.
  private mutating func popMany(
    _ call: borrowing Invocation, from first: Int, _ reply: inout Reply
  ) {
    guard let options = PopOptions(call, from: first, &reply) else { return }
    guard let end = ListEnd(call, options.whereIndex) else { return reply.appendSyntaxError() }
    guard let count = options.count(call, &reply),
      first == 0 || call.hasTimeout(at: 0, &reply)
    else { return }
    for index in options.keys {
      guard admits(call[index], .list, &reply) else { return }
      let length = self.count(of: call[index])
      guard length > 0 else { continue }
      reply.appendArray(2)
      reply.appendBulk(call[index])
      reply.appendArray(min(count, length))
      return take(call[index], min(count, length), end, &reply)
    }
    reply.appendNullArray(call.version)
  }
}

/// The arguments of LMPOP and ZMPOP: a number of keys, the keys, where to pop, and COUNT.
struct PopOptions {
  let keys: Range<Int>
  let whereIndex: Int

  init?(_ call: borrowing Invocation, from first: Int, _ reply: inout Reply) {
    guard let count = call.keyCount(at: first, &reply) else { return nil }
    keys = first + 1..<first + 1 + count
    whereIndex = keys.upperBound
    guard whereIndex < call.count else {
      reply.appendSyntaxError()
      return nil
    }
  }

  /// What COUNT says; 1 without it, `nil` after an error, which is then answered.
  func count(_ call: borrowing Invocation, _ reply: inout Reply) -> Int? {
    var count: Int?
    var index = whereIndex + 1
    while index < call.count {
      guard count == nil, call.arguments.equals(index, "COUNT"), index + 1 < call.count else {
        reply.appendSyntaxError()
        return nil
      }
      guard
        let value = call.integer(
          at: index + 1, in: 1...Int64.max, or: "ERR count should be greater than 0", &reply)
      else { return nil }
      count = Int(value)
      index += 2
    }
    return count ?? 1
  }
}

extension Invocation {
  /// Whether an argument is a timeout in seconds; answers when it is none.
  func hasTimeout(at index: Int, _ reply: inout Reply) -> Bool {
    let zero = [UInt8(ascii: "0")]
    if case .failure(.notFloat) = addDecimals(zero.rawSpan, self[index]) {
      reply.appendError("ERR timeout is not a float or out of range")
      return false
    }
    // Redis counts milliseconds in 64 bits, and takes what does not fit for negative.
    let seconds = self[index].parsedDouble(.lenient) ?? -1
    guard seconds >= 0, seconds < Double(Int64.max) / 1000 else {
      reply.appendError("ERR timeout is negative")
      return false
    }
    return true
  }
}
