import Synchronization

/// What a thread that watches a load run may see of it, and tell it.
final class LoadProgress: Sendable {
  /// Commands answered well so far.
  let succeeded = Atomic<Int>(0)
  /// Writes refused so far.
  let refused = Atomic<Int>(0)
  /// The longest time between two successes, in nanoseconds; whoever watches may set it back.
  let longestGap = Atomic<UInt64>(0)
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
  private(set) var firstError: String?
  private let start: UInt64
  private var lastAcknowledgement: UInt64

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
    start = monotonicNanoseconds()
    lastAcknowledgement = start
    nextKey = Array(0..<lanes)
    retries = .init(repeating: [], count: lanes)
  }

  /// From the making of the load to the last acknowledged write, in seconds.
  var seconds: Double { Double(lastAcknowledgement - start) / 1e9 }

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
      progress.longestGap.max(now - lastAcknowledgement, ordering: .relaxed)
      lastAcknowledgement = now
      progress.succeeded.add(1, ordering: .relaxed)
      return .proceed
    }
    if firstError == nil { firstError = reply.text }
    if Self.saysNotDone(reply) {
      refusedCount += 1
      progress.refused.add(1, ordering: .relaxed)
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
