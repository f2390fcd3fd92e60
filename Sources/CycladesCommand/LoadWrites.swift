import Synchronization

/// What a client knows about every key it wrote: what must be there, and what may be.
///
/// A key is a number; each write of it has a sequence number, and the value says both. A write is
/// *acknowledged*, *refused* (it did not happen and never will), or *uncertain*: its reply never
/// came, so it may have happened, or may yet happen.
struct LoadLedger: Sendable {
  /// The last sequence number issued, by key; 0 for none.
  private var issued: [UInt32]
  /// The last sequence number acknowledged, by key; 0 for none.
  private(set) var acknowledged: [UInt32]
  /// Sequence numbers whose outcome is not known, by key.
  private(set) var uncertain: [Int: [UInt32]] = [:]

  init(keyCount: Int) {
    issued = .init(repeating: 0, count: keyCount)
    acknowledged = issued
  }

  var keyCount: Int { issued.count }

  /// How many keys have an acknowledged value.
  var acknowledgedKeyCount: Int { acknowledged.count { $0 > 0 } }

  mutating func issue(_ key: Int) -> UInt32 {
    issued[key] += 1
    return issued[key]
  }

  mutating func acknowledge(_ write: LoadWrite) {
    acknowledged[write.key] = max(acknowledged[write.key], write.sequence)
  }

  mutating func doubt(_ write: LoadWrite) {
    uncertain[write.key, default: []].append(write.sequence)
  }
}

/// One write of one key.
struct LoadWrite {
  var key: Int
  var sequence: UInt32

  static func appendKey(_ key: Int, to output: inout [UInt8]) {
    output += "demo:".utf8
    appendDigits(UInt64(key), base: 10, width: 8, to: &output)
  }

  /// The value of the write, 64 bytes: the key, the sequence, and a digest of both as filler, so
  /// that a value under the wrong key, or a torn one, is never taken for a right one.
  var value: [UInt8] {
    var value: [UInt8] = []
    value.reserveCapacity(64)
    Self.appendKey(key, to: &value)
    value.append(UInt8(ascii: "#"))
    Self.appendDigits(UInt64(sequence), base: 10, width: 10, to: &value)
    value += "#".utf8
    var state = UInt64(key) << 32 | UInt64(sequence)
    while value.count < 64 {
      Self.appendDigits(Self.mix(&state), base: 16, width: 16, to: &value)
    }
    value.removeLast(value.count - 64)
    return value
  }

  func appendSet(to output: inout [UInt8]) {
    output += "*3\r\n$3\r\nSET\r\n$13\r\n".utf8
    Self.appendKey(key, to: &output)
    output += "\r\n$64\r\n".utf8
    output += value
    output += "\r\n".utf8
  }

  static func appendGet(_ key: Int, to output: inout [UInt8]) {
    output += "*2\r\n$3\r\nGET\r\n$13\r\n".utf8
    appendKey(key, to: &output)
    output += "\r\n".utf8
  }

  private static func appendDigits(
    _ value: UInt64, base: UInt64, width: Int, to output: inout [UInt8]
  ) {
    var rest = value
    let start = output.count
    for _ in 0..<width {
      let digit = UInt8(rest % base)
      output.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      rest /= base
    }
    output[start...].reverse()
  }

  /// SplitMix64 (Steele, Lea, Flood 2014).
  private static func mix(_ state: inout UInt64) -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// What a thread that watches a load run may see of it, and tell it.
final class LoadProgress: Sendable {
  /// Commands answered well so far.
  let succeeded = Atomic<Int>(0)
  /// When set, no new command is sent; those that wait for a reply are still awaited.
  let isStopping = Atomic<Bool>(false)
}

/// Writes keys with `SET`: each once, or round and round until told to stop.
///
/// A key belongs to one lane, so two writes of it are never on the way on two good connections.
/// What is refused or lost is written again, with a new sequence number.
struct LoadWrites: LoadWorkload, Sendable {
  private(set) var ledger: LoadLedger
  private(set) var latency = LoadHistogram()
  /// Error replies that say the write was not done.
  private(set) var refusedCount = 0
  /// Writes without a reply, or with one that leaves the outcome open.
  private(set) var uncertainCount = 0
  /// The first error reply, word by word.
  private(set) var firstRefusal: String?
  /// The longest time between two acknowledged writes.
  private(set) var longestGap: UInt64 = 0
  private var lastAcknowledgement = monotonicNanoseconds()

  private let isEndless: Bool
  private let laneCount: Int
  private var nextKey: [Int]
  private var retries: [[Int]]
  private let progress: LoadProgress

  init(_ ledger: LoadLedger, lanes: Int, isEndless: Bool, progress: LoadProgress) {
    self.ledger = ledger
    self.isEndless = isEndless
    self.progress = progress
    laneCount = lanes
    nextKey = Array(0..<lanes)
    retries = .init(repeating: [], count: lanes)
  }

  mutating func next(lane: Int, into output: inout [UInt8]) -> LoadWrite? {
    if progress.isStopping.load(ordering: .relaxed) { return nil }
    guard let key = retries[lane].popLast() ?? advance(lane) else { return nil }
    let write = LoadWrite(key: key, sequence: ledger.issue(key))
    write.appendSet(to: &output)
    return write
  }

  private mutating func advance(_ lane: Int) -> Int? {
    if nextKey[lane] >= ledger.keyCount && isEndless { nextKey[lane] = lane }
    guard nextKey[lane] < ledger.keyCount else { return nil }
    defer { nextKey[lane] += laneCount }
    return nextKey[lane]
  }

  mutating func answered(
    _ write: LoadWrite, lane: Int, _ reply: borrowing LoadReply, sent: UInt64, now: UInt64
  ) -> LoadPace {
    if reply.kind == .simple && reply.payloadStarts(with: "OK") {
      ledger.acknowledge(write)
      latency.record(now - sent)
      longestGap = max(longestGap, now - lastAcknowledgement)
      lastAcknowledgement = now
      progress.succeeded.add(1, ordering: .relaxed)
      return .proceed
    }
    if firstRefusal == nil { firstRefusal = reply.text }
    if Self.saysNotDone(reply) {
      refusedCount += 1
      retries[lane].append(write.key)
    } else {
      lost(write, lane: lane)
    }
    return .holdBack
  }

  mutating func lost(_ write: LoadWrite, lane: Int) {
    uncertainCount += 1
    ledger.doubt(write)
    retries[lane].append(write.key)
  }

  /// Whether an error reply promises that the write did not and will not happen.
  private static func saysNotDone(_ reply: borrowing LoadReply) -> Bool {
    guard reply.kind == .error else { return false }
    for prefix in ["CLUSTERDOWN", "TRYAGAIN", "MOVED", "CROSSSLOT", "OOM", "LOADING"]
    where reply.payloadStarts(with: prefix) {
      return true
    }
    return false
  }
}

/// Reads every key once and compares it with what the ledger allows.
struct LoadVerification: LoadWorkload, Sendable {
  private let ledger: LoadLedger
  private let laneCount: Int
  private var nextKey: [Int]
  private var retries: [[Int]]
  private let progress: LoadProgress

  /// Keys that hold the value of an uncertain write, which turned out to have happened.
  private(set) var happenedCount = 0
  /// Keys whose acknowledged write is gone.
  private(set) var lostCount = 0
  /// The first few keys that hold what they must not hold.
  private(set) var findings: [String] = []

  init(_ ledger: LoadLedger, lanes: Int, progress: LoadProgress) {
    self.ledger = ledger
    self.progress = progress
    laneCount = lanes
    nextKey = Array(0..<lanes)
    retries = .init(repeating: [], count: lanes)
  }

  mutating func next(lane: Int, into output: inout [UInt8]) -> Int? {
    if progress.isStopping.load(ordering: .relaxed) { return nil }
    if let key = retries[lane].popLast() {
      LoadWrite.appendGet(key, to: &output)
      return key
    }
    guard nextKey[lane] < ledger.keyCount else { return nil }
    defer { nextKey[lane] += laneCount }
    LoadWrite.appendGet(nextKey[lane], to: &output)
    return nextKey[lane]
  }

  mutating func answered(
    _ key: Int, lane: Int, _ reply: borrowing LoadReply, sent: UInt64, now: UInt64
  ) -> LoadPace {
    if reply.kind == .error {
      retries[lane].append(key)
      return .holdBack
    }
    progress.succeeded.add(1, ordering: .relaxed)
    judge(key, reply)
    return .proceed
  }

  mutating func lost(_ key: Int, lane: Int) { retries[lane].append(key) }

  private mutating func judge(_ key: Int, _ reply: borrowing LoadReply) {
    let acknowledged = ledger.acknowledged[key]
    if reply.kind == .null ? acknowledged == 0 : holds(reply, key, acknowledged) { return }
    if ledger.uncertain[key, default: []].contains(where: { holds(reply, key, $0) }) {
      happenedCount += 1
      return
    }
    lostCount += 1
    guard findings.count < 5 else { return }
    let found = reply.kind == .null ? "nothing" : "'\(reply.text)'"
    let expected = acknowledged == 0 ? "nothing" : "write \(acknowledged)"
    findings.append("key \(key): found \(found), must hold \(expected)")
  }

  private func holds(_ reply: borrowing LoadReply, _ key: Int, _ sequence: UInt32) -> Bool {
    sequence > 0 && reply.kind == .bulk
      && reply.payloadEquals(LoadWrite(key: key, sequence: sequence).value)
  }
}
