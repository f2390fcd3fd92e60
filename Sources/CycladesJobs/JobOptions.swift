internal import CycladesMapReduce
internal import CycladesPaxos
internal import CycladesReplication
internal import CycladesTransport

/// What the options of a program of jobs mean.
enum JobOptions {
  /// Of a job.
  static let run: [String: CommandWords.Arity] = [
    "input": .several, "output": .one, "workers": .one, "threads": .one, "partitions": .one,
    "split": .one, "bad-records": .one, "memory": .one, "format": .one, "compress": .one,
    "rounds": .one, "overwrite": .flag, "no-sync": .flag, "trace": .one, "cluster": .one,
    "home": .one,
  ]
  /// Of a node.
  static let node: [String: CommandWords.Arity] = [
    "ledger": .one, "node": .one, "peers": .one, "listen": .one,
  ]
  /// Of a worker.
  static let worker: [String: CommandWords.Arity] = [
    "cluster": .one, "listen": .one, "memory": .one, "spill": .one,
  ]
  /// Of a question to a cluster.
  static let question: [String: CommandWords.Arity] = ["cluster": .one]

  /// The job that is asked for, its name and arguments in front.
  static func configuration(_ words: CommandWords) throws -> JobConfiguration {
    guard let job = words.rest.first else { throw MapReduceError(.usage, "no job is named") }
    var configuration = JobConfiguration(
      job: job, arguments: Array(words.rest.dropFirst()), inputs: words.all("input"),
      output: try words.required("output"))
    configuration.workers = try words.number("workers", or: 0)
    configuration.threads = try words.number("threads", or: 0)
    configuration.partitions = try words.number("partitions", or: configuration.partitions)
    configuration.splitBytes = try mebibytes(words, "split", or: configuration.splitBytes)
    configuration.memoryBytes = try mebibytes(words, "memory", or: configuration.memoryBytes)
    configuration.badRecordLimit = try words.number("bad-records", or: 0)
    if let name = words.value("format") { configuration.format = try named(name, "format") }
    if let name = words.value("compress") {
      configuration.compression = try named(name, "compress")
    }
    configuration.overwrites = words.has("overwrite")
    configuration.syncs = !words.has("no-sync")
    configuration.trace = words.value("trace")
    return configuration
  }

  /// A number of mebibytes, as bytes.
  static func mebibytes(
    _ words: CommandWords, _ name: String, or fallback: Int
  ) throws -> Int {
    guard words.has(name) else { return fallback }
    let (bytes, isTooLarge) = try words.number(name, or: 0)
      .multipliedReportingOverflow(by: 1 << 20)
    guard !isTooLarge else {
      throw MapReduceError(.usage, "--\(name): that many MiB there are not")
    }
    return bytes
  }

  private static func named<Choice: RawRepresentable & CaseIterable>(
    _ name: String, _ option: String
  ) throws -> Choice where Choice.RawValue == String {
    guard let choice = Choice(rawValue: name) else {
      let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
      throw MapReduceError(.usage, "--\(option): there is no '\(name)'; there are: \(names)")
    }
    return choice
  }

  /// The nodes of the cluster that is named; none without one.
  static func addresses(_ words: CommandWords) throws -> [SocketAddress] {
    try (words.value("cluster") ?? "").split(separator: ",").map {
      try address(String($0), "cluster")
    }
  }

  /// Reads the address that an option names.
  static func address(_ text: String, _ option: String) throws -> SocketAddress {
    do { return try SocketAddress(parsing: text) } catch {
      throw MapReduceError(.usage, "--\(option)", cause: error)
    }
  }

  /// A node's replica of the ledger.
  static func replica(_ words: CommandWords) throws -> ReplicaConfiguration {
    guard let node = UInt32(exactly: try words.number("node", or: 1)) else {
      throw MapReduceError(.usage, "--node is a small number, one of those in --peers")
    }
    var peers: [NodeID: SocketAddress] = [:]
    for item in (words.value("peers") ?? "\(node)=127.0.0.1:0").split(separator: ",") {
      let sides = item.split(separator: "=", maxSplits: 1)
      guard sides.count == 2, let number = UInt32(sides[0]),
        peers.updateValue(try address(String(sides[1]), "peers"), forKey: NodeID(number)) == nil
      else {
        throw MapReduceError(.usage, "--peers: '\(item)' is not NUMBER=HOST:PORT, each number once")
      }
    }
    return ReplicaConfiguration(
      cluster: "mapreduce", node: NodeID(node), peers: peers,
      directory: try words.required("ledger"))
  }
}
