import ArgumentParser
import CycladesPaxos
import CycladesServer
import CycladesTransport
import Glibc
import Logging

/// `cyclades serve`: one node of a cluster, in the foreground.
struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Run one node of a replicated key-value store that speaks the Redis protocol.",
    discussion: """
      Every setting can be given as a flag or as a line 'name value' in the file of --config; a flag \
      wins. The first nodes of a cluster must have the same --cluster, --peers and \
      --shards; others join with --join. SIGTERM or \
      Ctrl-C answers what is owed to clients, then ends with exit code 0.
      """)

  @Option(help: "Read settings from this file: lines of 'name value', '#' begins a comment.")
  var config: String?

  @OptionGroup var settings: ServeSettings

  mutating func run() async throws {
    if let config {
      let file = try ConfigurationFile(path: config, names: ServeSettings.names)
      do {
        settings.fill(from: try ServeSettings.parse(file.arguments))
      } catch {
        throw CommandFailure("\(config): \(ServeSettings.message(for: error))")
      }
    }
    var logger = Logger(label: "cyclades", factory: StreamLogHandler.standardError(label:))
    logger.logLevel = try settings.parsedLogLevel()
    let configuration = try await settings.completeConfiguration()
    let server = StoreServer(configuration, logger: logger)
    onInterruption { _ in Task { await server.stop() } }
    try server.start()
    if let addresses = server.addresses {
      writeAll(
        "node \(configuration.node.rawValue) of cluster \(configuration.cluster) serves any client "
          + "on \(addresses.plain), cluster clients on \(addresses.cluster)\n", to: STDOUT_FILENO)
    }
    try await server.run()
  }
}

/// The settings of a node, from the command line or from a file.
struct ServeSettings: ParsableArguments {
  @Option(help: "This node's number, one of those in --peers.")
  var id: UInt32?

  @Option(help: "HOST:PORT for cluster clients, which are sent to the right node with MOVED.")
  var listen: String?

  @Option(help: "HOST:PORT for any client; commands are forwarded to the right node.")
  var plain: String?

  @Option(help: "HOST:PORT for other nodes. (default: this node's address in --peers)")
  var peerListen: String?

  @Option(help: "The first nodes' addresses for each other: 1=HOST:PORT,2=HOST:PORT,...")
  var peers: String?

  @Option(
    help: """
      Join the running cluster that a client can reach at HOST:PORT, in place of --peers, --cluster \
      and --shards. Needs --peer-listen.
      """)
  var join: String?

  @Option(help: "The data folder; made when missing, refused when it is another node's.")
  var data: String?

  @Option(help: "Shards: a power of two, fixed when the cluster is created. (default: 16)")
  var shards: Int?

  @Option(help: "The cluster's name. (default: cyclades)")
  var cluster: String?

  @Option(
    help: """
      The largest value a client may send, in bytes or with KB, MB, GB behind: at most 512MB. A \
      longer one is refused and its connection closed. (default: 16MB)
      """)
  var maxValue: String?

  @Option(
    help: """
      What keys and values may take, in bytes or with KB, MB, GB behind; commands that may need more \
      are refused then. (default: no limit)
      """)
  var maxMemory: String?

  @Option(help: "Where the node stands; replicas are spread over zones. (default: by itself)")
  var zone: String?

  @Option(
    help: """
      Seconds after which others get what a node holds that cannot be reached; 0 is never. \
      (default: 300)
      """)
  var evictAfter: Int?

  @Option(
    help: """
      Milliseconds, from 60 to 400, for which leaders may answer reads by their clocks without asking \
      a quorum; clocks must not drift by more than 1 %. The same on all nodes. (default: 0, never)
      """)
  var lease: UInt64?

  @Option(help: "Clients served at once. (default: 10000)")
  var maxClients: Int?

  @Option(help: "Reactor threads; this version runs one. (default: 1)")
  var reactors: Int?

  @Option(
    help: """
      How to reach the kernel: auto (io_uring, or epoll where the kernel refuses it), uring or \
      epoll. (default: $CYCLADES_IO, or auto)
      """)
  var io: String?

  @Option(
    help:
      "What to log on stderr: trace, debug, info, notice, warning, error, critical. (default: notice)"
  )
  var logLevel: String?

  /// The names of the settings, as a configuration file has them.
  static let names: Set<String> = [
    "id", "listen", "plain", "peer-listen", "peers", "join", "data", "shards", "cluster",
    "max-value", "max-memory", "zone", "evict-after", "lease",
    "max-clients", "reactors", "io", "log-level",
  ]

  /// Takes from a file what the command line left open.
  mutating func fill(from file: ServeSettings) {
    id = id ?? file.id
    listen = listen ?? file.listen
    plain = plain ?? file.plain
    peerListen = peerListen ?? file.peerListen
    peers = peers ?? file.peers
    join = join ?? file.join
    data = data ?? file.data
    shards = shards ?? file.shards
    cluster = cluster ?? file.cluster
    maxValue = maxValue ?? file.maxValue
    maxMemory = maxMemory ?? file.maxMemory
    zone = zone ?? file.zone
    evictAfter = evictAfter ?? file.evictAfter
    lease = lease ?? file.lease
    maxClients = maxClients ?? file.maxClients
    reactors = reactors ?? file.reactors
    io = io ?? file.io
    logLevel = logLevel ?? file.logLevel
  }

  /// As `serverConfiguration()`, after asking the cluster that is to be joined, if any.
  func completeConfiguration() async throws -> StoreServerConfiguration {
    guard let join else { return try serverConfiguration() }
    guard peers == nil, cluster == nil, shards == nil else {
      throw ValidationError("--join learns --peers, --cluster and --shards from the cluster")
    }
    guard let peerListen, let id else {
      throw ValidationError("serve --join needs --id and --peer-listen")
    }
    let report: StatusReport
    do {
      report = try await StatusReport.fetch(from: try SocketAddress(parsing: join))
    } catch {
      throw CommandFailure("--join: \(error)")
    }
    var settings = self
    settings.cluster = report.cluster
    settings.shards = report.shards.count
    var peers = report.nodes.filter { $0.id != id && !$0.peerAddress.isEmpty }.map {
      "\($0.id)=\($0.peerAddress)"
    }
    peers.append("\(id)=\(peerListen)")
    settings.peers = peers.joined(separator: ",")
    var configuration = try settings.serverConfiguration()
    configuration.founders = report.founders.map { NodeID(rawValue: $0) }
    return configuration
  }

  func serverConfiguration() throws -> StoreServerConfiguration {
    func required<Value>(_ value: Value?, _ name: String) throws -> Value {
      guard let value else { throw ValidationError("serve needs --\(name)") }
      return value
    }
    func address(_ text: String, _ name: String) throws -> SocketAddress {
      do {
        return try SocketAddress(parsing: text)
      } catch {
        throw CommandFailure("--\(name): \(error)")
      }
    }
    var configuration = StoreServerConfiguration(
      node: NodeID(rawValue: try required(id, "id")),
      peers: try Self.parsePeers(try required(peers, "peers")),
      directory: try required(data, "data"))
    configuration.clusterListen = try address(try required(listen, "listen"), "listen")
    configuration.plainListen = try address(try required(plain, "plain"), "plain")
    if let peerListen { configuration.peerListen = try address(peerListen, "peer-listen") }
    if let shards { configuration.shards = shards }
    if let cluster { configuration.cluster = cluster }
    if let maxClients { configuration.maximumClients = maxClients }
    if let maxValue {
      guard let bytes = Self.parseByteCount(maxValue) else {
        throw ValidationError("--max-value: '\(maxValue)' is not a size such as 64MB")
      }
      configuration.maximumValueBytes = bytes
    }
    if let maxMemory {
      guard let bytes = Self.parseByteCount(maxMemory), bytes > 0 else {
        throw ValidationError("--max-memory: '\(maxMemory)' is not a size such as 4GB")
      }
      configuration.maximumMemoryBytes = bytes
    }
    if let zone { configuration.zone = zone }
    if let evictAfter {
      guard evictAfter >= 0 else { throw ValidationError("--evict-after takes 0 or more seconds") }
      configuration.evictionGrace = evictAfter == 0 ? nil : .seconds(evictAfter)
    }
    if let lease, lease > 0 {
      guard (60...400).contains(lease) else {
        throw ValidationError("--lease: \(lease) is not from 60 to 400 milliseconds, or 0 for none")
      }
      configuration.lease = Lease(duration: lease * 1_000_000)
    }
    if let reactors, reactors != 1 {
      throw CommandFailure("--reactors: this version runs one reactor a node, not \(reactors)")
    }
    if let io {
      guard let choice = ReactorConfiguration.IO(rawValue: io) else {
        throw ValidationError("--io: '\(io)' is none of auto, uring, epoll")
      }
      configuration.reactor.io = choice
    }
    return configuration
  }

  func parsedLogLevel() throws -> Logger.Level {
    guard let logLevel else { return .notice }
    guard let level = Logger.Level(rawValue: logLevel) else {
      throw ValidationError("--log-level: there is no level '\(logLevel)'")
    }
    return level
  }

  /// Reads `1=HOST:PORT,2=HOST:PORT`.
  static func parsePeers(_ text: String) throws -> [NodeID: SocketAddress] {
    var peers: [NodeID: SocketAddress] = [:]
    for item in text.split(separator: ",", omittingEmptySubsequences: false) {
      let sides = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard sides.count == 2, let number = UInt32(sides[0]) else {
        throw CommandFailure("--peers: '\(item)' is not NUMBER=HOST:PORT")
      }
      do {
        let address = try SocketAddress(parsing: String(sides[1]))
        guard peers.updateValue(address, forKey: NodeID(rawValue: number)) == nil else {
          throw CommandFailure("--peers: node \(number) is listed twice")
        }
      } catch let error as TransportError {
        throw CommandFailure("--peers: \(error)")
      }
    }
    return peers
  }

  /// Reads `1048576`, `64MB`, `64mb` or `64M`: powers of 1024, as in redis.conf.
  static func parseByteCount(_ text: String) -> Int? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard let number = Int(digits) else { return nil }
    let shifts = ["": 0, "b": 0, "k": 10, "kb": 10, "m": 20, "mb": 20, "g": 30, "gb": 30]
    guard let shift = shifts[text.dropFirst(digits.count).lowercased()],
      number <= Int.max >> shift
    else { return nil }
    return number << shift
  }
}
