public import CycladesMapReduce
internal import CycladesPaxos
internal import CycladesReplication
internal import CycladesTransport
internal import Glibc
public import Logging

/// A program of jobs, in every role: it asks for jobs, works on them, and is a node of a cluster.
///
/// ```swift
/// import CycladesJobs
/// import CycladesMapReduce
///
/// var jobs = JobRegistry()
/// jobs.register(Words.self)
/// await MapReduceMain.run(jobs: jobs)
/// ```
///
/// This is all of a `main.swift`. The program is then used like this:
///
/// ```sh
/// words words --input books --output counts                    # threads of this process
/// words words --input books --output counts --workers 4        # processes of this machine
/// words node --ledger DIR --node 1 --peers 1=HOST:PORT,2=…     # one of three nodes
/// words worker --cluster HOST:PORT                             # any number of these
/// words words --input books --output counts --cluster HOST:PORT
/// words list --cluster HOST:PORT                               # also: cancel NUMBER
/// ```
///
/// All roles are one build of one program. Who connects says which by a digest of its executable, and
/// another build is refused in one clear line, as is another version of a job.
public enum MapReduceMain {
  /// Does what the command line says, and ends the process: with 0 when that is done, 64 when the
  /// command line makes no sense, 1 otherwise, with one line on standard error.
  public static func run(
    jobs: JobRegistry, logger: Logger = Logger(label: "cyclades.jobs")
  ) async -> Never {
    signal(SIGPIPE, SIG_IGN)
    do {
      // Workers that a job of this program starts are told so by their environment.
      if try MapReduceWorker.runIfAsked(jobs: jobs, logger: logger) { exit(EXIT_SUCCESS) }
      try await run(Array(CommandLine.arguments.dropFirst()), jobs: jobs, logger: logger)
      exit(EXIT_SUCCESS)
    } catch {
      let program = CommandLine.arguments.first?.split(separator: "/").last ?? "jobs"
      complain("\(program): \(error)")
      exit((error as? MapReduceError)?.code == .usage ? EX_USAGE : EXIT_FAILURE)
    }
  }

  private static func complain(_ line: String) {
    let bytes = Array("\(line)\n".utf8)
    _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
  }

  static func run(_ words: [String], jobs: JobRegistry, logger: Logger) async throws {
    guard let first = words.first, first != "--help", first != "help" else { return help(jobs) }
    let rest = words.dropFirst()
    switch first {
    case "node": try await beNode(CommandWords(rest, JobOptions.node), jobs, logger)
    case "worker": try work(CommandWords(rest, JobOptions.worker), jobs, logger)
    case "list": try list(CommandWords(rest, JobOptions.question), logger)
    case "cancel": try cancel(CommandWords(rest, JobOptions.question), logger)
    default: try await runJob(CommandWords(words, JobOptions.run), jobs, logger)
    }
  }

  private static func help(_ jobs: JobRegistry) {
    print(
      """
      JOB [ARGUMENT...] --input PATH... --output DIR [--workers N | --cluster HOST:PORT]
      node --ledger DIR [--node N --peers 1=HOST:PORT,...] [--listen HOST:PORT]
      worker --cluster HOST:PORT [--listen HOST:PORT]
      list --cluster HOST:PORT
      cancel NUMBER --cluster HOST:PORT

      Jobs: \(jobs.names.joined(separator: ", "))
      Options of a job: \(JobOptions.run.keys.sorted().map { "--\($0)" }.joined(separator: " "))
      """)
  }

  // MARK: Roles

  private static func runJob(
    _ words: CommandWords, _ jobs: JobRegistry, _ logger: Logger
  ) async throws {
    let configuration = try JobOptions.configuration(words)
    let nodes = try JobOptions.addresses(words)
    let home = try JobOptions.address(words.value("home") ?? "127.0.0.1:0", "home")
    let cancellation = Interruption.watch()
    var lastReport = ContinuousClock.now
    func report(_ progress: JobProgress) {
      guard .now - lastReport > .seconds(1) else { return }
      lastReport = .now
      complain(
        "map \(progress.mapsDone)/\(progress.maps), reduce \(progress.reducesDone)/"
          + "\(progress.reduces), \(progress.workers) workers")
    }
    func run(_ job: JobConfiguration) throws -> JobSummary {
      guard !nodes.isEmpty else {
        return try MapReduce.run(
          job, jobs: jobs, logger: logger, cancellation: cancellation, progress: report)
      }
      var cluster = JobCluster(nodes: nodes)
      cluster.listen = home
      return try MapReduce.run(
        job, jobs: jobs, cluster: cluster, logger: logger, cancellation: cancellation,
        progress: report)
    }
    let rounds = try words.number("rounds", or: 1)
    let summary = try await MapReduce.withStore(configuration, jobs: jobs, logger: logger) { job in
      try MapReduce.run(rounds: rounds, of: job, jobs: jobs, run)
    }
    print(
      "\(configuration.job): \(summary.inputBytes) bytes of \(summary.inputFiles) files, "
        + "\(summary.outputRecords) records in \(configuration.output) after \(summary.duration)")
    for (name, count) in summary.counters.sorted(by: { $0.key < $1.key }) {
      print("  \(name): \(count)")
    }
  }

  private static func beNode(
    _ words: CommandWords, _ jobs: JobRegistry, _ logger: Logger
  ) async throws {
    let node = try await JobNode.start(
      JobOptions.replica(words),
      listen: JobOptions.address(words.value("listen") ?? "127.0.0.1:7400", "listen"), jobs: jobs,
      logger: logger)
    print("node \(words.value("node") ?? "1") takes jobs at \(node.address)")
    fflush(nil)
    let interruption = Interruption.watch()
    while !interruption.isCancelled { try await Task.sleep(for: .milliseconds(100)) }
    await node.stop()
  }

  private static func work(_ words: CommandWords, _ jobs: JobRegistry, _ logger: Logger) throws {
    var configuration = ClusterWorkerConfiguration()
    configuration.listen = try JobOptions.address(
      words.value("listen") ?? "127.0.0.1:0", "listen")
    configuration.memoryBytes = try JobOptions.mebibytes(
      words, "memory", or: configuration.memoryBytes)
    if let spill = words.value("spill") { configuration.spillFolder = spill }
    try MapReduceWorker.serve(
      nodes: JobOptions.addresses(words), configuration: configuration, jobs: jobs, logger: logger,
      cancellation: Interruption.watch())
  }

  private static func list(_ words: CommandWords, _ logger: Logger) throws {
    for job in try JobCluster(nodes: JobOptions.addresses(words)).jobs(logger: logger) {
      print(
        "\(String(job.id, radix: 16))  \(job.name)  \(job.state)  map \(job.mapsDone)/\(job.maps)  "
          + "part \(job.partsDone)/\(job.parts)")
    }
  }

  private static func cancel(_ words: CommandWords, _ logger: Logger) throws {
    guard let text = words.rest.first, let id = UInt64(text, radix: 16) else {
      throw MapReduceError(.usage, "name the number of a job, as list prints it")
    }
    let cluster = JobCluster(nodes: try JobOptions.addresses(words))
    guard try cluster.cancel(id, logger: logger) else {
      throw MapReduceError(.ledger, "there is no job '\(text)'")
    }
  }
}

/// Ctrl-C, and the polite signals of the system, as the cancellation of what is running.
private enum Interruption {
  private static let cancellation = JobCancellation()

  static func watch() -> JobCancellation {
    // Made here, so that the handler stores one flag and does nothing else.
    let cancellation = cancellation
    for number in [SIGINT, SIGTERM, SIGHUP] {
      signal(number) { _ in Interruption.cancellation.cancel() }
    }
    return cancellation
  }
}
