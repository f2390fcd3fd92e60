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
  /// Where the window lies, for errors.
  private var position = InputPosition(path: "", offset: 0)

  private let output: MapOutput
  private let badRecordLimit: Int

  /// Pairs after which the table has to have paid, and the least it must save.
  private static let trial = 100_000
  private static let leastGain = 1.3
  /// Bytes of table or log after which they are written to blocks.
  private static let flushBytes = 256 << 20

  init(_ code: JobCode, memory: TaskMemory, output: MapOutput, badRecordLimit: Int) throws {
    self.memory = memory.pairs
    self.output = output
    self.badRecordLimit = badRecordLimit
    table = code.valueWords > 0 ? try memory.emptyTable(valueWords: code.valueWords) : nil
    log = try memory.emptyLog(valueWords: code.valueWords, partitions: output.partitionCount)
  }

  /// Called before each window.
  func beginWindow(at position: InputPosition, byteCount: Int) {
    self.position = position
    counters.inputBytes += byteCount
  }

  /// Counts a record that threw; throws when there are too many.
  @usableFromInline func recordFailed(_ error: any Error, _ record: RawSpan) throws {
    counters.badRecords += 1
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
    if max(table?.byteCount ?? 0, log?.byteCount ?? 0) > MapWork.flushBytes { try flush() }
  }

  /// Writes everything that is pending to blocks: table entries, then logged pairs.
  func flush() throws {
    if let table {
      counters.pairs += table.pairCount
      try output.write(
        table, table.arrange(partitions: output.partitionCount, sorted: false))
      table.reset()
    }
    if let log, log.count > 0 {
      counters.pairs += log.count
      // The runs of a job that reduces are merged, so they are sorted; a table needs no order.
      try output.write(
        log, log.arrange(partitions: output.partitionCount, sorted: table == nil))
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
}

/// A place in the input, for errors.
@usableFromInline struct InputPosition: CustomStringConvertible, Sendable {
  var path: String
  var offset: Int

  @usableFromInline var description: String { "\(path) near byte \(offset)" }
}

func tooManyBadRecords(
  _ count: Int, limit: Int, _ position: InputPosition?, _ cause: (any Error)?
) -> MapReduceError {
  let place = position.map { ", the last one in \($0)" } ?? ""
  return MapReduceError(
    .job, "\(count) bad records\(place); \(limit) are allowed", cause: cause)
}
