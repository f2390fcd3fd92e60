/// A job as the engine runs it: its constants, and closures that were specialised for its type.
///
/// The initialisers are inlinable, so they, and with them the user's `map`, the emitter, the codecs
/// and the combiner, become one loop in the binary that registers the job. What is called through a
/// closure is called per window of input or per 64 pairs, never per record.
@usableFromInline struct JobCode: Sendable {
  let name: String
  let version: Int
  let format: RecordFormat
  let order: OutputOrder
  let counters: [JobCounter]
  /// Words of a combined value; 0 for a job that sees all values.
  let valueWords: Int
  /// Whether a thread may fold all its splits in one table.
  let ignoresOrder: Bool
  let makeTask: @Sendable ([String]) throws -> TaskCode
  /// The arguments of the next round, of those of this one and the lines it wrote; nil for jobs that do
  /// not iterate.
  let next: (@Sendable ([String], [String]) throws -> [String])?

  @usableFromInline init<Job: MapReduceJob>(
    _ job: Job.Type, valueWords: Int, ignoresOrder: Bool,
    makeTask: @escaping @Sendable ([String]) throws -> TaskCode
  ) {
    name = Job.name
    version = Job.version
    format = Job.records
    order = Job.order
    counters = Job.counters
    self.valueWords = valueWords
    self.ignoresOrder = ignoresOrder
    self.makeTask = makeTask
    if let iterative = job as? any IterativeJob.Type {
      next = { try iterative.arguments(after: $0, output: $1) }
    } else {
      next = nil
    }
  }

  @inlinable init<Job: CombiningJob>(combining: Job.Type) {
    precondition((1...8).contains(Job.Value.wordCount), "a combined value takes 1 to 8 words")
    self.init(
      Job.self, valueWords: Job.Value.wordCount, ignoresOrder: Job.Combine.ignoresOrder
    ) { arguments in
      var job = try Job(arguments: arguments)
      return unsafe TaskCode(
        map: { window, work in
          var emitter: Emitter<Job.Key, Job.Value>
          if let log = work.log, work.bypassesTable {
            emitter = unsafe Emitter(work.memory, window: window, path: work.path) { count in
              initialValues(Job.Combine.self, count, work.memory)
              log.append(count)
            }
          } else if let table = work.table {
            emitter = unsafe Emitter(work.memory, window: window, path: work.path) { count in
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
          }),
        merge: { groups, limit, output in
          try foldGroups(Job.Key.self, Job.Combine.self, groups, limit, &output)
        },
        choose: chooser(job), groupLength: nil)
    }
  }

  @inlinable init<Job: ReducingJob>(reducing: Job.Type) {
    self.init(Job.self, valueWords: 0, ignoresOrder: false) { arguments in
      var job = try Job(arguments: arguments)
      return unsafe TaskCode(
        map: { window, work in try unsafe mapToLog(&job, window, work) },
        reduce: .merging,
        merge: { groups, limit, output in try reduceGroups(&job, groups, limit, &output) },
        choose: chooser(job),
        groupLength: Job.Key.hasOrder ? { Job.Key.groupByteCount(ofKey: $0) } : nil)
    }
  }

  @inlinable init<Job: SortingJob>(sorting: Job.Type) {
    self.init(Job.self, valueWords: 0, ignoresOrder: false) { arguments in
      var job = try Job(arguments: arguments)
      return unsafe TaskCode(
        map: { window, work in try unsafe mapToLog(&job, window, work) },
        reduce: .merging,
        merge: { records, limit, output in
          try writeRecords(Job.Key.self, Job.Value.self, records, limit, &output)
        },
        choose: chooser(job), groupLength: nil)
    }
  }
}

/// The code of one task; holds the job's value, so it belongs to one thread.
@usableFromInline @safe struct TaskCode {
  /// Maps the records of a window of input, which has 16 readable bytes behind it.
  let map: (UnsafeRawBufferPointer, MapWork) throws -> Void
  let reduce: ReduceCode
  /// Writes the output of up to so many groups of a merge; false when there are no more.
  let merge: (GroupCursor, Int, inout ReduceOutput) throws -> Bool
  /// The job's own partitioning, if it has one.
  let choose: ((RawSpan, Int) -> Int)?
  /// How many bytes of a key name its group; nil for all.
  let groupLength: ((RawSpan) -> Int)?

  @usableFromInline init(
    map: @escaping (UnsafeRawBufferPointer, MapWork) throws -> Void, reduce: ReduceCode,
    merge: @escaping (GroupCursor, Int, inout ReduceOutput) throws -> Bool,
    choose: ((RawSpan, Int) -> Int)?, groupLength: ((RawSpan) -> Int)?
  ) {
    unsafe self.map = unsafe map
    self.reduce = reduce
    self.merge = merge
    self.choose = choose
    self.groupLength = groupLength
  }
}

/// What a reduce does with what it receives.
@usableFromInline enum ReduceCode {
  /// Fold partial values into a table; write its entries, a batch at a time.
  case folding(
    add: (Int, AggregationTable) -> Void,
    write: (Int, PairMemory, inout ReduceOutput) throws -> Void)
  /// Merge the sorted runs.
  case merging
}

/// How a job chooses partitions: as it says; by the group of a key that has an order; else by hash.
@inlinable func chooser<Job: MapReduceJob>(_ job: Job) -> ((RawSpan, Int) -> Int)? {
  if let partitioner = job.partitioner { return partitioner }
  guard Job.Key.hasOrder else { return nil }
  return { key, count in
    hashedPartition(key.extracting(first: Job.Key.groupByteCount(ofKey: key)), count)
  }
}

/// The partition of bytes by their hash.
@usableFromInline func hashedPartition(_ bytes: RawSpan, _ count: Int) -> Int {
  Partitioner.hashed(bytes, count)
}

@inlinable func mapToLog<Job: MapReduceJob>(
  _ job: inout Job, _ window: UnsafeRawBufferPointer, _ work: MapWork
) throws {
  guard let log = work.log else { return }
  var emitter = unsafe Emitter<Job.Key, Job.Value>(work.memory, window: window, path: work.path) {
    count in
    log.append(count)
  }
  try unsafe mapWindow(&job, window, &emitter, work)
}

/// Maps every record of a window. A record that throws is counted and skipped.
@inlinable func mapWindow<Job: MapReduceJob>(
  _ job: inout Job, _ window: UnsafeRawBufferPointer,
  _ emitter: inout Emitter<Job.Key, Job.Value>, _ work: MapWork
) throws {
  let text = unsafe RawSpan(_unsafeBytes: window)
  var records = 0
  func map(_ record: RawSpan) throws {
    records &+= 1
    do { try job.map(record, into: &emitter) } catch {
      try work.recordFailed(error, record, at: unsafe record.distance(from: window))
    }
  }
  switch Job.records {
  case .line: try text.forEachLine(map)
  case .lines, .text: try map(text)
  case .csv: try text.forEachRecord({ csvRecord($0, $1) }, map)
  case .fixed(let byteCount):
    try text.forEachRecord({ ($1, $1 &+ byteCount, $1 &+ byteCount) }, map)
  case .lengthPrefixed: try text.forEachRecord({ prefixedRecord($0, $1) }, map)
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

/// Writes the batch's entries.
@inlinable func writeEntries<Key: JobKey, Value: CombinableValue>(
  _: Key.Type, _: Value.Type, _ count: Int, _ memory: PairMemory, _ output: inout ReduceOutput
) throws {
  for index in 0..<count {
    let key = unsafe RawSpan(
      _unsafeStart: memory.keys[index].unsafelyUnwrapped,
      byteCount: Int(memory.lengths[index]))
    let value = unsafe Value(
      words: Span(
        _unsafeStart: memory.places[index].unsafelyUnwrapped, count: Value.wordCount))
    try output.write(Key.self, key, value)
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

/// Folds the partial values of up to `limit` groups; false when there are no more.
@inlinable func foldGroups<Key: JobKey, Combine: Combiner>(
  _: Key.Type, _: Combine.Type, _ groups: GroupCursor, _ limit: Int,
  _ output: inout ReduceOutput
) throws -> Bool {
  for _ in 0..<limit {
    guard try groups.nextGroup(), try groups.nextValue() else { return false }
    var total = try groups.withValue { try Combine.Value(decoding: $0) }
    while try groups.nextValue() {
      try groups.withValue { Combine.combine(&total, try Combine.Value(decoding: $0)) }
    }
    try groups.withKey { try output.write(Key.self, $0, total) }
  }
  return true
}

/// Writes about `limit` pairs as they come; false when there are no more.
@inlinable func writeRecords<Key: JobKey, Value: JobValue>(
  _: Key.Type, _: Value.Type, _ records: GroupCursor, _ limit: Int,
  _ output: inout ReduceOutput
) throws -> Bool {
  for _ in 0..<max(1, limit / PairMemory.capacity) {
    let more = try records.withRecords { key, value in
      try output.write(Key.self, key, Value(decoding: value))
    }
    if !more { return false }
  }
  return true
}
