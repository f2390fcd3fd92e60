import ArgumentParser
import CycladesClient
import CycladesServer
import CycladesSimulator
import CycladesTransport
import Logging
import Synchronization

/// `cyclades histories`: what clients see of a cluster in trouble is checked to be linearizable.
///
/// Not listed in the help: a long test of the project (`make histories`).
struct HistoriesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "histories",
    abstract: "Check that what clients see of a cluster in trouble is linearizable.",
    discussion: """
      Three nodes, each a process, are killed, paused, cut off from the others, from both or in one \
      direction; a fourth joins and leaves. Meanwhile tasks read, write and add to a few keys through \
      StoreClient. Every operation is written down with the times at which it was asked and answered, \
      and the history of every key must have an explanation in which operations come one at a time. \
      Additions are sent again after every failure; one that was carried out twice has none.
      """,
    shouldDisplay: false)

  @Option(name: .long, help: "Operations in all.")
  var operations = 1_000_000

  @Option(name: .long, help: "Keys that they go to.")
  var keys = 500

  @Option(name: .long, help: "Tasks that ask, over four clients.")
  var tasks = 48

  @Option(name: .long, help: "Repeats the choice of faults and operations of an earlier run.")
  var seed = UInt64.random(in: 0..<1_000_000)

  @Option(name: .long, parsing: .upToNextOption, help: "Only these faults.")
  var faults = HistoryFault.allCases

  @OptionGroup var place: StageOptions

  func validate() throws {
    guard operations > 0, (1...1_000_000).contains(keys), (4...10_000).contains(tasks) else {
      throw ValidationError("--operations and --keys are above 0, --tasks from 4 to 10000")
    }
  }

  func run() async throws {
    let stage = try place.open { print($0) }
    defer { stage.clear() }
    let logger = Logger(label: "histories") { _ in SwiftLogNoOpLogHandler() }
    let cluster = try DemoCluster(on: stage)
    let proxies = try PeerProxies(
      Dictionary(uniqueKeysWithValues: cluster.nodes.map { ($0.id, $0.peerPort) }), logger: logger)
    cluster.proxies = proxies
    for node in cluster.nodes { try cluster.start(node.id) }
    try await eventually(.seconds(30), "leaders") { try cluster.isServing() }
    let reactors = try ReactorGroup(count: 1, name: "clients", logger: logger)
    let found = try await history(cluster, proxies, reactors, logger)
    await reactors.shutdown()
    let unclean = cluster.stop()
    await proxies.stop()
    guard unclean.isEmpty else { throw CommandFailure("nodes \(unclean) did not stop cleanly") }
    try check(found)
  }

  /// Lets clients work while faults happen; returns what each task saw.
  private func history(
    _ cluster: DemoCluster, _ proxies: PeerProxies, _ reactors: ReactorGroup, _ logger: Logger
  ) async throws -> [HistoryRecord] {
    print("\(operations.grouped) operations on \(keys.grouped) keys, --seed \(seed)")
    let servers = cluster.nodes.map { "127.0.0.1:\($0.clusterPort)" }
    var clients: [StoreClient] = []
    for _ in 0..<4 {
      clients.append(
        try await StoreClient.connect(to: servers, on: reactors.next(), logger: logger))
    }
    let workload = HistoryWorkload(keyCount: keys, operations: operations, seed: seed)
    let work = (0..<tasks).map { number in
      let client = clients[number % clients.count]
      return Task(executorPreference: client.executor) { await workload.run(number, client) }
    }
    var random = SplitMix(seed: seed)
    var counts: [String: Int] = [:]
    do {
      // Each kind once before any comes again.
      var left: [HistoryFault] = []
      while !workload.isOver {
        if left.isEmpty { left = faults.shuffled(using: &random) }
        let fault = left.removeLast()
        let before = workload.answered.load(ordering: .relaxed)
        let time = Stopwatch()
        try await fault.happen(to: cluster, proxies, &random)
        counts[fault.rawValue, default: 0] += 1
        let answered = workload.answered.load(ordering: .relaxed)
        print("\(fault.rawValue): \((answered - before).grouped) answers in \(time.text)")
        try await Task.sleep(for: .milliseconds(Int.random(in: 50...800, using: &random)))
      }
    } catch {
      workload.stop()
      throw error
    }
    var records: [HistoryRecord] = []
    for task in work { records.append(await task.value) }
    // What is there at the end is part of it.
    var last = HistoryRecord()
    for key in 0..<keys { await workload.perform(.read, key, clients[0], &last) }
    records.append(last)
    var statistics = StoreClientStatistics()
    for client in clients {
      statistics = await statistics + client.statistics
      await client.close()
    }
    let faults = counts.sorted { $0.key < $1.key }.map { "\($0.value) x \($0.key)" }
    print("faults: \(faults.joined(separator: ", "))")
    let (repetitions, redirections) = (statistics.repetitions, statistics.redirections)
    print("clients sent \(repetitions) commands again, and were redirected \(redirections) times")
    return records
  }

  private func check(_ records: [HistoryRecord]) throws {
    let errors = records.reduce(into: [String: Int]()) { $0.merge($1.errors, uniquingKeysWith: +) }
    for (error, count) in errors.sorted(by: { $0.key < $1.key }) { print("\(count) x \(error)") }
    let count = records.reduce(0) { $0 + $1.operations.count }
    let unknown = records.reduce(0) { $0 + $1.operations.count { $0.end == .max } }
    guard errors.keys.allSatisfy({ $0.hasPrefix("timedOut") }) else {
      throw CommandFailure("clients saw errors that no fault explains")
    }
    guard count >= operations / 2 else {
      throw CommandFailure("only \(count) of \(operations) operations have an answer")
    }
    let time = Stopwatch()
    var undecided = 0
    let checker = LinearizabilityChecker(NumberSpecification(), maximumSteps: 20_000_000)
    for (key, history) in HistoryRecord.byKey(records, keyCount: keys).enumerated() {
      switch checker.check(history) {
      case .linearizable: continue
      case .undecided: undecided += 1
      case .violation:
        throw CommandFailure(
          "what clients saw of key \(HistoryWorkload.key(key)) is not linearizable: "
            + "\(history.count) operations, --seed \(seed)")
      }
    }
    guard undecided == 0 else {
      throw CommandFailure("the histories of \(undecided) keys are too tangled to decide")
    }
    print(
      "✓ \(count.grouped) operations, \(unknown.grouped) of unknown outcome, are linearizable; "
        + "checked in \(time.text)")
  }
}
