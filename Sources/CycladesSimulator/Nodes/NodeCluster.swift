import CycladesPaxos
import CycladesReplication
import CycladesServer
import CycladesTransport
import Glibc
import Logging

/// The cluster of one run: the world, the nodes in it, the clients, and the loop that drives them.
///
/// Hosts 0 and on are the nodes, the last one is where the clients are.
final class NodeCluster {
  /// One node, through all its lives.
  struct Node {
    var reactor: Reactor?
    var store: HostedStore?
    /// When a pause or an outage ends.
    var wakesAt: Instant?
    var isUp: Bool { store != nil }
    var isPaused: Bool { isUp && wakesAt != nil }
  }

  /// What is due at some time, besides what the world itself does.
  private struct Doing {
    var at: Instant
    var number: Int
    var body: () -> Void
  }

  let seed: UInt64
  let options: NodeSimulation.Options
  let world: World
  var random: SplitMix
  var nodes: [Node]
  var history = History()
  var statistics = NodeSimulationReport.Statistics()
  /// Set by the first promise that is broken.
  private(set) var failure: SimulationFailure?
  private(set) var isHealed = false
  private var clients: [RegisterClient] = []
  private let clientReactor: Reactor
  private let start: Instant
  private let folder: String
  private var doings: [Doing] = []
  private var doingCount = 0
  private var trace: [String] = []

  private static let turnsMax = 100_000
  private static let clusterPort: UInt16 = 7000
  private static let plainPort: UInt16 = 7100
  private static let peerPort: UInt16 = 7200

  init(seed: UInt64, options: NodeSimulation.Options) throws {
    self.seed = seed
    self.options = options
    random = SplitMix(seed: seed)
    var weather = World.Options(seed: seed, hosts: options.nodes + 1)
    if options.hasFaults {
      weather.latency.spread = .microseconds(Int64(random.uniform(50...5_000)))
      weather.disk.spread = .microseconds(Int64(random.uniform(50...10_000)))
      weather.shortSends = Double(random.uniform(0...200)) / 1000
    }
    weather.disksLie = options.disksLie
    world = World(weather)
    start = world.now
    folder = "\(options.folder)/cyclades-simulation-\(getpid())-\(seed)"
    nodes = Array(repeating: Node(), count: options.nodes)
    clientReactor = try Reactor(Self.limits(world, host: options.nodes), logger: Self.silence)
    try clientReactor.begin()
    for index in nodes.indices { boot(index) }
    for index in 0..<options.clients { clients.append(RegisterClient(index, self, clientReactor)) }
  }

  private static let silence = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }

  private static func limits(_ world: World, host: Int) -> ReactorConfiguration {
    var limits = ReactorConfiguration()
    limits.poolBudgetBytes = 256 << 20
    limits.receiveBlocks = 64
    limits.connectionsMax = 256
    limits.residence = Residence(world, host: host)
    return limits
  }

  // MARK: Nodes

  /// Where a node serves plain clients.
  func plainAddress(_ index: Int) -> SocketAddress {
    World.address(of: index, port: Self.plainPort)
  }

  /// Starts a node on what its disk holds.
  func boot(_ index: Int) {
    let node = NodeID(UInt32(index + 1))
    var peers: [NodeID: SocketAddress] = [:]
    for peer in nodes.indices {
      peers[NodeID(UInt32(peer + 1))] = World.address(of: peer, port: Self.peerPort)
    }
    var configuration = StoreServerConfiguration(
      node: node, peers: peers, directory: "\(folder)/\(node)")
    configuration.clusterListen = World.address(of: index, port: Self.clusterPort)
    configuration.plainListen = plainAddress(index)
    configuration.shards = 2
    configuration.maximumValueBytes = 1 << 20
    configuration.hostLimits.segmentBytes = 128 << 10
    configuration.hostLimits.logBytesTarget = 256 << 10
    do {
      let reactor = try Reactor(Self.limits(world, host: index), logger: Self.silence)
      try reactor.begin()
      nodes[index].reactor = reactor
      nodes[index].store = try HostedStore(configuration, on: reactor, logger: Self.silence)
    } catch {
      fail(.durability, "node \(node) does not start: \(error)")
      return
    }
    nodes[index].wakesAt = nil
    note("node \(node) starts")
  }

  /// Takes down what ran on a host that has crashed.
  func bury(_ index: Int) {
    guard let reactor = nodes[index].reactor else { return }
    nodes[index].store?.abandon()
    // What it waited for ends as cancelled, and lets go of files.
    for _ in 0..<100 where reactor.isDue { take(reactor) }
    reactor.end()
    nodes[index].store = nil
    nodes[index].reactor = nil
  }

  func tearDown() {
    for index in nodes.indices {
      world.crash(index, isSilent: true)
      bury(index)
    }
    for client in clients { client.stop() }
    clientReactor.end()
    FolderRemoval.remove(folder)
  }

  // MARK: Time

  /// Runs something later.
  func schedule(after delay: Duration, _ body: @escaping () -> Void) {
    doingCount += 1
    doings.append(Doing(at: world.now + delay, number: doingCount, body: body))
  }

  private func take(_ reactor: Reactor) {
    statistics.turns += 1
    do {
      try reactor.turn()
    } catch {
      fail(.order, "a reactor failed: \(error)")
    }
  }

  /// Lets everybody do what is due at this instant.
  private func settle() {
    var turns = 0
    var isIdle = false
    while !isIdle {
      isIdle = true
      for node in nodes where !node.isPaused {
        guard let reactor = node.reactor, reactor.isDue else { continue }
        take(reactor)
        isIdle = false
      }
      if clientReactor.isDue {
        take(clientReactor)
        isIdle = false
      }
      turns += 1
      if turns == Self.turnsMax { return fail(.liveness, "nodes are busy without time going by") }
    }
  }

  /// Drives everything until `end`, a broken promise, or when `isDone` says so.
  private func drive(until end: Instant, _ isDone: () -> Bool = { false }) {
    while failure == nil, world.now < end, !isDone() {
      settle()
      var next = end
      for node in nodes where !node.isPaused {
        if let timer = node.reactor?.nextTimer { next = min(next, timer) }
      }
      if let timer = clientReactor.nextTimer { next = min(next, timer) }
      for doing in doings { next = min(next, doing.at) }
      if world.advance(until: next) { statistics.events += 1 }
      runDoings()
      observe()
    }
  }

  private func runDoings() {
    let due = doings.filter { $0.at <= world.now }
    guard !due.isEmpty else { return }
    doings.removeAll { $0.at <= world.now }
    let order = due.sorted { ($0.at, $0.number) < ($1.at, $1.number) }
    for doing in order { doing.body() }
  }

  /// Nodes that stopped by themselves, as they must when a disk fails, are started anew later.
  private func observe() {
    for index in nodes.indices where nodes[index].wakesAt == nil {
      guard let store = nodes[index].store else { continue }
      if store.audits != AuditCounts() {
        return fail(.agreement, "node \(index + 1) found that states differ: \(store.audits)")
      }
      guard let error = store.failure else { continue }
      statistics.stopped += 1
      // Where the folders are differs from run to run, and is no part of the trace.
      note("node \(index + 1) stops: \("\(error)".replacing(folder, with: ""))")
      crash(index, isSilent: false, outage: .milliseconds(500))
    }
  }

  // MARK: The run

  func run() -> NodeSimulationReport {
    for client in clients { client.start() }
    if options.hasFaults { scheduleFault() }
    drive(until: start + options.duration)
    if failure == nil { heal() }
    if failure == nil { check() }
    return report()
  }

  private func heal() {
    isHealed = true
    doings = []
    healAll()
    note("everything is healed")
    let healedAt = world.now
    let goals = clients.map { $0.answered + 5 }
    drive(until: world.now + options.patience) {
      zip(clients, goals).allSatisfy { $0.answered >= $1 }
    }
    guard failure == nil else { return }
    for (index, goal) in goals.enumerated() where clients[index].answered < goal {
      return fail(.liveness, "client \(index) is not answered: \(state())")
    }
    for client in clients { client.stop() }
    drive(until: world.now + options.patience) { areEqual() }
    statistics.recovery = (world.now.nanoseconds - healedAt.nanoseconds)
    guard failure == nil else { return }
    if !areEqual() { fail(.liveness, "the nodes do not become equal: \(state())") }
  }

  /// Whether all copies of all shards stand at the same slot, with the same content.
  private func areEqual() -> Bool {
    guard let first = nodes[0].store else { return false }
    let groups = first.groups
    for node in nodes.dropFirst() {
      guard let store = node.store else { return false }
      for (mine, other) in zip(groups, store.groups) {
        guard mine.applied == other.applied, mine.commit == mine.applied else { return false }
        let digests = (first.digest(of: mine.id), store.digest(of: mine.id))
        if digests.0 != digests.1 {
          fail(.agreement, "shard \(mine.id) differs at slot \(mine.applied)")
          return false
        }
      }
    }
    return true
  }

  private func state() -> String {
    nodes.enumerated().map { index, node in
      guard let store = node.store else { return "node \(index + 1) is down" }
      let groups = store.groups.map {
        "\($0.leader.map(String.init(describing:)) ?? "-"):\($0.applied)/\($0.commit)/\($0.last)"
      }
      return "node \(index + 1) \(groups.joined(separator: " "))"
    }.joined(separator: ", ")
  }

  private func check() {
    guard let (key, verdict) = history.check(keys: options.keys) else { return }
    if verdict == .undecided {
      statistics.isUndecided = true
    } else {
      fail(.linearizability, "the answers about key \(key) fit no order")
    }
  }

  func fail(_ kind: SimulationFailure.Kind, _ message: String) {
    guard failure == nil else { return }
    failure = SimulationFailure(
      kind: kind, message: message, time: world.now.nanoseconds - start.nanoseconds)
  }

  func note(_ line: @autoclosure () -> String) {
    let time = (world.now.nanoseconds - start.nanoseconds) / 1000
    trace.append("\(time) us  \(line())")
    if !options.isTracing && trace.count > 2_000 { trace.removeFirst(1_000) }
  }

  private func report() -> NodeSimulationReport {
    let counted = world.statistics
    statistics.acknowledged = history.acknowledged
    statistics.tornWrites = Int(counted.tornWrites)
    statistics.lostSectors = Int(counted.lostSectors)
    return NodeSimulationReport(
      seed: seed, failure: failure, traceHash: world.digest,
      trace: failure != nil || options.isTracing ? trace : [],
      virtualTime: world.now.nanoseconds - start.nanoseconds, statistics: statistics)
  }
}
