import CycladesStore
import Synchronization

/// Keeps a few writes under way to every shard, follows MOVED, and notes for how long a shard
/// acknowledges none.
///
/// A shard has a lane to every node, so that replies of one never wait for those of another.
struct ShardWrites: LoadWorkload, Sendable {
  struct Operation {
    var write: LoadWrite
    var shard: Int
  }

  /// What is known of one shard.
  struct Track: Sendable {
    fileprivate var keys: [Int] = []
    fileprivate var nextKey = 0
    /// The node that is taken for the leader.
    fileprivate var node = 0
    fileprivate var waitingCount = 0
    fileprivate var lastAcknowledgement: UInt64 = 0
    /// The times between acknowledged writes in the current phase.
    fileprivate(set) var gaps = LoadHistogram()
  }

  /// What the thread that watches a run tells it, and may see.
  final class Control: Sendable {
    /// When set, no new write is sent.
    let isStopping = Atomic<Bool>(false)
    /// Raised to begin a phase, in which gaps are counted anew.
    let phase = Atomic<Int>(0)
    let acknowledged = Atomic<Int>(0)
  }

  private(set) var ledger: LoadLedger
  /// The gaps of the phases, by phase and shard.
  private(set) var phases: [[LoadHistogram]] = []
  /// Error replies by their first word, and connections that were lost.
  private(set) var errors: [String: Int] = [:]
  private var tracks: [Track]
  private let ports: [UInt16]
  private let depth: Int
  private let control: Control

  /// - Parameter ports: the cluster ports of all nodes there are or will be.
  init(
    _ ledger: LoadLedger, shards: Int, ports: [UInt16], depth: Int, control: Control
  ) {
    self.ledger = ledger
    self.ports = ports
    self.depth = depth
    self.control = control
    tracks = .init(repeating: Track(), count: shards)
    for key in 0..<ledger.keyCount {
      var name: [UInt8] = []
      LoadWrite.appendKey(key, to: &name)
      let slot = Int(KeySlot(name.rawSpan).rawValue)
      tracks[slot * shards / KeySlot.count].keys.append(key)
    }
  }

  var shape: LoadShape { LoadShape(ports: ports, lanes: tracks.count * ports.count, depth: depth) }

  mutating func next(lane: Int, into output: inout [UInt8]) -> Operation? {
    let shard = lane / ports.count
    guard !control.isStopping.load(ordering: .relaxed),
      tracks[shard].node == lane % ports.count, tracks[shard].waitingCount < depth
    else { return nil }
    tracks[shard].waitingCount += 1
    let key = tracks[shard].keys[tracks[shard].nextKey]
    tracks[shard].nextKey = (tracks[shard].nextKey + 1) % tracks[shard].keys.count
    let write = LoadWrite(key: key, sequence: ledger.issue(key))
    write.appendSet(to: &output)
    return Operation(write: write, shard: shard)
  }

  mutating func answered(
    _ operation: Operation, lane: Int, _ reply: borrowing LoadReply, sent: UInt64, now: UInt64
  ) -> LoadPace {
    let shard = operation.shard
    tracks[shard].waitingCount -= 1
    if reply.kind == .simple && reply.payloadStarts(with: "OK") {
      ledger.acknowledge(operation.write)
      noteGap(shard, now)
      control.acknowledged.add(1, ordering: .relaxed)
      return .proceed
    }
    let text = reply.text
    let words = text.split(separator: " ")
    errors[String(words.first ?? ""), default: 0] += 1
    guard words.count == 3, words[0] == "MOVED",
      let port = words[2].split(separator: ":").last.flatMap({ UInt16($0) }),
      let node = ports.firstIndex(of: port)
    else {
      ledger.doubt(operation.write)
      return .holdBack
    }
    // A late answer of a node that was left does not lead back to it.
    if tracks[shard].node == lane % ports.count { tracks[shard].node = node }
    return .proceed
  }

  mutating func lost(_ operation: Operation, lane: Int) {
    tracks[operation.shard].waitingCount -= 1
    ledger.doubt(operation.write)
    errors["connection lost", default: 0] += 1
  }

  /// Ends the last phase, for those who look at the results.
  mutating func finish() { phases.append(tracks.map(\.gaps)) }

  private mutating func noteGap(_ shard: Int, _ now: UInt64) {
    while phases.count < control.phase.load(ordering: .relaxed) {
      phases.append(tracks.map(\.gaps))
      for index in tracks.indices { tracks[index].gaps = LoadHistogram() }
    }
    let last = tracks[shard].lastAcknowledgement
    if last > 0 { tracks[shard].gaps.record(now - last) }
    tracks[shard].lastAcknowledgement = now
  }
}
