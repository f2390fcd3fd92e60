internal import CycladesTransport

/// What the tasks of one worker use one after the other, so that only the first takes page faults.
final class TaskMemory {
  let pairs: PairMemory
  /// The input window, and text on its way out.
  let window: Region
  let text: Region
  let keyText: Region
  let pool: BufferPool
  private var table: AggregationTable?
  private var log: PairLog?

  /// Where blocks are kept.
  let store: BlockStore
  let share: MemoryShare

  /// The most bytes of one record, and of the lines that reduce writes in one step.
  static let recordLimit = 1 << 30

  init(pool: BufferPool, store: BlockStore, share: MemoryShare) throws {
    self.pool = pool
    self.store = store
    self.share = share
    pairs = try PairMemory()
    window = try Region(reserving: TaskMemory.recordLimit + (8 << 20))
    text = try Region(reserving: TaskMemory.recordLimit)
    keyText = try Region(reserving: PairMemory.limit)
    guard text.ensure(1 << 16), keyText.ensure(1 << 16) else { throw outOfMemory(1 << 16) }
  }

  /// An empty table for values of so many words.
  func emptyTable(valueWords: Int) throws -> AggregationTable {
    if let table, table.valueWords == valueWords, table.failure == nil {
      table.reset()
      return table
    }
    let fresh = try AggregationTable(valueWords: valueWords, memory: pairs)
    table = fresh
    return fresh
  }

  /// Gives back the memory of table and log, for a task that needs neither.
  func releasePairs() {
    table = nil
    log = nil
  }

  /// An empty log for pairs of a job.
  func emptyLog(valueWords: Int, partitioner: Partitioner) throws -> PairLog {
    if let log, log.valueBytes == valueWords * 8, log.failure == nil {
      log.reset()
      log.partitioner = partitioner
      return log
    }
    let fresh = try PairLog(
      valueBytes: valueWords * 8, partitioner: partitioner, memory: pairs)
    log = fresh
    return fresh
  }
}
