import Testing

@testable import CycladesMapReduce

@Suite("Coordinator", .timeLimit(.minutes(5)))
struct CoordinatorTests {
  @Test("every job ends complete whatever dies, freezes or is repeated", arguments: 0..<50)
  func simulation(block: Int) {
    for seed in UInt64(block * 100)..<UInt64(block * 100 + 100) {
      var plan = SimulatedCluster.Plan(seed: seed)
      plan.maps = Int(seed % 9)
      plan.partitions = 1 + Int(seed % 5)
      plan.workers = 1 + Int(seed % 4)
      plan.death = seed % 3 == 0 ? 0 : 4
      var cluster = SimulatedCluster(plan)
      let steps = cluster.run()
      if let violation = cluster.violation {
        Issue.record("seed \(seed): \(violation)")
        return
      }
      guard steps != nil, case .complete? = cluster.outcome else {
        if case .fail(let error)? = cluster.outcome, error.message.contains("died of it") {
          continue
        }
        Issue.record("seed \(seed): \(String(describing: cluster.outcome))")
        return
      }
      #expect(cluster.published.count == plan.partitions, "seed \(seed)")
    }
  }

  @Test(
    "a coordinator that dies at any logged decision is replaced by one that repeats none",
    arguments: 0..<20)
  func coordinatorDeath(block: Int) {
    for seed in UInt64(block * 5)..<UInt64(block * 5 + 5) {
      var plan = SimulatedCluster.Plan(seed: seed)
      plan.maps = Int(seed % 7)
      plan.partitions = 1 + Int(seed % 4)
      plan.workers = 1 + Int(seed % 3)
      plan.death = 2
      // Every map, every part and the end are one decision each.
      for transition in 1...plan.maps + plan.partitions + 1 {
        plan.crashAt = transition
        var cluster = SimulatedCluster(plan)
        let steps = cluster.run()
        if let violation = cluster.violation {
          Issue.record("seed \(seed), decision \(transition): \(violation)")
          return
        }
        guard steps != nil, case .complete? = cluster.outcome else {
          if case .fail(let error)? = cluster.outcome, error.message.contains("died of it") {
            continue
          }
          Issue.record("seed \(seed), decision \(transition): \(cluster.outcome as Any)")
          return
        }
        #expect(cluster.published.count == plan.partitions)
        #expect(cluster.record.outcome == true && cluster.record.incarnation == 2)
      }
    }
  }

  /// A plan in which workers outlive their coordinator.
  private func outliving(_ seed: UInt64) -> SimulatedCluster.Plan {
    var plan = SimulatedCluster.Plan(seed: seed)
    plan.maps = Int(seed % 9)
    plan.partitions = 1 + Int(seed % 5)
    plan.workers = 1 + Int(seed % 4)
    plan.outlives = true
    let decisions = plan.maps + plan.partitions + 1
    plan.crashAt = seed % 11 == 0 ? nil : 1 + Int(seed / 11) % decisions
    // A third of the runs has nothing but the end of the coordinator.
    plan.death = seed % 3 == 0 ? 0 : 3
    plan.freeze = seed % 3 == 0 ? 0 : 5
    plan.flap = seed % 3 == 1 ? 8 : 0
    return plan
  }

  @Test(
    "workers that outlive their coordinator finish its job, and nothing finished is done again",
    arguments: 0..<50)
  func outliving(block: Int) {
    for seed in UInt64(block * 100)..<UInt64(block * 100 + 100) {
      let plan = outliving(seed)
      var cluster = SimulatedCluster(plan)
      let steps = cluster.run()
      if let violation = cluster.violation {
        Issue.record("seed \(seed): \(violation)")
        return
      }
      guard steps != nil, case .complete? = cluster.outcome else {
        if case .fail(let error)? = cluster.outcome, error.message.contains("died of it") {
          continue
        }
        Issue.record("seed \(seed): \(String(describing: cluster.outcome))")
        return
      }
      #expect(cluster.published.count == plan.partitions, "seed \(seed)")
    }
  }

  @Test("the simulation finds planted bugs", arguments: SimulatedCluster.Bug.allCases)
  func plantedBugs(bug: SimulatedCluster.Bug) {
    for seed in UInt64(0)..<2000 {
      var plan = outliving(seed)
      plan.bug = bug
      var cluster = SimulatedCluster(plan)
      let steps = cluster.run()
      if cluster.violation != nil || steps == nil { return }
    }
    Issue.record("\(bug) was not found in 2,000 seeds")
  }

  @Test("the same seed gives the same decisions")
  func determinism() {
    var first = SimulatedCluster(SimulatedCluster.Plan(seed: 7))
    var second = SimulatedCluster(SimulatedCluster.Plan(seed: 7))
    var other = SimulatedCluster(SimulatedCluster.Plan(seed: 8))
    #expect(first.run() == second.run())
    #expect(first.trace == second.trace)
    _ = other.run()
    #expect(first.trace != other.trace)
  }

  @Test("without failures every task has one attempt")
  func noRepeats() {
    var cluster = SimulatedCluster(
      SimulatedCluster.Plan(seed: 3, maps: 20, partitions: 8, death: 0, freeze: 0))
    #expect(cluster.run() != nil)
    #expect(cluster.coordinator.summary.mapAttempts == 20)
    #expect(cluster.coordinator.summary.reduceAttempts == 8)
  }

  /// A coordinator with two workers, and what it wants done.
  private struct Table {
    var coordinator: Coordinator
    var effects: [CoordinatorEffect] = []
    let a = WorkerID(rawValue: 0)
    let b = WorkerID(rawValue: 1)

    init(maps: Int, partitions: Int) {
      coordinator = Coordinator(
        maps: maps, partitions: partitions, patience: 100, badRecordLimit: 1,
        describe: { "task \($0)" })
      step(.joined(a))
      step(.joined(b))
    }

    mutating func step(_ event: CoordinatorEvent) {
      effects = []
      coordinator.step(event, &effects)
      // A ledger that has every decision at once.
      var next = 0
      while next < effects.count {
        if case .log(let decision) = effects[next] { coordinator.step(.logged(decision), &effects) }
        next += 1
      }
    }

    func has(_ matches: (CoordinatorEffect) -> Bool) -> Bool { effects.contains(where: matches) }
  }

  @Test("finished maps of a lost worker are done again while a reduce needs them")
  func lostOutput() {
    var table = Table(maps: 2, partitions: 1)
    table.step(.mapDone(table.a, map: 0, attempt: 0, MapReport()))
    table.step(.lost(table.a))
    #expect(table.has { if case .spawn = $0 { true } else { false } })
    table.step(.mapDone(table.b, map: 1, attempt: 0, MapReport()))
    #expect(table.has { if case .runMap(table.b, map: 0, attempt: 1) = $0 { true } else { false } })
  }

  @Test("a published part is never done again")
  func publishedStays() {
    var table = Table(maps: 1, partitions: 1)
    table.step(.mapDone(table.a, map: 0, attempt: 0, MapReport()))
    let part = PartInfo(byteCount: 1, recordCount: 1, digest: 1)
    table.step(.reduceDone(table.b, partition: 0, attempt: 0, part))
    table.step(.reduceDone(table.a, partition: 0, attempt: 0, part))
    #expect(table.has { if case .publish = $0 { true } else { false } })
    table.step(.lost(table.a))
    #expect(!table.has { if case .runMap = $0 { true } else { false } })
    table.step(.published(partition: 0))
    #expect(table.has { if case .complete = $0 { true } else { false } })
  }

  @Test(
    "a silent worker is not lost: its tasks are given to others and its late result still counts")
  func suspicion() {
    var table = Table(maps: 2, partitions: 1)
    table.step(.tick(50))
    table.step(.mapDone(table.b, map: 1, attempt: 0, MapReport()))
    table.step(.tick(120))
    #expect(table.has { if case .runMap(table.b, map: 0, attempt: 1) = $0 { true } else { false } })
    table.step(.mapDone(table.a, map: 0, attempt: 0, MapReport()))
    #expect(table.coordinator.mapsDone == 2)
    #expect(
      table.has {
        if case .abandon(table.b, Attempt(task: .map(0), number: 1)) = $0 { true } else { false }
      }
    )
    #expect(table.coordinator.summary.workersLost == 0)
  }

  @Test("attempts with different results fail the job and name the task")
  func nondeterminism() {
    var table = Table(maps: 1, partitions: 2)
    table.step(.mapDone(table.a, map: 0, attempt: 0, MapReport(digest: 1)))
    table.step(.lost(table.a))
    table.step(.stalled(table.b, partition: 1, attempt: 0, map: 0))
    table.step(.mapDone(table.b, map: 0, attempt: 1, MapReport(digest: 2)))
    guard case .fail(let error)? = table.effects.last else {
      Issue.record("the job goes on")
      return
    }
    #expect(error.message.contains("task map(0)"))
  }

  @Test("a task that kills its workers fails the job by name")
  func poison() {
    var table = Table(maps: 1, partitions: 1)
    for life in 0..<Coordinator.deathLimit {
      let id = WorkerID(rawValue: 10 + life)
      if life == 0 {
        table.step(.lost(table.a))
      } else {
        table.step(.lost(life == 1 ? table.b : WorkerID(rawValue: 9 + life - 1)))
      }
      if !table.coordinator.isOver { table.step(.joined(id)) }
    }
    while !table.coordinator.isOver, let worker = table.coordinator.workers.first {
      table.step(.lost(worker.id))
    }
    guard case .fail(let error)? = table.effects.last else {
      Issue.record("the job goes on")
      return
    }
    #expect(error.message.contains("task map(0)"))
  }

  @Test("bad records of all tasks together are limited")
  func badRecords() {
    var table = Table(maps: 2, partitions: 1)
    var report = MapReport()
    report.counters.badRecords = 1
    table.step(.mapDone(table.a, map: 0, attempt: 0, report))
    #expect(!table.coordinator.isOver)
    table.step(.mapDone(table.b, map: 1, attempt: 0, report))
    guard case .fail(let error)? = table.effects.last else {
      Issue.record("the job goes on")
      return
    }
    #expect(error.message.contains("2 bad records"))
  }
}
