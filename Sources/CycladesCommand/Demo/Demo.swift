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
    report.afterKill = try verify("after kill", through: cluster.plainPorts, "the other two nodes")
    try restart(victim)
    try countWords(inputs, files)
    let unclean = cluster.stop()
    check(
      "clean end", unclean.isEmpty,
      unclean.isEmpty ? "all nodes stopped when asked" : "nodes \(unclean) did not stop well")
    report.seconds = total.seconds
    report.held = report.checks.allSatisfy(\.held)
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
        "node \(node.id)   leads \(leads[node.id, default: 0]) of \(DemoCluster.shardCount) shards"
          + "   redis-cli -p \(node.plainPort)")
    }
    check("start", true, "every shard had a leader after \(elapsed)")
  }

  private mutating func load() throws {
    let shape = LoadShape(ports: cluster.plainPorts, lanes: 48, depth: 16)
    begin(
      "Write \(ledger.keyCount.grouped) keys: \(shape.lanes) connections, pipeline \(shape.depth)")
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
    ledger = done.ledger
    let load = DemoReport.Load(
      keys: ledger.acknowledgedKeyCount, seconds: done.seconds,
      operationsPerSecond: Int(Double(done.latency.count) / max(done.seconds, 1e-6)),
      p50Microseconds: Int(done.latency.value(atQuantile: 0.5) / 1000),
      p99Microseconds: Int(done.latency.value(atQuantile: 0.99) / 1000))
    report.load = load
    check(
      "load", load.keys == goal,
      "\(load.keys.grouped) keys, \(load.operationsPerSecond.grouped) writes/s, "
        + "p50 \(readable(nanoseconds: done.latency.value(atQuantile: 0.5))), "
        + "p99 \(readable(nanoseconds: done.latency.value(atQuantile: 0.99)))")
    explainErrors(done)
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
      "writes stood still for \(readable(nanoseconds: longestGap))")
    detail("that is the longest time without an acknowledged write")
    detail(
      "\(Int(done.latency.count).grouped) acknowledged, \(done.refusedCount) refused, "
        + "\(done.uncertainCount) of unknown outcome; slowest "
        + readable(nanoseconds: done.latency.maximum))
    explainErrors(done)
    return victim
  }

  private mutating func verify(
    _ name: String, through ports: [UInt16], _ place: String
  ) throws -> DemoReport.Verification {
    let shape = LoadShape(ports: ports, lanes: 4 * ports.count, depth: 64)
    let progress = LoadProgress()
    let goal = ledger.keyCount
    let reads = LoadVerification(ledger, lanes: shape.lanes, progress: progress)
    let time = Stopwatch()
    let done = try terminal.watch(
      inBackground(reads, shape), "reading every key", within: .seconds(30)
    ) {
      (Double(progress.succeeded.load(ordering: .relaxed)) / Double(goal), "reading every key")
    }
    let found = DemoReport.Verification(
      keys: done.checkedCount, lost: done.lostCount, uncertainThatHappened: done.happenedCount)
    check(
      name, found.lost == 0 && found.keys == goal,
      "\(found.lost) of \(found.keys.grouped) acknowledged writes lost")
    let rate = Int(Double(found.keys) / time.seconds)
    detail("every key read back through \(place), \(rate.grouped) reads/s")
    if found.uncertainThatHappened > 0 {
      detail("\(found.uncertainThatHappened) writes of unknown outcome did happen")
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
    check(
      "catch-up", true, "node \(id) was level with the others on every shard after \(time.text)")
    let port = cluster.nodes.filter { $0.id == id }.map(\.plainPort)
    report.afterRestart = try verify("after restart", through: port, "node \(id)")
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
    let top = expected.top(10)
    report.wordCount = .init(
      files: files.count, bytes: expected.byteCount, words: expected.wordCount,
      distinctWords: expected.counts.count, seconds: elapsed.seconds,
      equalsSequentialCount: isEqual, top: top)
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

  private func explainErrors(_ writes: LoadWrites) {
    if let error = writes.firstError { detail("the first error: \(error)") }
  }

  private func summarise() {
    terminal.line()
    terminal.line(terminal.styled("  Summary", .bold))
    for check in report.checks {
      let name = check.name.padding(to: 15)
      terminal.line("  \(terminal.mark(check.held)) \(name)\(check.detail)")
    }
    let verdict = report.held ? "Everything held" : "Not everything held"
    terminal.line(
      terminal.styled("  \(verdict)", report.held ? .green : .red)
        + ", in \(decimal(report.seconds, places: 1)) s.")
    terminal.line()
    terminal.line(terminal.styled("  Next", .bold))
    let program = CommandLine.arguments[0]
    for (purpose, command) in [
      ("three nodes that stay", "\(program) cluster --data /tmp/cyclades"),
      ("any client, any node", "redis-cli -p 7101 set greeting hello"),
      ("shards, leaders, lag", "\(program) status --connect 127.0.0.1:7101"),
      ("who owns a key", "\(program) ring --nodes a,b:2,c --key greeting"),
      ("words of any text", "\(program) mapreduce wordcount --input README.md --output words"),
    ] {
      terminal.line("  \(terminal.styled(purpose.padding(to: 23), .faint))\(command)")
    }
    terminal.line()
  }
}
