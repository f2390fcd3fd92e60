import ArgumentParser
import CycladesJobs
import CycladesMapReduce
import CycladesReplication
import Glibc
import Logging

/// Runs a built-in job over files, with worker processes of this same binary.
struct MapReduceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mapreduce",
    abstract: "Run a MapReduce job over files.",
    usage: """
      cyclades mapreduce wordcount --input PATH... --output DIR [--workers N]
      cyclades mapreduce grep PATTERN --input PATH... --output DIR [--workers N]
      cyclades mapreduce JOB --input PATH... --output DIR --cluster HOST:PORT
      """,
    discussion: """
      The output folder gets part-00000, part-00001, ... with one 'key TAB value' line per record, \
      in byte order of the keys within a part, beside a MANIFEST and _SUCCESS.

      redis://HOST:PORT/PREFIX is all strings of a store whose keys begin with the prefix, as lines \
      'key TAB value' without it; or where the output's keys and values go.

      A cluster is three processes of 'cyclades mapreduce node', and any number of 'cyclades \
      mapreduce worker --cluster HOST:PORT'. Workers need no files of their own: input is sent to \
      them, and the parts come back to the output folder here.
      """,
    subcommands: [
      Run.self, List.self, Cancel.self, Node.self, Worker.self, Generate.self, MeasureShuffle.self,
    ],
    defaultSubcommand: Run.self)
}

extension MapReduceCommand {
  /// What `mapreduce JOB` does.
  struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "run", abstract: "Run a job (this is the default).")

    @Argument(help: "The job: \(JobRegistry.builtin.names.joined(separator: ", ")).")
    var job: String

    @Argument(help: "The job's own arguments.")
    var arguments: [String] = []

    @Option(
      parsing: .upToNextOption,
      help: ArgumentHelp(
        "Files, folders, patterns, '-', or redis://HOST:PORT/PREFIX.", valueName: "path"))
    var input: [String]

    @Option(
      help: ArgumentHelp(
        "A folder that is new, empty or from a job; or redis://HOST:PORT/PREFIX.", valueName: "dir")
    )
    var output: String

    @Option(help: "Worker processes; 0 does everything in this process.")
    var workers = 2

    @Option(help: "Output parts.")
    var partitions = 4

    @Option(help: ArgumentHelp("Input of one map task.", valueName: "MiB"))
    var split = 32

    @Option(help: ArgumentHelp("Records that may fail before the job does.", valueName: "count"))
    var badRecords = 0

    @Option(help: ArgumentHelp("Memory for data of each process.", valueName: "MiB"))
    var memory = 2048

    @Option(help: "Threads when there are no workers; 0 takes what the machine has.")
    var threads = 0

    @Option(
      help: ArgumentHelp("Records of output: text, jsonl or pairs.", valueName: "format"),
      transform: { try named($0) })
    var format = OutputFormat.text

    @Option(
      help: ArgumentHelp("Parts are compressed: none, gzip or zstd.", valueName: "how"),
      transform: { try named($0) })
    var compress = OutputCompression.none

    @Option(help: "Run the job so often, each round on what the one before found.")
    var rounds = 1

    @Flag(help: "Replace the output of an earlier job.")
    var overwrite = false

    @Flag(help: "Leave it to the system when parts reach the disk.")
    var noSync = false

    @Option(help: ArgumentHelp("Write a trace for Perfetto.", valueName: "file"))
    var trace: String?

    @OptionGroup var ledger: LedgerOptions

    @OptionGroup var cluster: ClusterOptions

    @Option(
      help: ArgumentHelp(
        "Where a cluster's workers fetch input and hand over output.", valueName: "host:port"))
    var home = "127.0.0.1:0"

    @Flag(help: "Print the summary as JSON, and no progress.")
    var json = false

    func run() async throws {
      guard cluster.cluster == nil || ledger.ledger == nil else {
        throw ValidationError("a cluster has its own ledger; leave out --ledger or --cluster")
      }
      let replica = try await ledger.start()
      guard replica == nil || workers > 0 else {
        throw ValidationError("a job with a ledger has one worker at least")
      }
      do {
        try await run(ledger: replica)
      } catch {
        await replica?.stop()
        throw error
      }
      await replica?.stop()
    }

    private func run(ledger: Replica?) async throws {
      var configuration = JobConfiguration(
        job: job, arguments: arguments, inputs: input, output: output)
      configuration.workers = workers
      configuration.partitions = partitions
      configuration.splitBytes = split.multipliedReportingOverflow(by: 1 << 20).partialValue
      configuration.badRecordLimit = badRecords
      configuration.memoryBytes = memory.multipliedReportingOverflow(by: 1 << 20).partialValue
      configuration.threads = threads
      configuration.format = format
      configuration.compression = compress
      configuration.overwrites = overwrite
      configuration.syncs = !noSync
      configuration.trace = trace

      let cancellation = JobCancellation()
      onInterruption { _ in cancellation.cancel() }
      let view = json ? nil : MapReduceView(job: job, output: output)
      do {
        let logger = Logger(label: "cyclades.mapreduce")
        let summary = try await MapReduce.withStore(
          configuration, jobs: .builtin, logger: logger
        ) { configuration in
          try MapReduce.run(rounds: rounds, of: configuration, jobs: .builtin) {
            try run($0, ledger, logger, cancellation) { view?.show($0) }
          }
        }
        view?.finish(summary)
        if json { print(summary.json(job: job, output: output)) }
      } catch let error as MapReduceError where error.code == .usage {
        throw ValidationError(error.description)
      }
    }

    private func run(
      _ configuration: JobConfiguration, _ ledger: Replica?, _ logger: Logger,
      _ cancellation: JobCancellation, _ progress: (JobProgress) -> Void
    ) throws -> JobSummary {
      if let nodes = try cluster.nodes() {
        var cluster = JobCluster(nodes: nodes)
        cluster.listen = try address(home)
        return try MapReduce.run(
          configuration, jobs: .builtin, cluster: cluster, logger: logger,
          cancellation: cancellation, progress: progress)
      }
      return try MapReduce.run(
        configuration, jobs: .builtin,
        launch: WorkerLaunch(program: "/proc/self/exe", arguments: ["mapreduce", "worker"]),
        ledger: ledger, logger: logger, cancellation: cancellation, progress: progress)
    }
  }

  /// Writes lines to sort.
  struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Write lines of 100 bytes with random keys, like those of gensort.")

    @Option(help: "How many lines.")
    var lines = 1_000_000

    @Option(help: ArgumentHelp("The file to write.", valueName: "file"))
    var output: String

    @Option(help: "The same seed gives the same lines.")
    var seed: UInt64 = 1

    func run() throws {
      guard lines >= 0 else { throw ValidationError("the number of lines must not be negative") }
      do { try RandomLines(seed: seed).write(lines, to: output) } catch {
        throw CommandFailure("\(error)")
      }
    }
  }
}

/// The case of a name; throws with the names that there are.
private func named<Choice: RawRepresentable & CaseIterable>(
  _ name: String
) throws -> Choice where Choice.RawValue == String {
  guard let choice = Choice(rawValue: name) else {
    let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
    throw ValidationError("there is no '\(name)'; there are: \(names)")
  }
  return choice
}

/// What a person sees of a job.
private final class MapReduceView {
  private let terminal = Terminal(descriptor: STDERR_FILENO)
  private let job: String
  private let output: String

  init(job: String, output: String) {
    self.job = job
    self.output = output
  }

  func show(_ progress: JobProgress) {
    let rate = decimal(progress.bytesPerSecond / 1e6, places: 0)
    let left = progress.remaining.map { ", \(decimal($0 / .seconds(1), places: 0)) s left" } ?? ""
    let lost = progress.workersLost == 0 ? "" : ", \(progress.workersLost) lost"
    terminal.progress(
      progress.fraction,
      "map \(progress.mapsDone)/\(progress.maps), reduce \(progress.reducesDone)/"
        + "\(progress.reduces), \(progress.workers) workers\(lost), \(rate) MB/s\(left)")
  }

  func finish(_ summary: JobSummary) {
    let seconds = summary.duration / .seconds(1)
    terminal.line(
      "\(job): \(summary.inputBytes.grouped) bytes of \(summary.inputFiles.grouped) files in "
        + "\(decimal(seconds, places: 2)) s (\(decimal(summary.bytesPerSecond / 1e9, places: 2)) GB/s)"
    )
    terminal.line(
      "  map     \(summary.mapTasks) tasks, \(summary.mapAttempts) attempts, "
        + "\(summary.records.grouped) records, \(summary.pairs.grouped) pairs, "
        + "\(summary.badRecords.grouped) bad records")
    terminal.line(
      "  shuffle \(summary.shuffledRecords.grouped) records, "
        + "\(summary.shuffledBytes.grouped) bytes")
    terminal.line(
      "  reduce  \(summary.reduceTasks) tasks, \(summary.reduceAttempts) attempts, "
        + "\(summary.outputRecords.grouped) lines, \(summary.outputBytes.grouped) bytes")
    if summary.workersLost > 0 {
      terminal.line("  \(summary.workersLost) workers were lost; their tasks were done again")
    }
    if summary.spilledBytes > 0 {
      terminal.line("  spilled \(summary.spilledBytes.grouped) bytes")
    }
    for (name, count) in summary.counters.sorted(by: { $0.key < $1.key }) {
      terminal.line("  counter \(name): \(count.grouped)")
    }
    terminal.line("  output  \(output)")
  }
}

extension JobSummary {
  /// The summary as one line of JSON.
  fileprivate func json(job: String, output: String) -> String {
    let figures: [(String, Int)] = [
      ("inputFiles", inputFiles), ("inputBytes", inputBytes), ("mapTasks", mapTasks),
      ("mapAttempts", mapAttempts), ("reduceTasks", reduceTasks),
      ("reduceAttempts", reduceAttempts), ("workersLost", workersLost), ("records", records),
      ("badRecords", badRecords), ("pairs", pairs), ("shuffledRecords", shuffledRecords),
      ("shuffledBytes", shuffledBytes), ("outputRecords", outputRecords),
      ("outputBytes", outputBytes),
      ("spilledBytes", spilledBytes),
    ]
    let members =
      ["\"job\":\(quoted(job))", "\"output\":\(quoted(output))"]
      + figures.map { "\"\($0)\":\($1)" }
      + [
        "\"counters\":{"
          + counters.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\($0.value)" }
          .joined(separator: ",") + "}"
      ] + ["\"seconds\":\(decimal(duration / .seconds(1), places: 6))"]
    return "{" + members.joined(separator: ",") + "}"
  }

  private func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": quoted += "\\\(scalar)"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}
