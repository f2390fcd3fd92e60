import CycladesPaxos
import CycladesTransport
import FoundationEssentials
import Logging

@testable import CycladesServer

/// Three nodes in this process, and more that join, with data in a temporary folder that goes with `stop`.
final class TestCluster {
  let folder: String
  private let patience: Duration
  private let evictionGrace: Duration?
  private var peers: [NodeID: SocketAddress]
  private var servers: [NodeID: StoreServer] = [:]

  static let nodes = [NodeID(1), NodeID(2), NodeID(3)]

  /// - Parameter patience: how long commands wait for a leader.
  init(patience: Duration = .seconds(10), evictionGrace: Duration? = nil) throws {
    self.patience = patience
    self.evictionGrace = evictionGrace
    folder = FileManager.default.temporaryDirectory.path + "/cyclades-test-\(UUID().uuidString)"
    let ports = try freePorts(3)
    peers = Dictionary(
      uniqueKeysWithValues: zip(Self.nodes, ports.map { .loopback(port: $0) }))
  }

  /// Starts a node, again with the data it had.
  func start(_ node: NodeID) throws {
    var configuration = StoreServerConfiguration(
      node: node, peers: peers, directory: "\(folder)/node-\(node)")
    configuration.founders = Self.nodes
    configuration.patience = patience
    configuration.evictionGrace = evictionGrace
    let server = StoreServer(configuration, logger: Logger(label: "test") { _ in Silent() })
    try FileManager.default.createDirectory(
      atPath: folder, withIntermediateDirectories: true, attributes: nil)
    try server.start()
    servers[node] = server
  }

  /// Starts a node that the founders do not know.
  func join(_ node: NodeID) throws {
    peers[node] = try unusedPeerAddress()
    try start(node)
  }

  /// Starts all nodes and waits until each knows all the others and every leader.
  func start() async throws {
    for node in Self.nodes { try start(node) }
    try await settle()
  }

  /// Waits until the nodes that run know a leader of every shard, and each other.
  func settle(_ limit: Duration = .seconds(20)) async throws {
    let deadline = ContinuousClock.now + limit
    for node in Self.nodes where servers[node] != nil {
      while true {
        // A test may cut connections, this one too.
        let report = try? await status(of: node)
        let connected = report?.nodes.filter(\.isConnected).count
        if let report, report.isEveryShardLed, connected == servers.count { break }
        guard ContinuousClock.now < deadline else {
          throw TestClient.Failure("no leaders in time: \(String(describing: report))")
        }
        try await Task.sleep(for: .milliseconds(20))
      }
    }
  }

  func status(of node: NodeID) async throws -> StatusReport {
    try await StatusReport.fetch(from: .loopback(port: plainPort(of: node)), timeout: .seconds(5))
  }

  func plainPort(of node: NodeID) -> UInt16 { servers[node]?.addresses?.plain.port ?? 0 }

  func clusterPort(of node: NodeID) -> UInt16 { servers[node]?.addresses?.cluster.port ?? 0 }

  /// An address for other nodes that nobody uses.
  func unusedPeerAddress() throws -> SocketAddress { .loopback(port: try freePorts(1)[0]) }

  func client(of node: NodeID) throws -> TestClient { try TestClient(port: plainPort(of: node)) }

  func stop(_ node: NodeID) async {
    await servers.removeValue(forKey: node)?.stop()
  }

  func stop() async {
    for node in Array(servers.keys) { await stop(node) }
    try? FileManager.default.removeItem(atPath: folder)
  }
}

/// Logs nothing but what would fail a test anyway.
struct Silent: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.critical

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) { print(event.message) }
}
