import CountAllocations
import CycladesPaxos

/// Three cores and nothing else: no disk, no network, no clock. Counts what deciding costs the heap.
struct CoreCluster {
  private var cores: [Paxos] = []
  private var effects: [Effect] = []
  private var letters: [(to: Int, from: NodeID, message: Message)] = []
  private(set) var applied = 0
  private var now: UInt64 = 1

  init() throws {
    for node in 1...3 as ClosedRange<UInt32> {
      cores.append(
        try Paxos(
          Configuration(node: NodeID(rawValue: node), members: [1, 2, 3]), seed: UInt64(node),
          makeNoop: {
            Payload(byteCount: 0, checksum: Checksum(low: 0, high: 0), isNoop: true)
          }))
    }
    effects.reserveCapacity(64)
    letters.reserveCapacity(64)
    for index in cores.indices {
      cores[index].start(now: now, into: &effects)
      carryOut(index)
    }
    while !cores.contains(where: \.canPropose) { tick() }
  }

  private mutating func tick() {
    now += 10_000_000
    for index in cores.indices { step(index, .tick(now: now)) }
    deliver()
  }

  private mutating func step(_ index: Int, _ event: Event) {
    cores[index].step(event, into: &effects)
    carryOut(index)
  }

  private mutating func carryOut(_ index: Int) {
    var durable: UInt64 = 0
    for effect in effects {
      switch effect {
      case .persistPromise(_, let token), .persistEntry(_, let token): durable = token
      case .send(let message, let node, _):
        letters.append((Int(node.rawValue) - 1, cores[index].configuration.node, message))
      case .apply: if index == 0 { applied += 1 }
      default: break
      }
    }
    effects.removeAll(keepingCapacity: true)
    if durable > 0 { step(index, .persisted(token: durable)) }
  }

  private mutating func deliver() {
    while let letter = letters.popLast() {
      step(letter.to, .received(letter.message, from: letter.from))
    }
  }

  /// Has a value decided; time goes on by a tick now and then, as in life.
  mutating func decide(_ value: Payload) {
    guard let leader = cores.firstIndex(where: \.canPropose) else { fatalError("no leader") }
    guard cores[leader].propose(value, into: &effects) != nil else { fatalError("refused") }
    carryOut(leader)
    deliver()
  }

  /// Prints allocations per decided value, once everything has grown to its size.
  static func measure(_ count: Int) throws {
    var cluster = try CoreCluster()
    let values = (0..<count).map {
      Payload(byteCount: 64, checksum: Checksum(low: UInt64($0), high: 0), isNoop: false)
    }
    for value in values { cluster.decide(value) }
    let (applied, before) = (cluster.applied, allocations_counted())
    for value in values { cluster.decide(value) }
    let counted = allocations_counted() - before
    let decided = cluster.applied - applied
    guard decided >= count - 2 else { fatalError("only \(decided) of \(count) were decided") }
    print("{\"name\":\"core\",\"decided\":\(decided),\"allocations\":\(counted)}")
  }
}
