import CycladesServer
import Synchronization

/// The steps of the demo, in order, and what they found.
struct Demo {
  private(set) var report = DemoReport()
  private let terminal: Terminal
  private let stage: DemoStage
  private let cluster: DemoCluster
  private var ledger: LoadLedger
  private var stepCount = 0

  /// Writes resume this long after the loss of a node, at the latest: what the project promises.
  static let failoverPromise: Duration = .seconds(3)

  init(_ terminal: Terminal, _ stage: DemoStage, keyCount: Int) throws {
    self.terminal = terminal
    self.stage = stage
    cluster = try DemoCluster(on: stage)
    ledger = LoadLedger(keyCount: keyCount)
  }

  /// Runs all steps; a promise that does not hold is in the report, what makes it pointless to go
  /// on is thrown.
  mutating func run(countingWordsIn inputs: [String], files: [String]) throws {
    let total = Stopwatch()
    terminal.line()
    try startNodes()
    try load()
    let victim = try killLeader()
    report.afterKill = try verify(through: cluster.plainPorts, "the two nodes that are left")
    try restart(victim)
    try countWords(inputs, files)
    let unclean = cluster.stop()
    check(
      "shutdown", unclean.isEmpty,
      unclean.isEmpty ? "all nodes stopped cleanly" : "nodes \(unclean) did not stop cleanly")
    report.seconds = total.seconds
    summarise()
  }

  // MARK: Steps

  private mutating func startNodes() throws {
    begin("Start three nodes, each a process with a data folder of its own")
    let time = Stopwatch()
    for node in cluster.nodes { try cluster.start(node.id) }
    try terminal.watch(
      "electing leaders", within: .seconds(20), until: cluster.isServing,
      describe: { "electing leaders" })
    let elapsed = time.text
    let leads = try cluster.leadCounts()
    for node in cluster.nodes {
      detail(
        "node \(node.id) leads \(leads[node.id, default: 0]) shards: redis-cli -p \(node.plainPort)"
      )
    }
    check("cluster", true, "\(DemoCluster.shardCount) shards, all with a leader after \(elapsed)")
  }

  private mutating func load() throws {
    let shape = LoadShape(ports: cluster.plainPorts, lanes: 12, depth: 64)
    begin(
      "Load \(ledger.keyCount.grouped) keys over \(shape.lanes) connections, \(shape.depth) deep")
    let time = Stopwatch()
    let progress = LoadProgress()
    let goal = ledger.keyCount
    let writes = LoadWrites(ledger, lanes: shape.lanes, isEndless: false, progress: progress)
    let done = try terminal.watch(
      inBackground(writes, shape), "loading keys", within: .seconds(60)
    ) {
      let count = progress.succeeded.load(ordering: .relaxed)
      return (Double(count) / Double(goal), "\(Int(Double(count) / time.seconds).grouped) writes/s")
    }
    let elapsed = time.seconds
    ledger = done.ledger
    let load = DemoReport.Load(
      keys: ledger.acknowledgedKeyCount, seconds: elapsed,
      operationsPerSecond: Int(Double(done.latency.count) / elapsed),
      p50Microseconds: Int(done.latency.value(atQuantile: 0.5) / 1000),
      p99Microseconds: Int(done.latency.value(atQuantile: 0.99) / 1000))
    report.load = load
    check(
      "load", load.keys == goal,
      "\(load.keys.grouped) writes acknowledged, \(load.operationsPerSecond.grouped)/s, "
        + "p50 \(readable(nanoseconds: done.latency.value(atQuantile: 0.5))), "
        + "p99 \(readable(nanoseconds: done.latency.value(atQuantile: 0.99)))")
    explainRefusals(done)
  }

  private mutating func killLeader() throws -> UInt32 {
    let (victim, ledCount) = try cluster.busiestNode()
    begin("kill -9 node \(victim), leader of \(ledCount) shards, while writes go on")

    let shape = LoadShape(ports: cluster.plainPorts, lanes: 6, depth: 8)
    let progress = LoadProgress()
    let writing = inBackground(
      LoadWrites(ledger, lanes: shape.lanes, isEndless: true, progress: progress), shape)
    defer { progress.isStopping.store(true, ordering: .relaxed) }
    terminal.follow(progress, "writing", for: .seconds(1))
    cluster.kill(victim)
    try terminal.followUntilFlowing(progress, "one node is gone", within: .seconds(20))
    progress.isStopping.store(true, ordering: .relaxed)
    let done = try terminal.watch(writing, "the last replies", within: .seconds(15)) {
      (nil, "waiting for the last replies")
    }
    ledger = done.ledger
    let longestGap = progress.longestGap.load(ordering: .relaxed)
    report.failover = .init(
      killedNode: victim, shardsLed: ledCount, shards: DemoCluster.shardCount,
      refusedMilliseconds: Int(longestGap / 1_000_000),
      slowestWriteMilliseconds: Int(done.latency.maximum / 1_000_000),
      acknowledgedWrites: Int(done.latency.count), refusedWrites: done.refusedCount,
      uncertainWrites: done.uncertainCount)
    check(
      "failover", .nanoseconds(longestGap) <= Self.failoverPromise,
      "no write was acknowledged for \(readable(nanoseconds: longestGap)); the slowest "
        + "took \(readable(nanoseconds: done.latency.maximum))")
    detail(
      "\(Int(done.latency.count).grouped) writes acknowledged, \(done.refusedCount) refused, "
        + "\(done.uncertainCount) never answered")
    explainRefusals(done)
    return victim
  }

  private mutating func verify(
    through ports: [UInt16], _ place: String
  ) throws -> DemoReport.Verification {
    let shape = LoadShape(ports: ports, lanes: 4 * ports.count, depth: 64)
    let progress = LoadProgress()
    let goal = ledger.keyCount
    let reads = LoadVerification(ledger, lanes: shape.lanes, progress: progress)
    let done = try terminal.watch(
      inBackground(reads, shape), "reading every key", within: .seconds(30)
    ) {
      (Double(progress.succeeded.load(ordering: .relaxed)) / Double(goal), "reading every key")
    }
    let found = DemoReport.Verification(
      keys: done.checkedCount, lost: done.lostCount, uncertainThatHappened: done.happenedCount)
    check(
      "durability", found.lost == 0 && found.keys == goal,
      "\(found.keys.grouped) keys read through \(place): \(found.lost) acknowledged writes lost")
    if found.uncertainThatHappened > 0 {
      detail("\(found.uncertainThatHappened) writes that were never answered did happen")
    }
    for finding in done.findings { detail(terminal.styled(finding, .red)) }
    return found
  }

  private mutating func restart(_ id: UInt32) throws {
    begin("Restart node \(id) on its old data folder")
    let time = Stopwatch()
    let marks = try cluster.commitMarks()
    try cluster.start(id)
    var behind: UInt64?
    try terminal.watch("catching up", within: .seconds(30)) {
      behind = try cluster.slotsBehind(id, marks)
      return try behind == 0 && cluster.isServing()
    } describe: {
      behind.map { "\(Int($0).grouped) log slots behind" } ?? "starting"
    }
    report.catchUpSeconds = time.seconds
    check("catch-up", true, "level with the others on every shard after \(time.text)")
    let port = cluster.nodes.filter { $0.id == id }.map(\.plainPort)
    report.afterRestart = try verify(through: port, "node \(id)")
  }

  private mutating func countWords(_ inputs: [String], _ files: [String]) throws {
    begin("Count the words in \(inputs.joined(separator: " ")) on three worker processes")
    let output = "\(stage.folder)/wordcount"
    let log = "\(stage.folder)/wordcount.log"
    let sequential = Background { () throws(CommandFailure) in
      try SequentialWordCount(files: files)
    }
    let time = Stopwatch()
    let job = try stage.start(
      ["mapreduce", "wordcount", "--input"] + inputs + ["--output", output, "--workers", "3"],
      output: log)
    var ending: ChildProcess.Ending?
    try terminal.watch("the word count", within: .seconds(600)) {
      ending = stage.poll(job)
      return ending != nil
    } describe: {
      "mapping, shuffling, reducing: \(time.text)"
    }
    let elapsed = time
    guard ending == .exited(0) else {
      throw CommandFailure("the word count failed, it said: \(lastLine(ofFile: log))")
    }
    let expected = try terminal.watch(sequential, "counting again", within: .seconds(600)) {
      (nil, "counting again, one word after the other")
    }
    let isEqual = try WordCountOutput(folder: output).counts == expected.counts
    report.wordCount = .init(
      files: files.count, bytes: expected.byteCount, words: expected.wordCount,
      distinctWords: expected.counts.count, seconds: elapsed.seconds,
      equalsSequentialCount: isEqual)
    let top = expected.top(10)
    for half in [top.prefix(5), top.dropFirst(5)] where !half.isEmpty {
      detail(half.map { "\($0.word) \($0.count.grouped)" }.joined(separator: "   "))
    }
    check(
      "word count", isEqual,
      "\(expected.wordCount.grouped) words, \(expected.counts.count.grouped) distinct, "
        + "\(isEqual ? "the same as" : "NOT the same as") a sequential count")
  }

  // MARK: Words for the user

  private mutating func begin(_ title: String) {
    stepCount += 1
    terminal.line(terminal.styled("  \(stepCount)  \(title)", .bold))
  }

  private func detail(_ text: String) { terminal.line("     \(text)") }

  private mutating func check(_ name: String, _ held: Bool, _ text: String) {
    report.checks.append(.init(name: name, held: held, detail: text))
    terminal.line("     \(terminal.mark(held)) \(text)")
  }

  private func explainRefusals(_ writes: LoadWrites) {
    if let refusal = writes.firstRefusal { detail("the first refusal: \(refusal)") }
  }

  private func summarise() {
    terminal.line()
    terminal.line(terminal.styled("  Summary", .bold))
    for check in report.checks {
      let name = check.name + String(repeating: " ", count: max(0, 12 - check.name.count))
      terminal.line("  \(terminal.mark(check.held)) \(name)\(check.detail)")
    }
    let verdict = report.held ? "Everything held" : "Not everything held"
    terminal.line(
      terminal.styled("  \(verdict)", report.held ? .green : .red)
        + ", in \(decimal(report.seconds, places: 1)) s. Nothing is left running or on disk.")
    terminal.line()
    terminal.line(terminal.styled("  Next", .bold))
    let program = CommandLine.arguments[0]
    for command in [
      "\(program) cluster --nodes 3 --port 7000 --data /tmp/cyclades   # then, in another shell:",
      "redis-cli -p 7101 set greeting hello                     # any client, any node",
      "\(program) status --connect 127.0.0.1:7101",
      "\(program) mapreduce wordcount --input README.md --output /tmp/words --workers 3",
      "\(program) ring --nodes a,b:2,c --key greeting",
    ] { terminal.line("  \(command)") }
    terminal.line()
  }
}
