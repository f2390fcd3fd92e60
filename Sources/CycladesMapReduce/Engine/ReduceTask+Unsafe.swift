internal import CCycladesShuffle
internal import CycladesTransport

/// One attempt at one reduce task: takes blocks in order of map task and sequence, then writes the
/// part file, step by step.
///
/// Both ways to reduce go over to sorted runs on disk when memory is full:
///
///   folding   blocks -> table --full--> sorted run ─┐
///   merging   blocks = sorted runs ──full──> merge ─┴─> runs ──> merge ──> part
final class ReduceTask {
  private let memory: TaskMemory
  private let code: TaskCode
  private let setup: JobSetup
  private let valueBytes: Int
  private let isOrdered: Bool
  private let alone: Partitioner
  private let name: MapAttempt
  private var state: State
  /// What did not fit into memory.
  private var spilled: MapOutput?

  private enum State {
    case folding(AggregationTable)
    case merging
    case writingEntries(AggregationTable, next: Int)
    case writingGroups(GroupCursor)
    case done
  }

  /// Of a merge: the runs in order, and what holding them takes.
  private var runs: [[StoredBlock]] = []
  private var heldBytes = 0
  private var lastRun: (map: Int, run: Int)?

  /// Bytes of text after which a step ends.
  private static let stepBytes = 1 << 20

  init(code: JobCode, setup: JobSetup, memory: TaskMemory) throws {
    self.memory = memory
    self.code = try code.makeTask(setup.arguments)
    self.setup = setup
    valueBytes = code.valueWords * 8
    isOrdered = code.order != .grouped
    alone = Partitioner(count: 1, boundaries: [], choose: nil)
    name = MapAttempt(job: 0, map: 0, attempt: 0)
    _ = memory.pairs.takeCounters()
    if code.valueWords > 0 {
      state = .folding(try memory.emptyTable(valueWords: code.valueWords))
    } else {
      memory.releasePairs()
      state = .merging
    }
  }

  // MARK: Input

  /// Takes the next block, which came from another worker and is held in memory.
  func add(_ block: Block) throws {
    switch state {
    case .folding(let table): try fold(block, into: table)
    case .merging:
      if let lastRun, lastRun == (block.name.map, block.run) {
        runs[runs.count - 1].append(.resident(block.frame))
      } else {
        lastRun = (block.name.map, block.run)
        runs.append([.resident(block.frame)])
      }
      heldBytes += block.frame.byteCount
      if heldBytes > memory.share.pairBytes { try mergeRuns() }
    default: preconditionFailure("a block came after the last one")
    }
  }

  /// Takes all blocks of a map output that is kept in this process.
  func add(_ output: MapOutput, partition: Int) throws {
    for run in output.runs(of: partition) {
      switch state {
      case .folding(let table):
        for block in run { try fold(Block(verifying: block.frame(in: memory.pool)), into: table) }
      case .merging:
        runs.append(run)
        if run.contains(where: \.isSpilled) { heldBytes += memory.share.blockSize }
        if heldBytes > memory.share.pieceBytes { try mergeRuns() }
      default: preconditionFailure("a block came after the last one")
      }
    }
  }

  private func fold(_ block: Block, into table: AggregationTable) throws {
    guard case .folding(let add, _) = code.reduce else { return }
    let records = unsafe block.recordBytes
    guard let base = unsafe records.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
    var offset = 0
    try unsafe withUnsafeTemporaryAllocation(
      of: cyc_shuffle_record.self, capacity: PairMemory.capacity
    ) { batch in
      let pairs = memory.pairs
      guard pairs.valueRegion.ensure(PairMemory.capacity * valueBytes) else {
        throw outOfMemory(PairMemory.capacity * valueBytes)
      }
      while true {
        let count = unsafe Int(
          cyc_shuffle_block_read(
            base, records.count, &offset, UInt32(valueBytes), batch.baseAddress,
            UInt32(batch.count)))
        guard count >= 0 else {
          throw MapReduceError(
            .protocolViolation, "the records of a shuffle block are malformed")
        }
        if count == 0 { break }
        for index in 0..<count {
          unsafe pairs.keys[index] = batch[index].key
          unsafe pairs.lengths[index] = batch[index].key_length
          // Values lie at any address in a block and are words in the table.
          unsafe (pairs.valueRegion.start + index * valueBytes).copyMemory(
            from: batch[index].value, byteCount: valueBytes)
        }
        add(count, table)
        if let failure = table.failure { throw failure }
      }
    }
    if table.byteCount > memory.share.pairBytes { try spill(table) }
  }

  // MARK: Spilling

  private var spill: MapOutput {
    if let spilled { return spilled }
    let fresh = MapOutput(name, partitions: 1, memory: memory, spilling: true)
    spilled = fresh
    return fresh
  }

  private func spill(_ table: AggregationTable) throws {
    try spill.write(table, table.arrange(alone, sorted: true))
    table.reset()
  }

  /// Makes one run on disk of all there are.
  private func mergeRuns() throws {
    let cursor = try GroupCursor(
      runs, valueBytes: valueBytes, groupLength: nil, pool: memory.pool)
    let merged = MapOutput(name, partitions: 1, memory: memory, spilling: true)
    try cursor.writeRun(
      to: merged, valueBytes: valueBytes, blockSize: memory.share.blockSize)
    runs = merged.runs(of: 0)
    heldBytes = memory.share.blockSize
    lastRun = nil
  }

  // MARK: Output

  /// Called after the last block: sorts, and gets ready to write.
  func finishInput() throws {
    switch state {
    case .folding(let table):
      if let spilled {
        try spill(table)
        runs = spilled.runs(of: 0)
        state = .writingGroups(try cursor())
      } else {
        _ = try table.arrange(alone, sorted: isOrdered)
        state = .writingEntries(table, next: 0)
      }
    case .merging: state = .writingGroups(try cursor())
    default: preconditionFailure("the input was finished before")
    }
  }

  private func cursor() throws -> GroupCursor {
    defer { runs = [] }
    return try GroupCursor(
      runs, valueBytes: valueBytes, groupLength: code.groupLength, pool: memory.pool)
  }

  /// Writes about a megabyte of output; false when all is written.
  func step(into file: PartWriter) throws -> Bool {
    var output = ReduceOutput(memory, format: setup.format)
    var more = true
    switch state {
    case .writingEntries(let table, var next):
      guard case .folding(_, let write) = code.reduce else { return false }
      while more && output.text.byteCount < ReduceTask.stepBytes {
        let count = table.read(from: next)
        try write(count, memory.pairs, &output)
        next += count
        more = count > 0
      }
      state = .writingEntries(table, next: next)
    case .writingGroups(let groups):
      while more && output.text.byteCount < ReduceTask.stepBytes {
        more = try code.merge(groups, 64, &output)
      }
    default: return false
    }
    try file.write(output.text, records: output.recordCount)
    if !more { state = .done }
    return more
  }

  /// What the job's own code counted; asked once, at the end.
  func takeJobCounters() -> [Int] { memory.pairs.takeCounters() }
}
