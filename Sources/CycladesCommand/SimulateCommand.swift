import ArgumentParser
import CycladesSimulator
import Dispatch
import Foundation
import Synchronization

/// `cyclades simulate`: runs whole groups under virtual time and faults, seed by seed.
struct SimulateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate",
    abstract: "Run Paxos groups under simulated faults; the seed decides the run.")

  @Option(help: "Run this one seed and print its trace.")
  var seed: UInt64?

  @Option(help: "Run this many seeds.")
  var seeds: UInt64 = 100

  @Option(help: "The first of the seeds.")
  var first: UInt64 = 1

  @Option(help: "How many seeds run at a time.")
  var jobs = 2

  @Option(
    help: "Which faults: \(Scenario.allCases.map(\.rawValue).joined(separator: ", ")).",
    transform: parseScenario)
  var scenario = Scenario.swarm

  @Option(help: "Run the schedule of this file, as --shrink writes it, and print its trace.")
  var replay: String?

  @Option(
    help: "With --seed: leave out all faults that the failure does not need; write the rest here.")
  var shrink: String?

  @Flag(help: "Run whole nodes, from the clients' bytes to the disks' sectors, instead of groups.")
  var nodes = false

  @Flag(help: "Plant one bug after the other, and print how many seeds it takes to find each.")
  var bugs = false

  func validate() throws {
    guard (1...1024).contains(jobs) else { throw ValidationError("--jobs must be 1 to 1024") }
    guard seeds <= UInt64.max - first else { throw ValidationError("--first is too large") }
    guard !nodes || (replay == nil && shrink == nil && !bugs && scenario == .swarm) else {
      throw ValidationError("--nodes goes with --seed, --seeds, --first and --jobs alone")
    }
  }

  func run() throws {
    if nodes { return try NodeSeeds(seed: seed, first: first, count: seeds, jobs: jobs).run() }
    var options = SimulationOptions(scenario: scenario)
    if bugs {
      try findBugs(options)
      return
    }
    if let replay {
      try replaySchedule(replay)
      return
    }
    if let seed, let shrink {
      try shrinkRun(Simulation(seed: seed, options: options), into: shrink)
      return
    }
    if let seed {
      options.isTracing = true
      let report = Simulation(seed: seed, options: options).run()
      if report.failure == nil { print(report.trace.joined(separator: "\n")) }
      print(report)
      if report.failure != nil { throw ExitCode.failure }
      return
    }
    let clock = ContinuousClock()
    let start = clock.now
    let tally = runAll(options)
    let elapsed = (clock.now - start) / .seconds(1)
    for report in tally.failures { print(report) }
    let virtual = Double(tally.virtualTime) / 1e9
    print(
      "\(seeds) seeds, \(tally.failures.count) failed, \(tally.undecided) histories undecided; "
        + "\(tally.decided) slots decided, \(tally.acknowledged) operations acknowledged, "
        + "\(tally.crashes) crashes, \(tally.leaders) leaders, \(tally.installs) snapshots installed; "
        + "slowest recovery \(tally.slowestRecovery / 1_000_000) ms; "
        + "\(Int(Double(seeds) / elapsed)) seeds/s, \(Int(virtual / elapsed)) times real time")
    if !tally.failures.isEmpty { throw ExitCode.failure }
  }

  private struct Tally {
    var failures: [SimulationReport] = []
    var virtualTime: UInt64 = 0
    var decided = 0
    var acknowledged = 0
    var crashes = 0
    var leaders = 0
    var installs = 0
    var undecided = 0
    var slowestRecovery: UInt64 = 0

    mutating func add(_ report: SimulationReport) {
      virtualTime += report.virtualTime
      decided += report.statistics.decided
      acknowledged += report.statistics.acknowledged
      crashes += report.statistics.crashes
      leaders += report.statistics.leaders
      installs += report.statistics.installs
      undecided += report.statistics.undecided
      slowestRecovery = max(slowestRecovery, report.statistics.recovery)
      // Beyond a few, failures only push the first one off the screen.
      if report.failure != nil, failures.count < 5 { failures.append(report) }
    }
  }

  private func replaySchedule(_ path: String) throws {
    guard let schedule = Schedule(try String(contentsOfFile: path, encoding: .utf8)) else {
      throw ValidationError("\(path) holds no schedule")
    }
    var options = SimulationOptions()
    options.isTracing = true
    let report = schedule.simulation(options).run()
    if report.failure == nil { print(report.trace.joined(separator: "\n")) }
    print(report)
    if report.failure != nil { throw ExitCode.failure }
  }

  private func shrinkRun(_ simulation: Simulation, into path: String) throws {
    guard let (schedule, report) = simulation.shrink() else {
      print("seed \(simulation.seed) does not fail")
      return
    }
    try schedule.description.write(toFile: path, atomically: true, encoding: .utf8)
    print(report)
    print("\(report.statistics.faults - schedule.skipped.count) faults are left, see \(path)")
    throw ExitCode.failure
  }

  private func findBugs(_ options: SimulationOptions) throws {
    let next = Atomic(0)
    let found = Mutex<[SimulationReport?]>(Array(repeating: nil, count: PlantedBug.all.count))
    DispatchQueue.concurrentPerform(iterations: jobs) { _ in
      while true {
        let index = next.add(1, ordering: .relaxed).oldValue
        guard index < PlantedBug.all.count else { return }
        var options = options
        options.bug = PlantedBug.all[index]
        options.scenario = PlantedBug.all[index].scenario
        let report = (first..<first + seeds).lazy
          .map { Simulation(seed: $0, options: options).run() }
          .first { $0.failure != nil }
        found.withLock { $0[index] = report }
      }
    }
    let reports = found.withLock { $0 }
    print("seeds  scenario    found as            planted bug")
    for (bug, report) in zip(PlantedBug.all, reports) {
      let count = report.map { String($0.seed - first + 1) } ?? "-"
      let kind = report?.failure?.kind.rawValue ?? "not found"
      let scenario = bug.scenario.rawValue
      print(
        column(count, 5), scenario + spaces(10 - scenario.count), kind + spaces(18 - kind.count),
        bug,
        separator: "  ")
    }
    let missed = reports.count { $0 == nil }
    print("\(reports.count) planted, \(missed) not found within \(seeds) seeds each")
    if missed > 0 { throw ExitCode.failure }
  }

  private func runAll(_ options: SimulationOptions) -> Tally {
    let next = Atomic(first)
    let end = first + seeds
    let tally = Mutex(Tally())
    DispatchQueue.concurrentPerform(iterations: jobs) { _ in
      while true {
        let seed = next.add(1, ordering: .relaxed).oldValue
        guard seed < end else { return }
        let report = Simulation(seed: seed, options: options).run()
        tally.withLock { $0.add(report) }
      }
    }
    return tally.withLock { $0 }
  }
}

private func spaces(_ count: Int) -> String { String(repeating: " ", count: max(0, count)) }

private func column(_ text: String, _ width: Int) -> String { spaces(width - text.count) + text }

private func parseScenario(_ name: String) throws -> Scenario {
  guard let scenario = Scenario(rawValue: name) else {
    throw ValidationError("there is no scenario '\(name)'")
  }
  return scenario
}
