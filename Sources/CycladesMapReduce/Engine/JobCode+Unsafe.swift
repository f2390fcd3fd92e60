/// A job as the engine runs it: its constants, and closures that were specialised for its type.
///
/// The initialisers are inlinable, so they, and with them the user's `map`, the emitter, the codecs
/// and the combiner, become one loop in the binary that registers the job. What is called through a
/// closure is called per window of input or per 64 pairs, never per record.
@usableFromInline struct JobCode: Sendable {
  let name: String
  let version: Int
  let format: RecordFormat
  /// Words of a combined value; 0 for a job that reduces.
  let valueWords: Int
  let makeTask: @Sendable ([String]) throws -> TaskCode

  @usableFromInline init(
    name: String, version: Int, format: RecordFormat, valueWords: Int,
    makeTask: @escaping @Sendable ([String]) throws -> TaskCode
  ) {
    self.name = name
    self.version = version
    self.format = format
    self.valueWords = valueWords
    self.makeTask = makeTask
  }

  @inlinable init<Job: CombiningJob>(combining: Job.Type) {
    precondition((1...8).contains(Job.Value.wordCount), "a combined value takes 1 to 8 words")
    self.init(
      name: Job.name, version: Job.version, format: Job.records, valueWords: Job.Value.wordCount
    ) { arguments in
      var job = try Job(arguments: arguments)
      return unsafe TaskCode(
        map: { window, work in
          var emitter: Emitter<Job.Key, Job.Value>
          if let log = work.log, work.bypassesTable {
            emitter = unsafe Emitter(work.memory, window: window) { count in
              initialValues(Job.Combine.self, count, work.memory)
              log.append(count)
            }
          } else if let table = work.table {
            emitter = unsafe Emitter(work.memory, window: window) { count in
              combinePairs(Job.Combine.self, count, table, partial: false)
            }
          } else {
            return
          }
          try unsafe mapWindow(&job, window, &emitter, work)
        },
        reduce: .folding(
          add: { count, table in combinePairs(Job.Combine.self, count, table, partial: true) },
          write: { count, memory, output in
            try writeEntries(Job.Key.self, Job.Value.self, count, memory, &output)
          }))
    }
  }

  @inlinable init<Job: ReducingJob>(reducing: Job.Type) {
    self.init(name: Job.name, version: Job.version, format: Job.records, valueWords: 0) {
      arguments in
      var job = try Job(arguments: arguments)
      return unsafe TaskCode(
        map: { window, work in
          guard let log = work.log else { return }
          var emitter = unsafe Emitter<Job.Key, Job.Value>(work.memory, window: window) { count in
            log.append(count)
          }
          try unsafe mapWindow(&job, window, &emitter, work)
        },
        reduce: .grouping { groups, limit, output in
          try reduceGroups(&job, groups, limit, &output)
        })
    }
  }
}

/// The code of one task; holds the job's value, so it belongs to one thread.
@usableFromInline @safe struct TaskCode {
  /// Maps the records of a window of input, which has 16 readable bytes behind it.
  let map: (UnsafeRawBufferPointer, MapWork) throws -> Void
  let reduce: ReduceCode

  @usableFromInline init(
    map: @escaping (UnsafeRawBufferPointer, MapWork) throws -> Void, reduce: ReduceCode
  ) {
    unsafe self.map = unsafe map
    self.reduce = reduce
  }
}

/// The two ways to reduce.
@usableFromInline enum ReduceCode {
  /// Fold partial values into a table; write its entries as text, a batch at a time.
  case folding(
    add: (Int, AggregationTable) -> Void,
    write: (Int, PairMemory, inout ByteWriter) throws -> Void)
  /// Reduce up to so many groups of a merge; false when there are no more.
  case grouping((GroupCursor, Int, inout ReduceOutput) throws -> Bool)
}

/// Maps every record of a window. A record that throws is counted and skipped.
@inlinable func mapWindow<Job: MapReduceJob>(
  _ job: inout Job, _ window: UnsafeRawBufferPointer,
  _ emitter: inout Emitter<Job.Key, Job.Value>, _ work: MapWork
) throws {
  let text = unsafe RawSpan(_unsafeBytes: window)
  var records = 0
  if Job.records == .line {
    try text.forEachLine { line in
      records &+= 1
      do { try job.map(line, into: &emitter) } catch { try work.recordFailed(error, line) }
    }
  } else {
    records = 1
    do { try job.map(text, into: &emitter) } catch { try work.recordFailed(error, text) }
  }
  try work.windowDone(records: records, overflowed: emitter.flush())
}

/// Folds the batch's values into the table. `partial`: they were folded before.
@inlinable func combinePairs<Combine: Combiner>(
  _: Combine.Type, _ count: Int, _ table: AggregationTable, partial: Bool
) {
  guard let fresh = table.locate(count) else { return }
  let words = Combine.Value.wordCount
  let values = unsafe table.memory.values
  let places = unsafe table.memory.places
  for index in 0..<count {
    let emitted = unsafe Combine.Value(
      words: Span(_unsafeStart: values + index &* words, count: words))
    let next = partial ? emitted : Combine.initial(emitted)
    let place = unsafe places[index].unsafelyUnwrapped
    var slot = unsafe MutableSpan(_unsafeStart: place, count: words)
    if fresh & (1 &<< UInt64(truncatingIfNeeded: index)) != 0 {
      next.store(in: &slot)
    } else {
      var total = unsafe Combine.Value(words: Span(_unsafeStart: place, count: words))
      Combine.combine(&total, next)
      total.store(in: &slot)
    }
  }
}

/// Replaces the batch's values by what they count for, as the table would have.
@inlinable func initialValues<Combine: Combiner>(
  _: Combine.Type, _ count: Int, _ memory: PairMemory
) {
  let words = Combine.Value.wordCount
  for index in 0..<count {
    let place = unsafe memory.values + index &* words
    let value = unsafe Combine.Value(words: Span(_unsafeStart: place, count: words))
    var slot = unsafe MutableSpan(_unsafeStart: place, count: words)
    Combine.initial(value).store(in: &slot)
  }
}

/// Writes the batch's entries as lines: key, tab, value.
@inlinable func writeEntries<Key: JobKey, Value: CombinableValue>(
  _: Key.Type, _: Value.Type, _ count: Int, _ memory: PairMemory, _ output: inout ByteWriter
) throws {
  for index in 0..<count {
    let key = unsafe RawSpan(
      _unsafeStart: memory.keys[index].unsafelyUnwrapped,
      byteCount: Int(memory.lengths[index]))
    let value = unsafe Value(
      words: Span(
        _unsafeStart: memory.places[index].unsafelyUnwrapped, count: Value.wordCount))
    try Key.writeText(ofKey: key, into: &output)
    output.append(UInt8(ascii: "\t"))
    value.writeText(into: &output)
    output.append(UInt8(ascii: "\n"))
  }
}

/// Reduces up to `limit` groups; false when there are no more.
@inlinable func reduceGroups<Job: ReducingJob>(
  _ job: inout Job, _ groups: GroupCursor, _ limit: Int, _ output: inout ReduceOutput
) throws -> Bool {
  for _ in 0..<limit {
    guard try groups.nextGroup() else { return false }
    try groups.withKey { key in
      try output.begin(Job.Key.self, key)
      var values = Values<Job.Value>(groups)
      try job.reduce(Job.Key(decodingKey: key), &values, into: &output)
    }
  }
  return true
}
