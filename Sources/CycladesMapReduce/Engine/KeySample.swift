internal import CycladesTransport

/// Finds the keys that divide a job's pairs into parts of about the same number.
///
/// The first records of splits all over the input are mapped, and of their keys, in order, those at
/// equal distances are taken. The sample depends on the input alone, so every run of a job cuts alike.
/// Model: the sampling pass of TeraSort (O. O'Malley, 2008).
struct KeySample {
  /// Splits looked at, and bytes of records of each.
  private static let splits = 48
  private static let bytesPerSplit = 128 << 10

  static func boundaries(_ plan: InputPlan, code: JobCode, setup: JobSetup) throws -> [[UInt8]] {
    guard setup.partitions > 1, !plan.splits.isEmpty else { return [] }
    let pool = BufferPool(budgetBytes: 64 << 20)
    let memory = try TaskMemory(
      pool: pool, store: BlockStore(pool: pool, folder: "/", limit: .max),
      share: MemoryShare(budget: 256 << 20, threads: 1))
    let partitioner = Partitioner(count: 1, boundaries: [], choose: nil)
    let log = try memory.emptyLog(valueWords: code.valueWords, partitioner: partitioner)
    let task = try code.makeTask(setup.arguments)
    let output = MapOutput(MapAttempt(job: 0, map: 0, attempt: 0), partitions: 1, memory: memory)
    let work = try MapWork(
      code, memory: memory, partitioner: partitioner, output: output, badRecordLimit: .max,
      keepsEverything: true)
    let step = max(1, plan.splits.count / splits)
    for index in stride(from: 0, to: plan.splits.count, by: step) {
      let reader = SplitReader(
        plan.splits[index], format: code.format, region: memory.window,
        windowBytes: bytesPerSplit)
      _ = try unsafe reader.withNextWindow { try unsafe task.map($0, work) }
    }
    let keys = try log.sortedKeys(at: setup.partitions - 1)
    return keys
  }
}
