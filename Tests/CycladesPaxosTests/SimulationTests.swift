import CycladesPaxos
import CycladesSimulator
import Testing

@Suite struct SimulationTests {
  @Test("no seed breaks a promise", arguments: Scenario.allCases)
  func seeds(scenario: Scenario) {
    let count: UInt64 = scenario == .swarm ? 160 : scenario == .leases ? 8 : 24
    var kinds: UInt64 = 0
    for seed in 1...count {
      let report = Simulation(seed: seed, options: SimulationOptions(scenario: scenario)).run()
      #expect(report.failure == nil, "\(report)")
      #expect(report.statistics.undecided == 0)
      kinds |= report.statistics.deliveredKinds
    }
    if scenario == .swarm {
      #expect(kinds == 0xF_FFFE, "every kind of message was exercised")
    }
  }

  @Test("without faults nothing is refused for long, and one leader is enough")
  func calm() {
    for seed in 1...10 as ClosedRange<UInt64> {
      let options = SimulationOptions(scenario: .calm, nodes: 3...3, operations: 200)
      let report = Simulation(seed: seed, options: options).run()
      #expect(report.failure == nil, "\(report)")
      #expect(report.statistics.acknowledged >= 100)
      #expect(report.statistics.leaders <= 2, "the second one after the end of the safety phase")
    }
  }

  @Test("the same seed is the same run, and another seed another one")
  func determinism() {
    var hashes: Set<UInt64> = []
    for seed in 1...12 as ClosedRange<UInt64> {
      let first = Simulation(seed: seed).run()
      var traced = SimulationOptions()
      traced.isTracing = true
      let second = Simulation(seed: seed, options: traced).run()
      #expect(first.traceHash == second.traceHash)
      #expect(first.statistics == second.statistics)
      #expect(!second.trace.isEmpty)
      hashes.insert(first.traceHash)
    }
    #expect(hashes.count == 12)
  }

  // `make bugs` looks for the rare ones, too.
  @Test(
    "a planted bug is found within a hundred seeds",
    arguments: PlantedBug.all.filter { !$0.isRare })
  func plantedBugs(bug: PlantedBug) throws {
    var options = SimulationOptions()
    options.bug = bug
    options.scenario = bug.scenario
    let report = (1...100).lazy
      .map { Simulation(seed: $0, options: options).run() }
      .first { $0.failure != nil }
    let found = try #require(report, "not found")
    #expect(!found.trace.isEmpty, "a failure comes with its trace")
  }

  @Test("a failing run is shrunk to fewer faults, and its schedule repeats the failure")
  func shrinking() throws {
    var options = SimulationOptions()
    options.bug = PlantedBug.all.first { $0.description == "accepted values dropped" }
    let failing = try #require(
      (1...200).lazy.map { Simulation(seed: $0, options: options) }
        .first { $0.run().failure != nil && $0.run().statistics.faults > 3 })
    let whole = failing.run()
    let (schedule, report) = try #require(failing.shrink())
    #expect(report.failure?.kind == whole.failure?.kind)
    #expect(!schedule.skipped.isEmpty || schedule.operations < options.operations)
    let read = try #require(Schedule(schedule.description))
    #expect(read == schedule)
    #expect(read.simulation(options).run().traceHash == report.traceHash)
    #expect(Schedule("seed 1\nscenario nowhere\noperations 1\nwithout\n") == nil)
  }
}
