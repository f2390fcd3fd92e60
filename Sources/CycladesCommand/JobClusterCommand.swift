import ArgumentParser
import CycladesMapReduce
import CycladesReplication
import CycladesTransport
import Glibc
import Logging

/// Which cluster of nodes a command is about.
struct ClusterOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Nodes that run jobs; one is enough, it tells of the others.",
      valueName: "host:port,…"))
  var cluster: String?

  /// The nodes, if a cluster is named.
  func nodes() throws -> [SocketAddress]? {
    try cluster.map { try $0.split(separator: ",").map { try address(String($0)) } }
  }
}

/// Reads an address that somebody typed.
func address(_ text: String) throws -> SocketAddress {
  do { return try SocketAddress(parsing: text) } catch {
    throw ValidationError("\(error)")
  }
}

extension MapReduceCommand {
  /// Runs a node of a cluster.
  struct Node: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Be one node of a cluster that runs jobs, until interrupted.",
      discussion: """
        Nodes keep what was decided in a replicated ledger; one of them leads and coordinates. \
        When it is gone another goes on, and no task that was finished is repeated.
        """)

    @OptionGroup var ledger: LedgerOptions

    @Option(
      help: ArgumentHelp(
        "Where workers and those who ask for jobs connect.", valueName: "host:port"))
    var listen = "127.0.0.1:7400"

    @Option(help: ArgumentHelp("Die at that decision of a job.", visibility: .hidden))
    var dieAtDecision: Int?

    func run() async throws {
      let node = try await JobNode.start(
        try ledger.configuration(), listen: try address(listen), jobs: .builtin,
        logger: Logger(label: "cyclades.mapreduce.node"), diesAtDecision: dieAtDecision)
      print("node \(ledger.node) takes jobs at \(node.address)")
      fflush(nil)
      let (interruptions, continuation) = AsyncStream.makeStream(of: Int32.self)
      onInterruption { continuation.yield($0) }
      for await _ in interruptions { break }
      await node.stop()
    }
  }

  /// Serves a cluster; or the coordinator that started this process, which tells it the rest through
  /// the environment.
  struct Worker: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Work for a cluster, until interrupted.")

    @OptionGroup var cluster: ClusterOptions

    @Option(
      help: ArgumentHelp("Where other workers fetch what is mapped here.", valueName: "host:port"))
    var listen = "127.0.0.1:0"

    @Option(help: ArgumentHelp("Memory for data.", valueName: "MiB"))
    var memory = 2048

    @Option(help: ArgumentHelp("Where spill files go.", valueName: "dir"))
    var spill = "/tmp"

    @Flag(help: "Have all input sent, even what is on this machine.")
    var noLocalFiles = false

    func run() throws {
      let logger = Logger(label: "cyclades.mapreduce.worker")
      guard let nodes = try cluster.nodes() else {
        return try MapReduceWorker.run(jobs: .builtin, logger: logger)
      }
      var configuration = ClusterWorkerConfiguration()
      configuration.listen = try address(listen)
      configuration.memoryBytes = memory.multipliedReportingOverflow(by: 1 << 20).partialValue
      configuration.spillFolder = spill
      configuration.usesLocalFiles = !noLocalFiles
      let cancellation = JobCancellation()
      onInterruption { _ in cancellation.cancel() }
      do {
        try MapReduceWorker.serve(
          nodes: nodes, configuration: configuration, jobs: .builtin, logger: logger,
          cancellation: cancellation)
      } catch let error as MapReduceError where error.code == .usage {
        throw ValidationError(error.description)
      }
    }
  }

  /// Measures the shuffle between two processes: one serves, prints its port and ends with the puller.
  struct MeasureShuffle: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "measure-shuffle", abstract: "Measure the shuffle.", shouldDisplay: false)

    @Option(help: "A file of lines to serve, up to 1 GiB.")
    var serve: String?

    @Option(help: "The port to pull from.")
    var pull: UInt16?

    @Option(help: "How often everything is pulled.")
    var rounds = 16

    func run() throws {
      let measurement = ShuffleMeasurement(logger: Logger(label: "cyclades.mapreduce.shuffle"))
      if let serve {
        return try measurement.serve(serve) { port in
          print(port)
          fflush(nil)
        }
      }
      guard let pull, rounds > 0 else { throw ValidationError("name --serve FILE or --pull PORT") }
      let (byteCount, seconds) = try measurement.pull(port: pull, rounds: rounds)
      print("{\"bytes\":\(byteCount),\"seconds\":\(seconds)}")
    }
  }
}
