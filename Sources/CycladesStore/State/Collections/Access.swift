internal import CycladesReplication

/// What collection commands have in common.
extension Shard {
  /// Whether a key is missing or holds a value of that kind; answers when it does not.
  func admits(_ key: RawSpan, _ kind: ValueKind, _ reply: inout Reply) -> Bool {
    guard let entry = table.find(key), ValueKind(stored: entry.kind) != kind else { return true }
    reply.appendWrongType()
    return false
  }

  /// Calls `body` with the collection of a key, or `missing` when there is none; answers when the
  /// key holds something else.
  func read(
    _ key: RawSpan, _ kind: ValueKind, _ reply: inout Reply,
    missing: (inout Reply) -> Void, _ body: (borrowing Collection, inout Reply) -> Void
  ) {
    guard let entry = table.find(key) else { return missing(&reply) }
    guard ValueKind(stored: entry.kind) == kind else { return reply.appendWrongType() }
    body(Collection(entry), &reply)
  }

  /// How many items the collection of a key has, which must be missing or have one.
  func count(of key: RawSpan) -> Int {
    guard let entry = table.find(key) else { return 0 }
    return Collection(entry).count
  }

  /// Whether a member is in the collection of a key.
  func contains(_ member: RawSpan, in key: RawSpan) -> Bool {
    guard let entry = table.find(key) else { return false }
    return Collection(entry).contains(member)
  }

  /// Whether an element of a collection may have that many bytes; answers when it may not.
  func admits(elementLength: Int, _ reply: inout Reply) -> Bool {
    // A snapshot's part holds at least one whole element, and has to stay below 64 MiB.
    if elementLength <= min(valueBytesMax, 32 << 20) { return true }
    reply.appendError("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
    return false
  }

  /// Whether all arguments from one on may be elements; answers when they may not.
  func admitsElements(
    _ call: borrowing Invocation, from start: Int, step: Int = 1, _ reply: inout Reply
  ) -> Bool {
    for index in stride(from: start, to: call.count, by: step)
    where !admits(elementLength: call[index].byteCount, &reply) {
      return false
    }
    return true
  }
}

/// The sizes up to which Redis, as it comes, keeps a value in a compact encoding.
enum CompactLimits {
  static let fields = 512
  static let members = 128
  static let integers = 512
  static let itemBytes = 64
}

extension Reply {
  mutating func appendWrongType() {
    appendError("WRONGTYPE Operation against a key holding the wrong kind of value")
  }

  mutating func appendEmptyArray() { appendArray(0) }

  mutating func appendOutOfRange() { appendError("ERR value is out of range") }

  /// Appends elements whose number is known only afterwards: `body` returns it.
  mutating func appendCounted(
    isSet: Bool = false, _ call: borrowing Invocation, _ body: (inout Reply) -> Int
  ) {
    var elements = Reply()
    let count = body(&elements)
    if isSet { appendSet(count, call.version) } else { appendArray(count) }
    append(contentsOf: elements.bytes)
  }
}

extension RawSpan {
  /// A copy of the bytes.
  var array: [UInt8] { (0..<byteCount).map { byte($0) } }
}

extension Invocation {
  /// The number of keys that an argument states, each of which must follow; answers when it is not a
  /// number of keys.
  func keyCount(at index: Int, _ reply: inout Reply) -> Int? {
    guard let count = self[index].integer, count > 0, count <= Int64(Int32.max) else {
      reply.appendError("ERR numkeys should be greater than 0")
      return nil
    }
    return Int(count)
  }

  /// The integer in an argument within bounds; answers when it is none.
  func integer(
    at index: Int, in range: ClosedRange<Int64>, or text: StaticString? = nil, _ reply: inout Reply
  ) -> Int64? {
    guard let value = self[index].integer else {
      if let text { reply.appendError(text) } else { reply.appendNotInteger() }
      return nil
    }
    guard range.contains(value) else {
      if let text {
        reply.appendError(text)
      } else {
        reply.appendError(
          "ERR value is out of range, value must between \(range.lowerBound) and "
            + "\(range.upperBound)")
      }
      return nil
    }
    return value
  }
}

/// Random numbers that are the same on all replicas: they depend on the log position, the time and
/// the state, and the state changes with every element taken.
struct SharedRandom {
  private var state: UInt64

  init(_ call: borrowing Invocation, digest: UInt64) {
    state = digest ^ call.slot &* 0x9e37_79b9_7f4a_7c15 ^ UInt64(bitPattern: call.time) << 20
  }

  private mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// A number below `bound`.
  mutating func below(_ bound: Int) -> Int {
    Int(next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// Any 64 bits.
  mutating func bits() -> UInt64 { next() }

  /// `count` different numbers below `bound`, in random order.
  ///
  /// - Complexity: O(*count*).
  mutating func different(_ count: Int, below bound: Int) -> [Int] {
    // The first steps of a shuffle of all numbers, which remembers only what it moved.
    var moved: [Int: Int] = [:]
    var numbers: [Int] = []
    numbers.reserveCapacity(count)
    for i in 0..<min(count, bound) {
      let j = i + below(bound - i)
      numbers.append(moved[j] ?? j)
      moved[j] = moved[i] ?? i
    }
    return numbers
  }
}
