/// A job: a type whose values map records to key-value pairs.
///
/// Conform to `CombiningJob` when the values of a key fold into one as they appear (counts, sums,
/// extremes), or to `ReducingJob` when all values of a key must be seen together. Register the type
/// under its `name` with a `JobRegistry`.
///
/// Every task makes its own value with `init(arguments:)` and uses it on one thread, so a job may
/// keep scratch memory in `self`. It must be deterministic: the pairs of a record depend on the
/// record and the arguments alone. Then the output is the same bytes for any number of workers and
/// any failure.
///
/// Model: J. Dean and S. Ghemawat, MapReduce, OSDI 2004; declared combiners as in Phoenix++.
public protocol MapReduceJob: SendableMetatype {
  /// The type of the keys, sorted by their encoded bytes in the output.
  associatedtype Key: JobKey
  /// The type of the values.
  associatedtype Value: JobValue

  /// The stable name that selects the job on command lines and between processes.
  static var name: String { get }

  /// Changes when the meaning of arguments or encodings does; workers of another version are refused.
  static var version: Int { get }

  /// What a record is.
  static var records: RecordFormat { get }

  /// How the output is ordered.
  static var order: OutputOrder { get }

  /// What the job counts besides; at most 16.
  static var counters: [JobCounter] { get }

  /// Which of so many partitions an encoded key goes to; nil, the default, is by its hash. It must
  /// depend on the key and the arguments alone. Not asked when `order` is `total`.
  var partitioner: (@Sendable (_ key: RawSpan, _ partitions: Int) -> Int)? { get }

  /// Makes the job from its arguments; throws, with one clear line, when they make no sense.
  init(arguments: [String]) throws

  /// Emits the pairs of one record.
  ///
  /// The record, and spans into it, are valid during the call. Throwing marks the record as bad: it
  /// is counted, the job goes on until `JobConfiguration.badRecordLimit` is met, and what the record
  /// had emitted before stays.
  mutating func map(_ record: RawSpan, into output: inout Emitter<Key, Value>) throws
}

extension MapReduceJob {
  /// The first version.
  public static var version: Int { 1 }
  /// One line is one record.
  public static var records: RecordFormat { .line }
  /// Sorted by key within each part.
  public static var order: OutputOrder { .sorted }
  /// None.
  public static var counters: [JobCounter] { [] }
  /// By hash.
  public var partitioner: (@Sendable (_ key: RawSpan, _ partitions: Int) -> Int)? { nil }
}

/// A job whose values fold into one per key, as they are emitted and again where they meet.
public protocol CombiningJob: MapReduceJob where Value: CombinableValue {
  /// How two values become one: `Sum`, `Minimum`, `Maximum`, `Count`, or a type of your own.
  associatedtype Combine: Combiner where Combine.Value == Value
}

/// A job that sees all values of a key together.
public protocol ReducingJob: MapReduceJob {
  /// Writes the output lines of one key.
  ///
  /// Keys come in byte order of their encoding; the values of a key in order of input. Values that
  /// are not taken are skipped.
  mutating func reduce(
    _ key: Key, _ values: inout Values<Value>, into output: inout ReduceOutput) throws
}

/// A job whose output is its pairs, sorted by key; pairs of equal keys keep the order of the input.
///
/// With `OutputOrder.total` the parts, one after the other, are one sorted sequence.
public protocol SortingJob: MapReduceJob {}

/// How the records of the output are ordered.
public enum OutputOrder: Sendable, Hashable {
  /// By the bytes of the keys, within each part.
  case sorted
  /// By the bytes of the keys across all parts: part 0 holds the least keys. Boundaries come from a
  /// sample of the input, which is mapped once more for it.
  case total
  /// Every key once, in no order that means anything: saves a combining job the sorting.
  case grouped
}

/// A figure that a job counts by itself, added up over the attempts that count.
///
/// ```swift
/// static let negative = JobCounter(0, "negative amounts")
/// static var counters: [JobCounter] { [negative] }
/// // in map or reduce: output.count(Self.negative)
/// ```
public struct JobCounter: Sendable, Hashable {
  /// Its place in the job's list of counters, 0 to 15.
  public let index: Int
  /// What people read.
  public let name: String

  /// Makes a counter.
  public init(_ index: Int, _ name: String) {
    precondition((0..<JobCounter.limit).contains(index), "a job has at most 16 counters")
    self.index = index
    self.name = name
  }

  /// The most counters of a job.
  @usableFromInline static let limit = 16
}

/// How input bytes become records. No record spans two files, or is seen twice.
public enum RecordFormat: Sendable, Hashable {
  /// Each line, without its newline; the last one need not have one.
  case line
  /// As many whole lines as are at hand, with their newlines: for mappers that scan by themselves.
  case lines
  /// As much text as is at hand, cut only at ASCII white space: for mappers that look at words.
  case text
  /// Each CSV record (RFC 4180), without its newline. A newline between double quotes ends nothing, so
  /// a file cannot be cut and is one task; use `line` when no field holds a newline.
  case csv
  /// Every so many bytes, 1 to 1 MiB. The size of a file must be a multiple of it.
  case fixed(byteCount: Int)
  /// Each record follows its length, a 32-bit little-endian integer. A file is one task.
  case lengthPrefixed

  /// Whether any white space, and not newlines alone, ends a record.
  package var endsAtAnySpace: Bool { self == .text }

  /// What a cut between two splits must be a multiple of; nil when a file must not be cut.
  var cutUnit: Int? {
    switch self {
    case .line, .lines, .text: 1
    case .fixed(let byteCount): byteCount
    case .csv, .lengthPrefixed: nil
    }
  }
}
