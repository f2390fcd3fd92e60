internal import CycladesReplication

/// Members collected from collections, in one buffer.
struct MemberBuffer {
  private var bytes: [UInt8] = []
  private var ends: [Int] = []

  var count: Int { ends.count }

  mutating func append(_ member: RawSpan) {
    for index in 0..<member.byteCount { bytes.append(member.byte(index)) }
    ends.append(bytes.count)
  }

  subscript(_ index: Int) -> RawSpan {
    @_lifetime(borrow self)
    get { bytes.rawSpan.extracting((index == 0 ? 0 : ends[index - 1])..<ends[index]) }
  }
}

/// Sets.
extension Shard {
  /// Whether members are all integers, as Redis would store them in its most compact set.
  private static func isCompact(_ edit: borrowing CollectionEdit, _ member: RawSpan) -> Bool {
    member.integer != nil && edit.count <= CompactLimits.integers
  }

  mutating func setAdd(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard admits(call[0], .set, &reply), admitsElements(call, from: 1, &reply) else { return }
    let added = table.edit(call[0], .set, creates: true) { edit in
      var added: Int64 = 0
      for index in 1..<call.count where edit.add(call[index]) {
        added += 1
        if !Self.isCompact(edit, call[index]) { edit.markLarge() }
      }
      return added
    }
    reply.appendInteger(added ?? 0)
  }

  mutating func setRemove(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard admits(call[0], .set, &reply) else { return }
    let removed = table.edit(call[0], .set, creates: false) { edit in
      var removed: Int64 = 0
      for index in 1..<call.count where edit.remove(call[index]) { removed += 1 }
      return removed
    }
    reply.appendInteger(removed ?? 0)
  }

  mutating func setCount(_ call: borrowing Invocation, _ reply: inout Reply) {
    read(call[0], .set, &reply, missing: { $0.appendInteger(0) }) { members, reply in
      reply.appendInteger(Int64(members.count))
    }
  }

  mutating func setContains(_ call: borrowing Invocation, _ reply: inout Reply) {
    read(call[0], .set, &reply, missing: { $0.appendInteger(0) }) { members, reply in
      reply.appendInteger(members.contains(call[1]) ? 1 : 0)
    }
  }

  mutating func setContainsMany(_ call: borrowing Invocation, _ reply: inout Reply) {
    func missing(_ reply: inout Reply) {
      reply.appendArray(call.count - 1)
      for _ in 1..<call.count { reply.appendInteger(0) }
    }
    read(call[0], .set, &reply, missing: missing) { members, reply in
      reply.appendArray(call.count - 1)
      for index in 1..<call.count { reply.appendInteger(members.contains(call[index]) ? 1 : 0) }
    }
  }

  mutating func setMembers(_ call: borrowing Invocation, _ reply: inout Reply) {
    read(call[0], .set, &reply, missing: { $0.appendSet(0, call.version) }) { members, reply in
      reply.appendSet(members.count, call.version)
      members.forEach { member, _ in reply.appendBulk(member) }
    }
  }

  mutating func setMove(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard table.contains(call[0]) else { return reply.appendInteger(0) }
    guard admits(call[0], .set, &reply), admits(call[1], .set, &reply) else { return }
    if call[0].isEqual(to: call[1]) {
      return reply.appendInteger(contains(call[2], in: call[0]) ? 1 : 0)
    }
    guard table.edit(call[0], .set, creates: false, { $0.remove(call[2]) }) == true else {
      return reply.appendInteger(0)
    }
    _ = table.edit(call[1], .set, creates: true) { edit in
      _ = edit.add(call[2])
      if !Self.isCompact(edit, call[2]) { edit.markLarge() }
    }
    reply.appendInteger(1)
  }

  mutating func setPop(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard call.count <= 2 else { return reply.appendSyntaxError() }
    var count: Int64?
    if call.count == 2 {
      guard
        let value = call.integer(
          at: 1, in: 0...Int64.max, or: "ERR value is out of range, must be positive", &reply)
      else { return }
      count = value
    }
    guard admits(call[0], .set, &reply) else { return }
    var random = SharedRandom(call, digest: table.digest)
    let size = self.count(of: call[0])
    guard size > 0 else {
      return count == nil ? reply.appendNull(call.version) : reply.appendSet(0, call.version)
    }
    let ranks = random.different(min(Int(clamping: count ?? 1), size), below: size)
      .sorted(by: >)
    if count != nil { reply.appendSet(ranks.count, call.version) }
    guard !ranks.isEmpty else { return }
    appendMembers(of: call[0], ranks, &reply)
    _ = table.edit(call[0], .set, creates: false) { edit in
      for rank in ranks { edit.remove(at: rank) }
    }
  }

  private func appendMembers(of key: RawSpan, _ ranks: [Int], _ reply: inout Reply) {
    guard let entry = table.find(key) else { return }
    let members = Collection(entry)
    for rank in ranks { reply.appendBulk(members.member(rank)) }
  }

  mutating func setRandom(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard call.count <= 2 else { return reply.appendSyntaxError() }
    guard call.count == 2 else {
      let digest = table.digest
      return read(call[0], .set, &reply, missing: { $0.appendNull(call.version) }) {
        members, reply in
        var random = SharedRandom(call, digest: digest)
        reply.appendBulk(members.member(random.below(members.count)))
      }
    }
    guard let count = call.integer(at: 1, in: -Int64.max...Int64.max, &reply) else { return }
    appendRandom(call, .set, count, &reply) { members, rank, reply in
      reply.appendBulk(members.member(rank))
    } head: { wanted, reply in
      reply.appendArray(wanted)
    }
  }
}

// MARK: - Algebra

/// How several sets become one.
enum SetOperation { case union, intersection, difference }

extension Shard {
  mutating func combineSets(
    _ call: borrowing Invocation, _ operation: SetOperation, _ reply: inout Reply
  ) {
    let keys = 0..<call.count
    guard admitsSets(call, keys, operation, &reply) else { return }
    reply.appendCounted(isSet: true, call) { elements in
      var count = 0
      forEachMember(call, keys, operation) { member in
        elements.appendBulk(member)
        count += 1
        return true
      }
      return count
    }
  }

  mutating func storeSets(
    _ call: borrowing Invocation, _ operation: SetOperation, _ reply: inout Reply
  ) {
    let keys = 1..<call.count
    guard admitsSets(call, keys, operation, &reply) else { return }
    var result = MemberBuffer()
    forEachMember(call, keys, operation) { member in
      result.append(member)
      return true
    }
    _ = table.remove(call[0])
    if result.count > 0 {
      _ = table.edit(call[0], .set, creates: true) { edit in
        for index in 0..<result.count {
          _ = edit.add(result[index])
          if !Self.isCompact(edit, result[index]) { edit.markLarge() }
        }
      }
    }
    reply.appendInteger(Int64(result.count))
  }

  mutating func countIntersection(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard let (keys, limit) = call.cardinalityArguments(&reply) else { return }
    guard admitsSets(call, keys, .intersection, &reply) else { return }
    var count = 0
    forEachMember(call, keys, .intersection) { _ in
      count += 1
      return count != limit
    }
    reply.appendInteger(Int64(count))
  }

  private func admitsSets(
    _ call: borrowing Invocation, _ keys: Range<Int>, _ operation: SetOperation,
    _ reply: inout Reply
  ) -> Bool {
    for index in keys where !admits(call[index], .set, &reply) { return false }
    return true
  }

  /// Visits each member of a combination of sets once, until the visitor returns false.
  private func forEachMember(
    _ call: borrowing Invocation, _ keys: Range<Int>, _ operation: SetOperation,
    _ visit: (RawSpan) -> Bool
  ) {
    /// Visits those members of one set that `admits` lets through; false when the visitor ended it.
    func forEach(_ index: Int, where admits: (RawSpan) -> Bool) -> Bool {
      guard let entry = table.find(call[index]) else { return true }
      let members = Collection(entry)
      var goesOn = true
      members.forEach(0..<members.count) { member, _ in
        if admits(member) { goesOn = visit(member) }
        return goesOn
      }
      return goesOn
    }
    switch operation {
    case .union:
      for index in keys {
        let before = keys.lowerBound..<index
        guard
          forEach(index, where: { member in !before.contains { contains(member, in: call[$0]) } })
        else { return }
      }
    case .difference:
      let others = keys.dropFirst()
      _ = forEach(keys.lowerBound) { member in !others.contains { contains(member, in: call[$0]) } }
    case .intersection:
      let smallest = keys.min { count(of: call[$0]) < count(of: call[$1]) }!
      _ = forEach(smallest) { member in
        keys.allSatisfy { $0 == smallest || contains(member, in: call[$0]) }
      }
    }
  }
}

extension Invocation {
  /// The arguments of SINTERCARD: which are keys, and LIMIT, 0 for none.
  func cardinalityArguments(_ reply: inout Reply) -> (keys: Range<Int>, limit: Int)? {
    guard let count = keyCount(at: 0, &reply) else { return nil }
    guard count <= self.count - 1 else {
      reply.appendError("ERR Number of keys can't be greater than number of args")
      return nil
    }
    guard let limit = limit(from: 1 + count, &reply) else { return nil }
    return (1..<1 + count, limit)
  }

  /// What LIMIT says among the options from an argument on, of which there are no others; 0 without
  /// it, `nil` after an error, which is then answered.
  func limit(from start: Int, _ reply: inout Reply) -> Int? {
    var limit = 0
    var index = start
    while index < count {
      guard arguments.equals(index, "LIMIT"), index + 1 < count else {
        reply.appendSyntaxError()
        return nil
      }
      let text: StaticString = "ERR LIMIT can't be negative"
      guard let value = integer(at: index + 1, in: 0...Int64.max, or: text, &reply) else {
        return nil
      }
      limit = Int(value)
      index += 2
    }
    return limit
  }
}
