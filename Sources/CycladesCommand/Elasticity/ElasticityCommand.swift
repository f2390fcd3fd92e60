import ArgumentParser
import CycladesServer
import Synchronization

/// `cyclades elasticity`: what a join costs those who write meanwhile.
///
/// Not listed in the help: a measurement of the project (`make elasticity`).
struct ElasticityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "elasticity",
    abstract: "Let a fourth node join under load, and measure what clients see of it.",
    discussion: """
      Three nodes are written to, a few writes under way to every shard at a time, by a client that \
      follows MOVED. A fourth joins and gets its share. Per shard, the longest time without an \
      acknowledged write during that is what clients see of a move. Exits 0 only if the newcomer \
      got its share to within 5 %, 99 % of the shards were never silent for longer than --limit, \
      clients saw no error other than MOVED, and every acknowledged write is there.
      """,
    shouldDisplay: false)

  @Option(name: .long, help: "How many keys of 64 bytes there are.")
  var keys = 200_000

  @Option(name: .long, help: "Writes under way to each shard at a time.")
  var depth = 1

  @Option(name: .long, help: "The longest silence of a shard that is good enough, in milliseconds.")
  var limit = 20

  @OptionGroup var place: StageOptions

  func validate() throws {
    guard (10_000...10_000_000).contains(keys), (1...256).contains(depth), limit > 0 else {
      throw ValidationError(
        "--keys is from 10000 to 10000000, --depth from 1 to 256, --limit above 0")
    }
  }

  func run() throws {
    let terminal = Terminal()
    let stage = try place.open { terminal.line($0) }
    defer { stage.clear() }
    try Elasticity(terminal, DemoCluster(on: stage)).run(keyCount: keys, depth: depth, limit: limit)
  }
}

/// The steps of the measurement.
struct Elasticity {
  private let terminal: Terminal
  private let cluster: DemoCluster

  init(_ terminal: Terminal, _ cluster: DemoCluster) {
    self.terminal = terminal
    self.cluster = cluster
  }

  /// Who holds a shard, and who leads it.
  private struct Holding {
    var members: Set<UInt32>
    var leader: UInt32?
  }

  func run(keyCount: Int, depth: Int, limit: Int) throws {
    for node in cluster.nodes { try cluster.start(node.id) }
    try terminal.watch(
      "electing leaders", within: .seconds(30), until: cluster.isServing,
      describe: { "electing leaders" })
    let ledger = try load(keyCount)
    let newcomer = try cluster.prepareNode()
    let control = ShardWrites.Control()
    defer { control.isStopping.store(true, ordering: .relaxed) }
    let writes = ShardWrites(
      ledger, shards: DemoCluster.shardCount, ports: cluster.nodes.map(\.clusterPort),
      depth: depth, control: control)
    let writing = inBackground(writes, writes.shape)

    // The first writes find the leaders; then comes as a comparison what there is without a move.
    pause(milliseconds: 500)
    control.phase.store(1, ordering: .relaxed)
    pause(milliseconds: 3000)
    let before = try holdings()
    control.phase.store(2, ordering: .relaxed)
    let (time, first) = (Stopwatch(), control.acknowledged.load(ordering: .relaxed))
    try cluster.start(newcomer)
    try awaitPlacement(of: newcomer)
    let (seconds, last) = (time.seconds, control.acknowledged.load(ordering: .relaxed))
    control.isStopping.store(true, ordering: .relaxed)
    var done = try terminal.watch(writing, "the last replies", within: .seconds(20)) {
      (nil, "waiting for the last replies")
    }
    done.finish()
    terminal.line(
      "node \(newcomer) got its share in \(decimal(seconds, places: 1)) s, under "
        + "\(Int(Double(last - first) / seconds).grouped) writes/s")
    let after = try holdings()
    var faults = report(before, after, done, newcomer, limit)
    if let fault = try verify(done.ledger) { faults.append(fault) }
    let unclean = cluster.stop()
    if !unclean.isEmpty { faults.append("nodes \(unclean) did not stop cleanly") }
    guard faults.isEmpty else { throw CommandFailure(faults.joined(separator: "; ")) }
  }

  private func load(_ keyCount: Int) throws -> LoadLedger {
    let shape = LoadShape(ports: cluster.plainPorts, lanes: 48, depth: 16)
    let progress = LoadProgress()
    let writes = LoadWrites(
      LoadLedger(keyCount: keyCount), lanes: shape.lanes, isEndless: false, progress: progress)
    return try terminal.watch(inBackground(writes, shape), "loading keys", within: .seconds(120)) {
      (nil, "\(progress.succeeded.load(ordering: .relaxed).grouped) keys loaded")
    }.ledger
  }

  private func awaitPlacement(of newcomer: UInt32) throws {
    let deadline = ContinuousClock.now + .seconds(90)
    while try !cluster.isInPlace({ $0.planned?.contains(newcomer) == true })
      || !isLedAsPlanned()
    {
      guard ContinuousClock.now < deadline else {
        throw CommandFailure("node \(newcomer) did not get its share within 90 s")
      }
      // Seldom: to answer is work for the nodes that are measured.
      pause(milliseconds: 200)
    }
  }

  /// Whether the node that the plan puts first leads each shard: the last step of a move.
  private func isLedAsPlanned() throws -> Bool {
    try cluster.reports()?.allSatisfy { report in
      report.shards.allSatisfy { $0.role != "leader" || $0.planned?.first == $0.leader }
    } ?? false
  }

  /// The shards as their leaders have them.
  private func holdings() throws -> [Holding] {
    guard let reports = try cluster.reports() else {
      throw CommandFailure("a node does not answer CYCLADES STATUS")
    }
    return (0..<DemoCluster.shardCount).map { id in
      let shard = reports.first { $0.shards[id].role == "leader" }?.shards[id]
      return Holding(members: Set(shard?.members ?? []), leader: shard?.leader)
    }
  }
}

// MARK: What came of it

extension Elasticity {
  /// Prints what clients saw; returns what is beyond the limits.
  private func report(
    _ before: [Holding], _ after: [Holding], _ done: ShardWrites, _ newcomer: UInt32, _ limit: Int
  ) -> [String] {
    var faults: [String] = []
    let gained = zip(before, after).map { $1.members.subtracting($0.members) }
    let moved = gained.reduce(0) { $0 + $1.count }
    let ideal =
      Double(after.reduce(0) { $0 + $1.members.count }) / Double(cluster.nodes.count)
    let isFair = abs(Double(moved) - ideal) <= 0.05 * ideal
    terminal.line(
      "\(terminal.mark(isFair)) \(moved) replicas of shards moved, ideal are "
        + decimal(ideal, places: 1))
    if !isFair || gained.contains(where: { !$0.isSubset(of: [newcomer]) }) {
      faults.append("other shards moved than the newcomer's share")
    }

    var table = TextTable(
      ["SHARD", "LEADER", "MOVE", "WRITES", "P99 GAP", "LONGEST", "WITHOUT A MOVE"],
      numeric: [0, 3, 4, 5, 6])
    let (calm, moving) = (done.phases[1], done.phases[2])
    var silences = LoadHistogram()
    for shard in after.indices {
      let (old, new) = (before[shard], after[shard])
      let isMoved = old.members != new.members || old.leader != new.leader
      if isMoved { silences.record(moving[shard].maximum) }
      let leaders = [old.leader, new.leader].map { $0.map(String.init) ?? "?" }
      table.append([
        "\(shard)", leaders[0] == leaders[1] ? leaders[0] : leaders.joined(separator: " to "),
        old.members == new.members ? "" : "to \(newcomer)", Int(moving[shard].count).grouped,
        readable(nanoseconds: moving[shard].value(atQuantile: 0.99)),
        readable(nanoseconds: moving[shard].maximum), readable(nanoseconds: calm[shard].maximum),
      ])
    }
    for line in table.lines { terminal.line(line) }
    let p99 = silences.value(atQuantile: 0.99)
    let isShort = silences.count > 0 && p99 <= UInt64(limit) * 1_000_000
    terminal.line(
      "\(terminal.mark(isShort)) the longest silence of a shard that moved: median "
        + "\(readable(nanoseconds: silences.value(atQuantile: 0.5))), p99 "
        + readable(nanoseconds: p99))
    if !isShort { faults.append("a shard was silent for \(readable(nanoseconds: p99))") }

    let others = done.errors.filter { $0.key != "MOVED" }
    let errors = done.errors.sorted { $0.key < $1.key }.map { "\($0.value) x \($0.key)" }
    terminal.line(
      "\(terminal.mark(others.isEmpty)) errors that clients saw: "
        + (errors.isEmpty ? "none" : errors.joined(separator: ", ")))
    if !others.isEmpty { faults.append("clients saw errors other than MOVED") }
    return faults
  }

  /// Reads every key through the plain ports; returns what is wrong.
  private func verify(_ ledger: LoadLedger) throws -> String? {
    let shape = LoadShape(ports: cluster.plainPorts, lanes: 8, depth: 64)
    let reads = LoadVerification(ledger, lanes: shape.lanes, progress: LoadProgress())
    let found = try terminal.watch(
      inBackground(reads, shape), "reading every key", within: .seconds(60)
    ) { (nil, "reading every key") }
    let isWhole = found.lostCount == 0 && found.checkedCount == ledger.keyCount
    terminal.line(
      "\(terminal.mark(isWhole)) \((found.checkedCount - found.lostCount).grouped) of "
        + "\(ledger.keyCount.grouped) keys hold what was acknowledged")
    return isWhole ? nil : "acknowledged writes are lost"
  }
}
