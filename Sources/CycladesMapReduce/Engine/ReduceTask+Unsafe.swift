internal import CCycladesShuffle
internal import CycladesTransport

/// One attempt at one reduce task: takes blocks in order of map task and sequence, then writes the
/// part file, step by step.
final class ReduceTask {
  let partition: Int
  private let memory: TaskMemory
  private let code: TaskCode
  private let valueBytes: Int
  private var state: State
  private(set) var recordCount = 0

  private enum State {
    case folding(AggregationTable)
    case collecting([Block])
    case writingEntries(AggregationTable, next: Int)
    case writingGroups(GroupCursor)
    case done
  }

  /// Bytes of text after which a step ends.
  private static let stepBytes = 1 << 20

  init(partition: Int, code: JobCode, setup: JobSetup, memory: TaskMemory) throws {
    self.partition = partition
    self.memory = memory
    self.code = try code.makeTask(setup.arguments)
    valueBytes = code.valueWords * 8
    state =
      code.valueWords > 0
      ? .folding(try memory.emptyTable(valueWords: code.valueWords)) : .collecting([])
  }

  /// Takes the next block.
  func add(_ block: Block) throws {
    recordCount += block.recordCount
    switch state {
    case .folding(let table): try fold(block, into: table)
    case .collecting(var blocks):
      state = .done  // so that the array is not copied
      blocks.append(block)
      state = .collecting(blocks)
    default: preconditionFailure("a block came after the last one")
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
        if count == 0 { return }
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
  }

  /// Called after the last block: sorts, and gets ready to write.
  func finishInput() throws {
    switch state {
    case .folding(let table):
      _ = try table.arrange(partitions: 1, sorted: true)
      state = .writingEntries(table, next: 0)
    case .collecting(let blocks):
      state = .writingGroups(try GroupCursor(blocks))
    default: preconditionFailure("the input was finished before")
    }
  }

  /// Writes about a megabyte of lines; false when all are written.
  func step(into file: PartWriter) throws -> Bool {
    switch (state, code.reduce) {
    case (.writingEntries(let table, var next), .folding(_, let write)):
      var text = ByteWriter(memory.text)
      while text.byteCount < ReduceTask.stepBytes {
        let count = table.read(from: next)
        if count == 0 { break }
        try write(count, memory.pairs, &text)
        next += count
      }
      try file.write(text, records: next)
      state = next < table.count ? .writingEntries(table, next: next) : .done
    case (.writingGroups(let groups), .grouping(let reduce)):
      var output = ReduceOutput(text: memory.text, key: memory.keyText)
      var more = true
      while more && output.text.byteCount < ReduceTask.stepBytes {
        more = try reduce(groups, 64, &output)
      }
      try file.write(output.text, records: file.recordCount + output.recordCount)
      if !more { state = .done }
    default: break
    }
    if case .done = state { return false }
    return true
  }
}
