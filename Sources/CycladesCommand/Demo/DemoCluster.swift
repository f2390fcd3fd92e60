import CycladesServer
import CycladesTransport
import FoundationEssentials
import Glibc

/// Three nodes on this machine, each a process of its own with its own data folder.
final class DemoCluster {
  struct Node {
    var id: UInt32
    var clusterPort: UInt16
    var plainPort: UInt16
    var peerPort: UInt16
    var folder: String
    var process: ChildProcess?
  }

  static let shardCount = 16

  private(set) var nodes: [Node]
  /// Between the nodes, where there are any.
  var proxies: PeerProxies?
  /// How many nodes found the cluster; others joined it.
  private let founderCount: Int
  private let stage: DemoStage

  init(on stage: DemoStage, nodeCount: Int = 3) throws {
    self.stage = stage
    founderCount = nodeCount
    let ports = try freePorts(nodeCount * 3)
    nodes = (0..<nodeCount).map { index -> Node in
      Self.node(UInt32(index + 1), Array(ports[(index * 3)...].prefix(3)), stage)
    }
  }

  private static func node(_ id: UInt32, _ ports: [UInt16], _ stage: DemoStage) -> Node {
    Node(
      id: id, clusterPort: ports[0], plainPort: ports[1], peerPort: ports[2],
      folder: "\(stage.folder)/node-\(id)")
  }

  /// Makes place for one more node, which joins the others when it is started; returns its number,
  /// which nobody had before.
  func prepareNode() throws -> UInt32 {
    let id = UInt32(nodes.count + 1)
    nodes.append(Self.node(id, try freePorts(3), stage))
    return id
  }

  /// Ends a node that left the cluster.
  func leave(_ id: UInt32) {
    let index = position(of: id)
    guard let process = nodes[index].process else { return }
    nodes[index].process = nil
    process.signal(SIGTERM)
    stage.reap(process, within: .seconds(5))
  }

  /// Asks the first node for a change of the nodes.
  func change(_ words: [String]) throws {
    let port = nodes[0].plainPort
    guard ask(["CYCLADES", "NODES"] + words, port: port, patience: .seconds(2)) != nil else {
      throw CommandFailure("node 1 refuses \(words.joined(separator: " "))")
    }
  }

  /// Sends a signal to the process of a node.
  func signal(_ id: UInt32, _ number: Int32) { nodes[position(of: id)].process?.signal(number) }

  /// The ports that any Redis client can use, of the nodes that run.
  var plainPorts: [UInt16] { nodes.filter { $0.process != nil }.map(\.plainPort) }

  func start(_ id: UInt32) throws {
    let index = position(of: id)
    let node = nodes[index]
    let peers = nodes.prefix(founderCount).map {
      "\($0.id)=127.0.0.1:\(proxies?.port(from: id, to: $0.id) ?? $0.peerPort)"
    }
    let isFounder = index < founderCount
    nodes[index].process = try stage.start(
      [
        "serve", "--id", "\(id)", "--listen", "127.0.0.1:\(node.clusterPort)",
        "--plain", "127.0.0.1:\(node.plainPort)", "--peer-listen", "127.0.0.1:\(node.peerPort)",
        "--data", node.folder,
      ]
        + (isFounder
          ? ["--peers", peers.joined(separator: ","), "--shards", "\(Self.shardCount)"]
          : ["--join", "127.0.0.1:\(nodes[0].plainPort)"]),
      output: logFile(of: node))
  }

  /// Ends a node at once, as a power cut would end its process.
  func kill(_ id: UInt32) {
    let index = position(of: id)
    guard let process = nodes[index].process else { return }
    nodes[index].process = nil
    process.signal(SIGKILL)
    stage.reap(process, within: .seconds(5))
  }

  /// Asks every node to stop, and tells which did not end with exit code 0.
  func stop() -> [UInt32] {
    let running = nodes.compactMap { node in node.process.map { (node.id, $0) } }
    for index in nodes.indices { nodes[index].process = nil }
    for (_, process) in running { process.signal(SIGTERM) }
    return running.filter { stage.reap($0.1, within: .seconds(5)) != .exited(0) }.map(\.0)
  }

  /// What a node says about itself; `nil` while it does not answer.
  func status(of id: UInt32) -> StatusReport? {
    let node = nodes[position(of: id)]
    guard node.process != nil,
      let answer = ask(["CYCLADES", "STATUS"], port: node.plainPort, patience: .seconds(1))
    else { return nil }
    return try? StatusReport(json: answer)
  }

  /// What every running node says about itself; `nil` while one of them does not answer.
  func reports() throws -> [StatusReport]? {
    try checkProcesses()
    let running = nodes.filter { $0.process != nil }
    let reports = running.compactMap { status(of: $0.id) }
    return reports.count == running.count ? reports : nil
  }

  /// True when all nodes that run see each other and a leader for every shard.
  func isServing() throws -> Bool {
    guard let reports = try reports() else { return false }
    let running = Set(reports.map(\.node))
    return reports.allSatisfy { report in
      report.isEveryShardLed && report.shards.count == Self.shardCount
        && report.nodes.allSatisfy { $0.isConnected || !running.contains($0.id) }
    }
  }

  /// Whether every shard is where the plan wants it, by those who hold it, and the plan is of a kind.
  func isInPlace(_ isExpected: (StatusReport.Shard) -> Bool) throws -> Bool {
    guard let reports = try reports() else { return false }
    return reports.allSatisfy { report in
      let held = report.shards.filter { $0.members.contains(report.node) }
      return held.allSatisfy { $0.planned == $0.members && $0.leader != nil }
    } && reports.contains { $0.shards.contains(where: isExpected) }
  }

  /// The highest log slot of each shard that a running node knows to be chosen.
  func commitMarks() throws -> [UInt32: UInt64] {
    guard let reports = try reports() else {
      throw CommandFailure("a node does not answer CYCLADES STATUS")
    }
    return reports.flatMap(\.shards).reduce(into: [:]) { marks, shard in
      marks[shard.id] = max(marks[shard.id, default: 0], shard.commit)
    }
  }

  /// How many log slots up to the given marks a node has not applied; `nil` while it is silent.
  func slotsBehind(_ id: UInt32, _ marks: [UInt32: UInt64]) throws -> UInt64? {
    try checkProcesses()
    return status(of: id)?.shards.reduce(0) { sum, shard in
      let mark = marks[shard.id, default: 0]
      return sum + (mark > shard.applied ? mark - shard.applied : 0)
    }
  }

  /// How many shards each node leads, as the first node that runs has it.
  func leadCounts() throws -> [UInt32: Int] {
    guard let report = try reports()?.first else {
      throw CommandFailure("a node does not answer CYCLADES STATUS")
    }
    return report.shards.reduce(into: [:]) { counts, shard in
      if let leader = shard.leader { counts[leader, default: 0] += 1 }
    }
  }

  /// The node that leads most shards, and how many those are.
  func busiestNode() throws -> (id: UInt32, ledCount: Int) {
    let counts = try leadCounts()
    let id = nodes.map(\.id).max { counts[$0, default: 0] < counts[$1, default: 0] } ?? 1
    return (id, counts[id, default: 0])
  }

  /// Throws when a node ended that should run, with the last words of its log.
  func checkProcesses() throws {
    for (index, node) in nodes.enumerated() {
      guard let process = node.process, let ending = stage.poll(process) else { continue }
      nodes[index].process = nil
      throw CommandFailure(
        "node \(node.id) \(ending): \(lastLine(ofFile: logFile(of: node)))")
    }
  }

  private func logFile(of node: Node) -> String { "\(stage.folder)/node-\(node.id).log" }

  private func position(of id: UInt32) -> Int { Int(id) - 1 }
}
