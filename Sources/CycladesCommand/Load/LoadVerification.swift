import Synchronization

/// Reads every key once and compares it with what the ledger allows.
struct LoadVerification: LoadWorkload, Sendable {
  private let ledger: LoadLedger
  private let laneCount: Int
  private var nextKey: [Int]
  private var retries: [[Int]]
  private let progress: LoadProgress

  /// Keys that were read, whatever they held.
  private(set) var checkedCount = 0
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
    checkedCount += 1
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
