import ArgumentParser
import CycladesMapReduce
import CycladesPaxos
import CycladesReplication
import CycladesTransport
import Logging

/// Which replica of a ledger this process is.
struct LedgerOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Data folder of this replica of the ledger.", valueName: "dir"))
  var ledger: String?

  @Option(help: "This replica's number, one of those in --peers.")
  var node: UInt32 = 1

  @Option(
    help: ArgumentHelp(
      "All replicas: 1=HOST:PORT,2=HOST:PORT,… (default: this one alone)", valueName: "peers"))
  var peers: String?

  /// Starts the replica, if there is to be one.
  func start() async throws -> Replica? {
    guard ledger != nil else {
      guard peers == nil else { throw ValidationError("--peers needs --ledger") }
      return nil
    }
    return try await Replica.start(
      try configuration(), logger: Logger(label: "cyclades.mapreduce.ledger")
    ) { JobLedger() }
  }

  /// The replica's configuration.
  func configuration() throws -> ReplicaConfiguration {
    guard let ledger else {
      throw ValidationError("name the folder of this node's ledger with --ledger")
    }
    let peers = try ServeSettings.parsePeers(peers ?? "\(node)=127.0.0.1:0")
    return ReplicaConfiguration(
      cluster: "mapreduce", node: NodeID(rawValue: node), peers: peers, directory: ledger)
  }

  /// The replica of a command that is about nothing else.
  func required() async throws -> Replica {
    guard let replica = try await start() else {
      throw ValidationError(
        "name a cluster's node with --cluster, or a ledger's folder with --ledger")
    }
    return replica
  }
}

extension MapReduceCommand {
  /// Prints the jobs of a cluster or a ledger.
  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "List the jobs of a cluster, or one of them.", aliases: ["status"])

    @OptionGroup var options: LedgerOptions

    @OptionGroup var cluster: ClusterOptions

    @Argument(help: "The number of one job.")
    var job: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() async throws {
      let wanted = try job.map(number)
      let jobs = try await all().filter { wanted == nil || $0.id == wanted }
      if wanted != nil && jobs.isEmpty { throw CommandFailure("there is no such job") }
      if json {
        let lines = jobs.map {
          "{\"id\":\"\(String($0.id, radix: 16))\",\"job\":\"\($0.name)\",\"state\":\"\($0.state)\","
            + "\"maps\":\($0.maps),\"mapsDone\":\($0.mapsDone),\"parts\":\($0.parts),"
            + "\"partsDone\":\($0.partsDone),\"coordinators\":\($0.coordinators)}"
        }
        return print("[" + lines.joined(separator: ",") + "]")
      }
      for job in jobs {
        print(
          "\(String(job.id, radix: 16))  \(job.name)  \(job.state)  map \(job.mapsDone)/\(job.maps)  "
            + "part \(job.partsDone)/\(job.parts)  \(job.coordinators) coordinators")
      }
    }

    private func all() async throws -> [JobStatus] {
      if let nodes = try cluster.nodes() {
        return try JobCluster(nodes: nodes).jobs(logger: Logger(label: "cyclades.mapreduce"))
      }
      let replica = try await options.required()
      let jobs = try await MapReduce.jobs(in: replica)
      await replica.stop()
      return jobs
    }
  }

  /// Cancels a job.
  struct Cancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Cancel a job of a cluster, or of a ledger at its coordinator's next decision.")

    @OptionGroup var options: LedgerOptions

    @OptionGroup var cluster: ClusterOptions

    @Argument(help: "The job's number, as list prints it.")
    var job: String

    func run() async throws {
      let id = try number(job)
      let found: Bool
      if let nodes = try cluster.nodes() {
        found = try JobCluster(nodes: nodes)
          .cancel(id, logger: Logger(label: "cyclades.mapreduce"))
      } else {
        let replica = try await options.required()
        found = try await MapReduce.cancel(id, in: replica)
        await replica.stop()
      }
      if !found { throw CommandFailure("there is no job '\(job)'") }
    }
  }
}

/// A job's number.
private func number(_ text: String) throws -> UInt64 {
  guard let number = UInt64(text, radix: 16) else {
    throw ValidationError("'\(text)' is not the number of a job")
  }
  return number
}
