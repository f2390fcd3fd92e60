/// What to run, on what, where to.
public struct JobConfiguration: Sendable {
  /// The name of a registered job.
  public var job: String
  /// The job's arguments.
  public var arguments: [String] = []
  /// Files, folders, patterns, or `-` for the standard input. What ends in `.gz` or `.zst` is
  /// decompressed, in builds with the trait Compression.
  public var inputs: [String]
  /// The output folder: new, empty, or left by a job that did not end.
  public var output: String
  /// Whether the output of an earlier job may be replaced.
  public var overwrites = false
  /// The number of output parts, 1 to 65,536. A key goes to the part that the upper bits of its
  /// XXH3-64 name, so the same job with other partitions writes the same lines into other parts.
  public var partitions = 4
  /// The number of worker processes; 0 runs everything in this process.
  public var workers = 0
  /// The number of threads when there are no worker processes; 0 takes what the machine has, 1 runs
  /// the whole job on the calling thread.
  public var threads = 0
  /// The size of a map task's input, 64 KiB to 1 GiB. It never depends on the number of workers, so
  /// that values meet in the same order whoever maps them.
  public var splitBytes = 32 << 20
  /// How many records may throw before the job fails. They are listed in the file `_BAD` of the output.
  public var badRecordLimit = 0
  /// The memory that each process of the job may take for data, 64 MiB or more. What does not fit is
  /// sorted, spilled to disk and merged. A process takes up to 64 MiB on top, for itself.
  public var memoryBytes = 2 << 30
  /// Where spill files go; the output folder, unless it is named.
  public var spillFolder: String?
  /// How records of output are written.
  public var format = OutputFormat.text
  /// How parts are compressed, in builds with the trait Compression.
  public var compression = OutputCompression.none
  /// Whether a part is on disk, and not only in the system's cache, before it gets its name.
  public var syncs = true
  /// How long a worker may be silent before its tasks are given to others as well.
  public var patience = Duration.seconds(5)
  /// Whether a task that takes much longer than others did is tried by an idle worker as well.
  public var backups = true
  /// A file for a trace of all tasks, which chrome://tracing and Perfetto open.
  public var trace: String?

  /// Disturbances for tests and demonstrations.
  public var disturbances: [Disturbance] = []

  /// Makes a configuration with defaults for the rest.
  public init(job: String, arguments: [String] = [], inputs: [String], output: String) {
    self.job = job
    self.arguments = arguments
    self.inputs = inputs
    self.output = output
  }

  func validate() throws {
    func check(_ holds: Bool, _ message: String) throws {
      if !holds { throw MapReduceError(.usage, message) }
    }
    try check(!inputs.isEmpty, "no input is named; give files, folders, patterns or '-'")
    try check(!output.isEmpty, "no output folder is named")
    try check((1...65_536).contains(partitions), "partitions must be 1 to 65536")
    try check((0...256).contains(workers), "workers must be 0 to 256")
    try check((0...256).contains(threads), "threads must be 0 to 256")
    try check((1 << 16...1 << 30).contains(splitBytes), "a split must be 64 KiB to 1 GiB")
    try check(badRecordLimit >= 0, "the limit of bad records must not be negative")
    try check(memoryBytes >= 64 << 20, "memory must be 64 MiB or more")
    try check(
      compression == .none || InputCoding.isCompressionBuilt,
      "this program was built without the trait Compression; it cannot write \(compression)")
  }

  /// Where spill files go.
  var spillPath: String { spillFolder ?? output }
}

/// How a part file is compressed.
public enum OutputCompression: String, Sendable, Hashable, CaseIterable {
  /// Not at all.
  case none
  /// gzip; the names of parts end in `.gz`.
  case gzip
  /// Zstandard; the names of parts end in `.zst`.
  case zstd

  var suffix: String {
    switch self {
    case .none: ""
    case .gzip: ".gz"
    case .zstd: ".zst"
    }
  }
}

/// A signal that hits a worker when so many map tasks are done: what a test does to prove that
/// nothing is lost.
public struct Disturbance: Sendable, Hashable {
  /// The worker, from 0 in order of joining.
  public var worker: Int
  /// How many map tasks are done before it happens.
  public var mapsDone: Int
  /// The signal, such as `SIGKILL` or `SIGSTOP`.
  public var signal: Int32

  /// Makes a disturbance.
  public init(worker: Int, mapsDone: Int, signal: Int32) {
    self.worker = worker
    self.mapsDone = mapsDone
    self.signal = signal
  }
}
