import ArgumentParser
import Synchronization

/// `cyclades soak`: nodes killed at random, again and again, while writes go on.
///
/// Not listed in the help: it is the long test of the project (`make soak`), built from the parts
/// of the demo.
struct SoakCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "soak",
    abstract: "Kill a random node again and again while writes go on, then check every write.",
    discussion: """
      Every other time it is the node that leads most shards. Then two nodes are killed at once, \
      so that writes are refused, and restarted. At the end all three are killed at once and \
      restarted, and every key is read through every node. Exits 0 only if no acknowledged write \
      is lost, no refused one is there, and writes resumed within 3 s after every kill of one node.
      """,
    shouldDisplay: false)

  @Option(name: .long, help: "How often a node is killed.")
  var kills = 20

  @Option(name: .long, help: "How many keys are written, round and round.")
  var keys = 200_000

  @Option(name: .long, help: "Repeats the choice of nodes of an earlier run.")
  var seed = UInt64.random(in: 0..<1_000_000)

  @OptionGroup var place: StageOptions

  func validate() throws {
    guard (0...100_000).contains(kills) else {
      throw ValidationError("--kills takes a number from 0 to 100000")
    }
    guard (1...10_000_000).contains(keys) else {
      throw ValidationError("--keys takes a number from 1 to 10000000")
    }
  }

  func run() throws {
    let terminal = Terminal()
    let stage = try place.open { terminal.line($0) }
    defer { stage.clear() }
    try Soak(terminal, try DemoCluster(on: stage)).run(kills: kills, keyCount: keys, seed: seed)
  }
}

/// The steps of a soak run.
struct Soak {
  private let terminal: Terminal
  private let cluster: DemoCluster

  init(_ terminal: Terminal, _ cluster: DemoCluster) {
    self.terminal = terminal
    self.cluster = cluster
  }

  func run(kills: Int, keyCount: Int, seed: UInt64) throws {
    terminal.line("\(kills) kills, \(keyCount.grouped) keys, --seed \(seed)")
    try startAll()
    var shape = LoadShape(ports: cluster.plainPorts, lanes: 6, depth: 8)
    // Longer than a node waits for a leader, so that it is the node that gives up, and says so.
    shape.patience = .seconds(20)
    let progress = LoadProgress()
    defer { progress.isStopping.store(true, ordering: .relaxed) }
    let writing = inBackground(
      LoadWrites(
        LoadLedger(keyCount: keyCount), lanes: shape.lanes, isEndless: true, progress: progress),
      shape)
    terminal.line(row("kill", "node", "led", "no write for", "level after", "acknowledged"))
    var random = SplitMix(seed: seed)
    var slowest: UInt64 = 0
    for round in stride(from: 1, through: kills, by: 1) {
      let victim =
        round % 2 == 1
        ? try cluster.busiestNode().id : cluster.nodes.map(\.id).randomElement(using: &random) ?? 1
      slowest = max(slowest, try killAndRestart(victim, round, progress))
    }
    try loseMajority(progress)
    progress.isStopping.store(true, ordering: .relaxed)
    let done = try terminal.watch(writing, "the last replies", within: .seconds(20)) {
      (nil, "waiting for the last replies")
    }
    terminal.line(
      "\(Int(done.latency.count).grouped) writes acknowledged, \(done.refusedCount) refused, "
        + "\(done.uncertainCount) of unknown outcome")
    if let error = done.firstError { terminal.line("the first error: \(error)") }

    for node in cluster.nodes { cluster.kill(node.id) }
    try startAll()
    for node in cluster.nodes { try verify(done.ledger, through: node) }
    guard .nanoseconds(slowest) <= Demo.failoverPromise else {
      throw CommandFailure("writes paused for \(readable(nanoseconds: slowest)) after a kill")
    }
    let unclean = cluster.stop()
    guard unclean.isEmpty else { throw CommandFailure("nodes \(unclean) did not stop cleanly") }
  }

  private func startAll() throws {
    for node in cluster.nodes { try cluster.start(node.id) }
    try terminal.watch(
      "electing leaders", within: .seconds(30), until: cluster.isServing,
      describe: { "electing leaders" })
  }

  /// Kills a node, waits until writes flow, restarts it and waits until it is level.
  ///
  /// Returns the longest time without an acknowledged write, in nanoseconds.
  private func killAndRestart(
    _ victim: UInt32, _ round: Int, _ progress: LoadProgress
  ) throws -> UInt64 {
    terminal.follow(progress, "kill \(round): node \(victim) is next", for: .milliseconds(500))
    let led = try cluster.leadCounts()[victim, default: 0]
    _ = progress.longestGap.exchange(0, ordering: .relaxed)
    cluster.kill(victim)
    try terminal.followUntilFlowing(
      progress, "kill \(round): node \(victim) is gone", within: .seconds(20))
    let time = Stopwatch()
    try cluster.start(victim)
    try terminal.watch("node \(victim) catching up", within: .seconds(60)) {
      try cluster.isServing()
    } describe: {
      "kill \(round): node \(victim) is starting"
    }
    let marks = try cluster.commitMarks()
    try terminal.watch("node \(victim) catching up", within: .seconds(60)) {
      try cluster.slotsBehind(victim, marks) == 0
    } describe: {
      "kill \(round): node \(victim) is catching up"
    }
    let gap = progress.longestGap.load(ordering: .relaxed)
    let acknowledged = progress.succeeded.load(ordering: .relaxed)
    terminal.line(
      row(
        "\(round)", "\(victim)", "\(led)", readable(nanoseconds: gap),
        time.text, acknowledged.grouped))
    return gap
  }

  /// Kills two nodes at once, waits until writes are refused, restarts both, and waits for writes.
  private func loseMajority(_ progress: LoadProgress) throws {
    let refusedBefore = progress.refused.load(ordering: .relaxed)
    for node in cluster.nodes.dropFirst() { cluster.kill(node.id) }
    let time = Stopwatch()
    try terminal.watch("refusing writes without a majority", within: .seconds(30)) {
      progress.refused.load(ordering: .relaxed) > refusedBefore
    } describe: {
      "two nodes are gone: waiting for writes to be refused"
    }
    let patience = time.text
    for node in cluster.nodes.dropFirst() { try cluster.start(node.id) }
    try terminal.followUntilFlowing(progress, "all nodes are back", within: .seconds(30))
    terminal.line("without a majority, writes were refused after \(patience)")
  }

  private func verify(_ ledger: LoadLedger, through node: DemoCluster.Node) throws {
    let shape = LoadShape(ports: [node.plainPort], lanes: 4, depth: 64)
    let progress = LoadProgress()
    let reads = LoadVerification(ledger, lanes: shape.lanes, progress: progress)
    let found = try terminal.watch(
      inBackground(reads, shape), "reading every key through node \(node.id)", within: .seconds(60)
    ) { (nil, "reading every key through node \(node.id)") }
    for finding in found.findings { terminal.line(finding) }
    guard found.lostCount == 0 && found.checkedCount == ledger.keyCount else {
      throw CommandFailure(
        "\(found.lostCount) of \(found.checkedCount) keys do not hold what was acknowledged, read "
          + "through node \(node.id)")
    }
    terminal.line(
      "\(terminal.mark(true)) all \(found.checkedCount.grouped) keys hold what was acknowledged, "
        + "read through node \(node.id) after all three were killed at once; "
        + "\(found.happenedCount) hold a write of unknown outcome")
  }

  private func row(_ cells: String...) -> String {
    cells.map { String(repeating: " ", count: max(0, 13 - $0.count)) + $0 }.joined()
  }
}
