import CycladesTransport
import Testing

@testable import CycladesMapReduce

@Suite("Shuffle fetch", .timeLimit(.minutes(5)))
struct ShuffleFetchTests {
  private let pool = BufferPool(budgetBytes: 64 << 20)

  /// A sealed output with one partition of so many blocks.
  private func output(map: Int, attempt: Int = 0, pairs: Int) throws -> MapOutput {
    let tasks = try TaskMemory(
      pool: pool, store: BlockStore(pool: pool, folder: "/tmp", limit: .max),
      share: MemoryShare(budget: 1 << 30, threads: 1))
    let memory = tasks.pairs
    let output = MapOutput(
      MapAttempt(job: 1, map: map, attempt: attempt), partitions: 1, memory: tasks)
    let log = try PairLog(
      valueBytes: 0, partitioner: Partitioner(count: 1, boundaries: [], choose: nil),
      memory: memory)
    for number in 0..<pairs {
      var emitter = unsafe Emitter<String, ByteString>(
        memory, window: UnsafeRawBufferPointer(start: nil, count: 0)
      ) { log.append($0) }
      emitter.emit(
        "\(map) \(number)", ByteString([UInt8](repeating: 0x2e, count: 30_000)))
      emitter.flush()
    }
    try output.write(log, log.arrange(sorted: false))
    return output
  }

  private func source(_ worker: Int, attempt: Int = 0) -> PeerSource {
    PeerSource(attempt: attempt, worker: WorkerID(rawValue: worker), address: .loopback(port: 1))
  }

  /// Answers a pull as a server does.
  private func answer(
    _ pull: ShuffleFetch.Pull, _ outputs: [MapOutput], _ fetch: ShuffleFetch, cut: Int = .max
  ) throws {
    let blocks = outputs[pull.map].blocks[0]
    var room = pull.credit
    var next = pull.sequence
    while next < min(cut, blocks.count), next == pull.sequence || blocks[next].byteCount <= room {
      fetch.take(try Block(verifying: blocks[next].frame(in: pool)), now: 0)
      room -= blocks[next].byteCount
      next += 1
    }
    if cut == .max {
      fetch.pulled(map: pull.map, attempt: pull.source.attempt, total: blocks.count)
    }
  }

  @Test(
    "blocks come in order of map and sequence, whatever order they arrive in", arguments: 0..<20)
  func order(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    let outputs = try (0..<6).map {
      try output(map: $0, pairs: Int.random(in: 0...40, using: &random))
    }
    let fetch = ShuffleFetch(
      partition: 0, sources: (0..<6).map { source($0 % 2) }, now: 0, window: 1 << 20,
      credit: 300 << 10)
    var pending: [ShuffleFetch.Pull] = []
    var names: [[Int]] = []
    var rounds = 0
    while fetch.waitingFor != nil && rounds < 10_000 {
      rounds += 1
      pending += fetch.takePulls()
      #expect(pending.count <= 4, "more is promised than the window holds")
      if let index = pending.indices.randomElement(using: &random) {
        try answer(pending.remove(at: index), outputs, fetch)
      }
      while let block = fetch.next(now: 0) { names.append([block.name.map, block.sequence]) }
    }
    #expect(fetch.waitingFor == nil)
    #expect(
      names
        == outputs.enumerated().flatMap { map, output in output.blocks[0].indices.map { [map, $0] }
        })
  }

  @Test("the rest of a lost source is pulled from the next attempt, where it stopped")
  func moved() throws {
    let first = try output(map: 0, pairs: 30)
    let second = try output(map: 0, attempt: 1, pairs: 30)
    #expect(first.digest == second.digest)
    #expect(first.blocks[0].count > 2)
    let fetch = ShuffleFetch(partition: 0, sources: [source(0)], now: 0)
    let pull = try #require(fetch.takePulls().first)
    try answer(pull, [first], fetch, cut: 2)
    fetch.lost(WorkerID(rawValue: 0))
    #expect(fetch.takePulls() == [] && !fetch.hasSource)
    fetch.move(map: 0, to: source(1, attempt: 1))
    let again = try #require(fetch.takePulls().first)
    #expect(again.sequence == 2 && again.source.attempt == 1)
    // What the old one still says counts for nothing.
    fetch.pulled(map: 0, attempt: 0, total: 2)
    try answer(again, [second], fetch)
    var count = 0
    while let block = fetch.next(now: 0) {
      #expect(block.sequence == count)
      count += 1
    }
    #expect(count == first.blocks[0].count && fetch.waitingFor == nil)
  }

  @Test("a damaged block is refused")
  func damaged() throws {
    let block = try output(map: 0, pairs: 1).blocks[0][0].frame(in: pool)
    var bytes = block.span.copied()
    bytes[100] ^= 1
    let damaged = try Bytes(copying: bytes, in: pool)
    #expect(throws: MapReduceError.self) { try Block(verifying: damaged) }
    #expect(throws: Never.self) { try Block(verifying: block) }
  }
}
