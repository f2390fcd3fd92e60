/// One map task as the job's code sees it: where pairs go, and what is counted.
///
/// A combining task starts with the table. When the first hundred thousand pairs fold into hardly
/// fewer keys, the rest of the task goes past the table into the log: looking up what is never there
/// costs more than sending it. Both, and flushing when memory is full, depend on the input alone, so
/// a repeated task writes the same bytes.
@usableFromInline final class MapWork {
  @usableFromInline let memory: PairMemory
  @usableFromInline let table: AggregationTable?
  @usableFromInline let log: PairLog?
  @usableFromInline private(set) var bypassesTable = false

  private(set) var counters = MapCounters()
  private(set) var badRecords: [BadRecord] = []
  /// Where the window lies, for errors.
  private var position = InputPosition(path: "", offset: 0)

  private let output: MapOutput
  private let badRecordLimit: Int

  /// Pairs after which the table has to have paid, and the least it must save.
  private static let trial = 100_000
  private static let leastGain = 1.3
  /// Bytes of table and log after which they are written to blocks: what there is, up to where the
  /// system's clearing of fresh pages costs more than combining further saves.
  private let flushBytes: Int
  private static let flushLimit = 128 << 20
  private let partitioner: Partitioner

  init(
    _ code: JobCode, memory: TaskMemory, partitioner: Partitioner, output: MapOutput,
    badRecordLimit: Int, keepsEverything: Bool = false
  ) throws {
    self.memory = memory.pairs
    self.partitioner = partitioner
    flushBytes = min(memory.share.pairBytes, MapWork.flushLimit)
    self.output = output
    self.badRecordLimit = badRecordLimit
    // A sample of keys wants every pair, combined or not.
    bypassesTable = keepsEverything
    table =
      code.valueWords > 0 && !keepsEverything
      ? try memory.emptyTable(valueWords: code.valueWords) : nil
    log = try memory.emptyLog(valueWords: code.valueWords, partitioner: partitioner)
    _ = memory.pairs.takeCounters()
  }

  /// The file that is being mapped.
  @usableFromInline var path: String { position.path }

  /// Called before each window.
  func beginWindow(at position: InputPosition, byteCount: Int) {
    self.position = position
    counters.inputBytes += byteCount
  }

  /// Counts a record that threw; throws when there are too many.
  @usableFromInline func recordFailed(
    _ error: any Error, _ record: RawSpan, at offset: Int
  ) throws {
    counters.badRecords += 1
    let position = InputPosition(path: position.path, offset: position.offset + offset)
    badRecords.append(
      BadRecord(
        path: position.path, offset: position.offset, byteCount: record.byteCount,
        reason: "\(error)"))
    guard counters.badRecords > badRecordLimit else { return }
    throw tooManyBadRecords(counters.badRecords, limit: badRecordLimit, position, error)
  }

  /// Called after each window, when all its pairs were handed on.
  @usableFromInline func windowDone(records: Int, overflowed: Bool) throws {
    counters.records += records
    if let failure = table?.failure ?? log?.failure { throw failure }
    if overflowed {
      throw MapReduceError(
        .memory, "\(position): a record emits a key or value of more than 256 MiB")
    }
    if let table, !bypassesTable, table.pairCount >= MapWork.trial {
      bypassesTable = Double(table.pairCount) < Double(table.count) * MapWork.leastGain
    }
    if (table?.byteCount ?? 0) + (log?.byteCount ?? 0) > flushBytes { try flush() }
  }

  /// What the job's own code counted; asked once, at the end.
  func takeJobCounters() -> [Int] { memory.takeCounters() }

  /// Writes everything that is pending to blocks: table entries, then logged pairs.
  func flush() throws {
    if let table {
      counters.pairs += table.pairCount
      try output.write(
        table, table.arrange(partitioner, sorted: false))
      table.reset()
    }
    if let log, log.count > 0 {
      counters.pairs += log.count
      // The runs of a job that reduces are merged, so they are sorted; a table needs no order.
      try output.write(
        log, log.arrange(sorted: table == nil))
      log.reset()
    }
  }
}

/// What a map task counted.
struct MapCounters: Hashable, Sendable {
  var records = 0
  var badRecords = 0
  /// Pairs emitted, before any were combined.
  var pairs = 0
  var inputBytes = 0
  /// What the job's own code counted, by the index of its counters.
  var job: [Int] = []
}

/// A record that threw: where it lies, so that it can be looked at, and why.
struct BadRecord: Hashable, Sendable {
  var path: String
  /// Of the record's first byte; in compressed files, of the bytes that come out.
  var offset: Int
  var byteCount: Int
  var reason: String
}

/// A place in the input, for errors.
@usableFromInline struct InputPosition: CustomStringConvertible, Sendable {
  var path: String
  var offset: Int

  @usableFromInline var description: String { "\(path) at byte \(offset)" }
}

func tooManyBadRecords(
  _ count: Int, limit: Int, _ position: InputPosition?, _ cause: (any Error)?
) -> MapReduceError {
  let place = position.map { ", the last one \($0)" } ?? ""
  return MapReduceError(
    .job, "\(count) bad records\(place); \(limit) are allowed", cause: cause)
}
