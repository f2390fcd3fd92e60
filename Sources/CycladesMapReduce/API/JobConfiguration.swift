/// What to run, on what, where to.
public struct JobConfiguration: Sendable {
  /// The name of a registered job.
  public var job: String
  /// The job's arguments.
  public var arguments: [String] = []
  /// Files, folders, patterns, or `-` for the standard input.
  public var inputs: [String]
  /// The output folder: new, empty, or left by an earlier job.
  public var output: String
  /// The number of output parts, 1 to 65,536. A key goes to the part that the upper bits of its
  /// XXH3-64 name, so the same job with other partitions writes the same lines into other parts.
  public var partitions = 4
  /// The number of worker processes; 0 runs everything in this process.
  public var workers = 0
  /// The size of a map task's input, 64 KiB to 1 GiB. It never depends on the number of workers, so
  /// that values meet in the same order whoever maps them.
  public var splitBytes = 32 << 20
  /// How many records may throw before the job fails.
  public var badRecordLimit = 0
  /// The most memory that shuffle blocks may take per process. Blocks are not spilled to disk: a
  /// job whose intermediate data is larger fails with `MapReduceError.Code.memory`.
  public var shuffleBytes = 4 << 30
  /// How long a worker may be silent before its tasks are given to others as well.
  public var patience = Duration.seconds(5)

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
    try check((1 << 16...1 << 30).contains(splitBytes), "a split must be 64 KiB to 1 GiB")
    try check(badRecordLimit >= 0, "the limit of bad records must not be negative")
    try check(shuffleBytes >= 1 << 24, "shuffle memory must be 16 MiB or more")
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
