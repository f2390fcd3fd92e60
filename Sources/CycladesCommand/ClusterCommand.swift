import ArgumentParser
import CycladesServer
import CycladesTransport
import FoundationEssentials
import Glibc
import Synchronization

/// `cyclades cluster`: a whole cluster on this machine, one process a node, in the foreground.
struct ClusterCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cluster",
    abstract: "Run a development cluster on this machine.",
    discussion: """
      Node i, counted from 1, listens on PORT+i for cluster clients, on PORT+100+i for any client, \
      and on PORT+200+i for the other nodes, all on 127.0.0.1. Its data is in DIR/node-i and its log \
      messages in DIR/node-i.log. Ctrl-C stops all nodes; starting again with the same DIR goes on \
      with the data.
      """)

  @Option(help: "How many nodes, 1 to 99.")
  var nodes = 3

  @Option(help: "The port that the nodes' ports are counted from.")
  var port = 7000

  @Option(help: "The folder for data and log messages; made when missing.")
  var data: String

  @Option(help: "Shards: a power of two, fixed when the cluster is created.")
  var shards = 16

  @Option(help: "The cluster's name.")
  var cluster = "cyclades"

  @Option(help: "How the nodes reach the kernel: auto, uring or epoll.")
  var io = "auto"

  @Option(help: "Milliseconds for which leaders answer reads by their clocks; 0 for never.")
  var lease: UInt64 = 0

  func validate() throws {
    guard ReactorConfiguration.IO(rawValue: io) != nil else {
      throw ValidationError("--io: '\(io)' is none of auto, uring, epoll")
    }
    guard (1...99).contains(nodes) else { throw ValidationError("--nodes must be from 1 to 99") }
    guard (1...65_535 - 200 - nodes).contains(port) else {
      throw ValidationError("--port must leave room for PORT+200+\(nodes) up to 65535")
    }
  }

  func run() async throws {
    do {
      try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
    } catch {
      throw CommandFailure("cannot make the folder \(data): choose a writable one with --data")
    }
    let family = ClusterFamily()
    onInterruption { _ in family.isEnding.store(true, ordering: .releasing) }
    defer { family.end() }
    for node in 1...nodes {
      try family.start(node, arguments(for: node), output: "\(data)/node-\(node).log")
    }
    try await waitForLeaders(family)
    guard !family.isEnding.load(ordering: .acquiring) else { return }
    writeAll(welcome, to: STDOUT_FILENO)
    while !family.isEnding.load(ordering: .acquiring) {
      for (node, ending) in family.reap() {
        let rest = arguments(for: node).joined(separator: " ")
        writeAll(
          "node \(node) \(ending); see \(data)/node-\(node).log; to start it again: "
            + "cyclades \(rest)\n", to: STDOUT_FILENO)
      }
      if family.isEmpty { throw CommandFailure("all nodes have ended") }
      try await Task.sleep(for: .milliseconds(100))
    }
    writeAll("\nstopping \(nodes) nodes\n", to: STDOUT_FILENO)
  }

  private func arguments(for node: Int) -> [String] {
    let peers = (1...nodes).map { "\($0)=127.0.0.1:\(port + 200 + $0)" }
    return [
      "serve", "--id", "\(node)", "--cluster", cluster, "--listen", "127.0.0.1:\(port + node)",
      "--plain", "127.0.0.1:\(port + 100 + node)", "--peers", peers.joined(separator: ","),
      "--shards", "\(shards)", "--data", "\(data)/node-\(node)", "--io", io,
      "--lease", "\(lease)",
    ]
  }

  /// Waits until every node is connected and knows a leader for every shard.
  private func waitForLeaders(_ family: ClusterFamily) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    for node in 1...nodes {
      let address = SocketAddress.loopback(port: UInt16(port + 100 + node))
      while !family.isEnding.load(ordering: .acquiring) {
        for (node, ending) in family.reap() {
          let log = "\(data)/node-\(node).log"
          throw CommandFailure(
            "node \(node) \(ending) at its start: \(lastLine(ofFile: log))")
        }
        let report = try? await StatusReport.fetch(from: address, timeout: .seconds(1))
        if let report, report.isEveryShardLed, report.nodes.allSatisfy(\.isConnected) { break }
        guard ContinuousClock.now < deadline else {
          throw CommandFailure(
            "node \(node) has no leaders after 30 s; see \(data)/node-\(node).log")
        }
        try await Task.sleep(for: .milliseconds(50))
      }
    }
  }

  private var welcome: String {
    var table = TextTable(["NODE", "ANY CLIENT", "CLUSTER CLIENTS", "DATA"])
    for node in 1...nodes {
      table.append([
        "\(node)", "127.0.0.1:\(port + 100 + node)", "127.0.0.1:\(port + node)",
        "\(data)/node-\(node)",
      ])
    }
    return """
      \(table.lines.joined(separator: "\n"))

      All \(shards) shards have leaders. Try, in another terminal:
        redis-cli -p \(port + 101) set island Paxos
        redis-cli -p \(port + 100 + nodes) get island
        redis-cli -c -p \(port + 1) get island
        cyclades status --connect 127.0.0.1:\(port + 101)
      Ctrl-C stops the cluster and keeps its data.

      """
  }
}

/// The processes of a development cluster.
private final class ClusterFamily: Sendable {
  /// Set by Ctrl-C.
  let isEnding = Atomic(false)
  private let children = Mutex<[(node: Int, process: ChildProcess)]>([])

  var isEmpty: Bool { children.withLock { $0.isEmpty } }

  func start(_ node: Int, _ arguments: [String], output: String) throws {
    let process = try ChildProcess.start(arguments, output: output)
    children.withLock { $0.append((node, process)) }
  }

  /// The nodes that ended since the last call.
  func reap() -> [(node: Int, ending: ChildProcess.Ending)] {
    children.withLock { children in
      var ended: [(node: Int, ending: ChildProcess.Ending)] = []
      children.removeAll { child in
        guard let ending = child.process.poll() else { return false }
        ended.append((child.node, ending))
        return true
      }
      return ended
    }
  }

  /// Stops all nodes and waits for them; one that does not stop within ten seconds is killed.
  func end() {
    children.withLock { children in
      for child in children { child.process.signal(SIGTERM) }
      let deadline = monotonicNanoseconds() + 10_000_000_000
      for child in children {
        while child.process.poll() == nil {
          if monotonicNanoseconds() > deadline { child.process.signal(SIGKILL) }
          pause(milliseconds: 10)
        }
      }
      children = []
    }
  }
}
