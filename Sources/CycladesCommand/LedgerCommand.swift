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
    guard let ledger else {
      guard peers == nil else { throw ValidationError("--peers needs --ledger") }
      return nil
    }
    let peers = try ServeSettings.parsePeers(peers ?? "\(node)=127.0.0.1:0")
    let configuration = ReplicaConfiguration(
      cluster: "mapreduce", node: NodeID(rawValue: node), peers: peers, directory: ledger)
    return try await Replica.start(
      configuration, logger: Logger(label: "cyclades.mapreduce.ledger")
    ) { JobLedger() }
  }

  /// The replica of a command that is about nothing else.
  func required() async throws -> Replica {
    guard let replica = try await start() else {
      throw ValidationError("name the ledger's folder with --ledger")
    }
    return replica
  }
}

extension MapReduceCommand {
  /// Keeps a replica running, so that the others have a majority.
  struct Ledger: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Be one replica of a ledger of jobs, until interrupted.")

    @OptionGroup var options: LedgerOptions

    func run() async throws {
      let replica = try await options.required()
      let (interruptions, continuation) = AsyncStream.makeStream(of: Int32.self)
      onInterruption { continuation.yield($0) }
      for await _ in interruptions { break }
      await replica.stop()
    }
  }

  /// Prints the jobs of a ledger.
  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "List the jobs of a ledger, or one of them.", aliases: ["status"])

    @OptionGroup var options: LedgerOptions

    @Argument(help: "The number of one job.")
    var job: String?

    @Flag(help: "Print JSON.")
    var json = false

    func run() async throws {
      let replica = try await options.required()
      let wanted = try job.map(number)
      let jobs = try await MapReduce.jobs(in: replica).filter { wanted == nil || $0.id == wanted }
      await replica.stop()
      if wanted != nil && jobs.isEmpty { throw CommandFailure("the ledger has no such job") }
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
  }

  /// Cancels a job of a ledger.
  struct Cancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Cancel a job of a ledger; its coordinator stops at its next decision.")

    @OptionGroup var options: LedgerOptions

    @Argument(help: "The job's number, as list prints it.")
    var job: String

    func run() async throws {
      let replica = try await options.required()
      let found = try await MapReduce.cancel(try number(job), in: replica)
      await replica.stop()
      if !found { throw CommandFailure("the ledger has no job '\(job)'") }
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
