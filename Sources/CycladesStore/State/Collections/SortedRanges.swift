internal import CycladesReplication

/// What a range of a sorted set is taken by.
enum RangeForm { case rank, score, bytes }

/// A part of a sorted set, as ranks in the order of scores.
private enum RangeBounds {
  case ranks(Int64, Int64)
  case scores(ScoreBound, ScoreBound)
  case bytes(ByteBound, ByteBound)

  /// Reads the bounds from two arguments; `nil` after an error, which is then answered.
  init?(
    _ call: borrowing Invocation, _ form: RangeForm, _ low: Int, _ high: Int, _ reply: inout Reply
  ) {
    switch form {
    case .rank:
      guard let first = call[low].integer, let last = call[high].integer else {
        reply.appendNotInteger()
        return nil
      }
      self = .ranks(first, last)
    case .score:
      guard let first = ScoreBound(call[low]), let last = ScoreBound(call[high]) else {
        reply.appendError("ERR min or max is not a float")
        return nil
      }
      self = .scores(first, last)
    case .bytes:
      guard let first = ByteBound(call[low]), let last = ByteBound(call[high]) else {
        reply.appendError("ERR min or max not valid string range item")
        return nil
      }
      self = .bytes(first, last)
    }
  }

  /// The ranks of the part; for ``RangeForm/rank`` counted from the end when reversed.
  func ranks(in members: borrowing Collection, isReversed: Bool) -> Range<Int> {
    switch self {
    case .ranks(let first, let last):
      let ranks = Shard.ranks(first, last, members.count)
      guard isReversed else { return ranks }
      return members.count - ranks.upperBound..<members.count - ranks.lowerBound
    case .scores(let low, let high):
      let first = low.rank(in: members, isUpper: false)
      return first..<max(first, high.rank(in: members, isUpper: true))
    case .bytes(let low, let high):
      let first = low.rank(in: members, isUpper: false)
      return first..<max(first, high.rank(in: members, isUpper: true))
    }
  }
}

/// An end of a range of scores.
private struct ScoreBound {
  private let value: Double
  private let isExcluded: Bool

  init?(_ text: RawSpan) {
    isExcluded = text.byteCount > 0 && text.byte(0) == UInt8(ascii: "(")
    let digits = text.extracting((isExcluded ? 1 : 0)..<text.byteCount)
    guard let value = digits.parsedDouble(.lenient) else { return nil }
    self.value = value
  }

  /// How many members come before the bound.
  func rank(in members: borrowing Collection, isUpper: Bool) -> Int {
    // An included upper end and an excluded lower one come behind the members of that score.
    guard isUpper != isExcluded else { return members.rank(of: value) }
    return value == .infinity ? members.count : members.rank(of: value.nextUp)
  }
}

/// An end of a range of members of equal score.
private struct ByteBound {
  private enum Place { case first, last, at([UInt8], isExcluded: Bool) }
  private let place: Place

  init?(_ text: RawSpan) {
    guard text.byteCount > 0 else { return nil }
    switch text.byte(0) {
    case UInt8(ascii: "-") where text.byteCount == 1: place = .first
    case UInt8(ascii: "+") where text.byteCount == 1: place = .last
    case UInt8(ascii: "["): place = .at(Array(text.array.dropFirst()), isExcluded: false)
    case UInt8(ascii: "("): place = .at(Array(text.array.dropFirst()), isExcluded: true)
    default: return nil
    }
  }

  func rank(in members: borrowing Collection, isUpper: Bool) -> Int {
    switch place {
    case .first: return 0
    case .last: return members.count
    case .at(let bytes, let isExcluded):
      let passesEqual = isUpper != isExcluded
      var (low, high) = (0, members.count)
      while low < high {
        let middle = (low + high) / 2
        let order = members.orderedMember(middle).order(to: bytes.rawSpan)
        if order < 0 || order == 0 && passesEqual { low = middle + 1 } else { high = middle }
      }
      return low
    }
  }
}

/// What a command of the ZRANGE family asks for.
private struct RangeRequest {
  var form: RangeForm?
  var isReversed: Bool?
  var withScores = false
  var offset: Int64 = 0
  var limit: Int64?
  let bounds: RangeBounds

  /// Reads bounds at two arguments from `start` on and the options behind; `nil` after an error,
  /// which is then answered.
  init?(
    _ call: borrowing Invocation, at start: Int, _ form: RangeForm?, isReversed: Bool?,
    stores: Bool, _ reply: inout Reply
  ) {
    self.form = form
    self.isReversed = isReversed
    var index = start + 2
    while index < call.count {
      if !stores, call.arguments.equals(index, "WITHSCORES") {
        withScores = true
      } else if call.arguments.equals(index, "LIMIT"), index + 2 < call.count {
        guard let offset = call[index + 1].integer, let limit = call[index + 2].integer else {
          reply.appendNotInteger()
          return nil
        }
        (self.offset, self.limit) = (offset, limit)
        index += 2
      } else if self.isReversed == nil, call.arguments.equals(index, "REV") {
        self.isReversed = true
      } else if self.form == nil, call.arguments.equals(index, "BYLEX") {
        self.form = .bytes
      } else if self.form == nil, call.arguments.equals(index, "BYSCORE") {
        self.form = .score
      } else {
        reply.appendSyntaxError()
        return nil
      }
      index += 1
    }
    let form = self.form ?? .rank
    if let limit, limit != -1, form == .rank {
      reply.appendError(
        "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
      return nil
    }
    if withScores, form == .bytes {
      reply.appendError(
        "ERR syntax error, WITHSCORES not supported in combination with BYLEX")
      return nil
    }
    let isSwapped = self.isReversed == true && form != .rank
    guard
      let bounds = RangeBounds(
        call, form, isSwapped ? start + 1 : start, isSwapped ? start : start + 1, &reply)
    else { return nil }
    self.bounds = bounds
  }

  /// The ranks asked for, LIMIT applied, in the order of scores.
  func ranks(in members: borrowing Collection) -> Range<Int> {
    let isReversed = isReversed ?? false
    var ranks = bounds.ranks(in: members, isReversed: isReversed)
    guard form != nil, form != .rank, let limit else { return ranks }
    guard offset >= 0, offset < Int64(ranks.count) else { return 0..<0 }
    let count = min(ranks.count - Int(offset), limit < 0 ? .max : Int(clamping: limit))
    if isReversed {
      let end = ranks.upperBound - Int(offset)
      ranks = end - count..<end
    } else {
      let start = ranks.lowerBound + Int(offset)
      ranks = start..<start + count
    }
    return ranks
  }
}

/// Ranges of sorted sets.
extension Shard {
  mutating func sortedRange(
    _ call: borrowing Invocation, _ form: RangeForm?, isReversed: Bool?, _ reply: inout Reply
  ) {
    guard
      let request = RangeRequest(
        call, at: 1, form, isReversed: isReversed, stores: false, &reply)
    else { return }
    read(call[0], .sortedSet, &reply, missing: { $0.appendEmptyArray() }) { members, reply in
      let ranks = request.ranks(in: members)
      let withScores = request.withScores
      let isNested = withScores && call.version == .v3
      reply.appendArray(withScores && !isNested ? ranks.count * 2 : ranks.count)
      members.forEachOrdered(ranks, isReversed: request.isReversed ?? false) { member, score in
        if isNested { reply.appendArray(2) }
        reply.appendBulk(member)
        if withScores { reply.appendDouble(score, call.version) }
      }
    }
  }

  mutating func sortedRangeStore(_ call: borrowing Invocation, _ reply: inout Reply) {
    guard
      let request = RangeRequest(call, at: 2, nil, isReversed: nil, stores: true, &reply),
      admits(call[1], .sortedSet, &reply)
    else { return }
    var result = ScoredBuffer()
    if let entry = table.find(call[1]) {
      let members = Collection(entry)
      members.forEachOrdered(request.ranks(in: members)) { result.append($0, $1) }
    }
    store(result, at: call[0])
    reply.appendInteger(Int64(result.count))
  }

  mutating func sortedCountRange(
    _ call: borrowing Invocation, _ form: RangeForm, _ reply: inout Reply
  ) {
    guard let bounds = RangeBounds(call, form, 1, 2, &reply) else { return }
    read(call[0], .sortedSet, &reply, missing: { $0.appendInteger(0) }) { members, reply in
      reply.appendInteger(Int64(bounds.ranks(in: members, isReversed: false).count))
    }
  }

  mutating func sortedRemoveRange(
    _ call: borrowing Invocation, _ form: RangeForm, _ reply: inout Reply
  ) {
    guard let bounds = RangeBounds(call, form, 1, 2, &reply),
      admits(call[0], .sortedSet, &reply)
    else { return }
    var ranks = 0..<0
    if let entry = table.find(call[0]) {
      ranks = bounds.ranks(in: Collection(entry), isReversed: false)
    }
    if !ranks.isEmpty {
      _ = table.edit(call[0], .sortedSet, creates: false) { edit in
        for rank in ranks.reversed() { edit.removeOrdered(at: rank) }
      }
    }
    reply.appendInteger(Int64(ranks.count))
  }

  /// Replaces what a key holds by a sorted set; by nothing when there are no members.
  mutating func store(_ result: ScoredBuffer, at key: RawSpan) {
    _ = table.remove(key)
    guard result.count > 0 else { return }
    _ = table.edit(key, .sortedSet, creates: true) { edit in
      for index in 0..<result.count {
        _ = edit.setScore(result.members[index], result.scores[index])
        if result.members[index].byteCount > CompactLimits.itemBytes { edit.markLarge() }
      }
      if edit.count > CompactLimits.members { edit.markLarge() }
    }
    noteReady(key)
  }
}

/// Members with scores, collected from collections.
struct ScoredBuffer {
  private(set) var members = MemberBuffer()
  private(set) var scores: [Double] = []

  var count: Int { scores.count }

  mutating func append(_ member: RawSpan, _ score: Double) {
    members.append(member)
    scores.append(score)
  }

  /// The places of members in the order of scores, and of bytes among equal scores.
  var order: [Int] {
    (0..<count).sorted { a, b in
      if scores[a] != scores[b] { return scores[a] < scores[b] }
      return members[a].order(to: members[b]) < 0
    }
  }
}

extension RawSpan {
  /// Negative, zero or positive as the bytes come before, equal or come behind others.
  func order(to other: RawSpan) -> Int {
    for index in 0..<min(byteCount, other.byteCount) {
      let (a, b) = (byte(index), other.byte(index))
      if a != b { return a < b ? -1 : 1 }
    }
    return byteCount - other.byteCount
  }
}
