@testable import CycladesMapReduce

/// A coordinator and its workers in virtual time: workers die, freeze and come back, messages are
/// delayed and repeated. Same seed, same run.
struct SimulatedCluster {
  struct Plan {
    var seed: UInt64
    var maps = 6
    var partitions = 3
    var workers = 3
    /// Chances per worker and step, in 1/1000, until `calm`.
    var death = 4
    var freeze = 6
    var calm = 1500
    /// The logged decision at which the coordinator dies, with all its workers; from 1.
    var crashAt: Int?
  }

  struct SimulatedWorker {
    let id: WorkerID
    /// Its first report: nothing of it, its end included, is heard before.
    let joinsAt: Int
    var isFrozenUntil = 0
    var running: Attempt?
    var doneAt = 0
    /// Attempts at maps whose output it holds.
    var outputs: Set<Attempt> = []
    var sources: [Int: MapSource] = [:]
    var fetched: Set<Int> = []
    var lastStall = 0
    /// Orders on their way, in order.
    var inbox: [(at: Int, CoordinatorEffect)] = []
  }

  private(set) var coordinator: Coordinator
  private(set) var workers: [SimulatedWorker] = []
  /// Published parts, with the attempt that was elected.
  private(set) var published: [Int: Int] = [:]
  private(set) var outcome: CoordinatorEffect?
  /// What the ledger knows.
  private(set) var record: JobRecord
  /// Decisions on their way to it, in order.
  private var decisions: [(at: Int, Decision)] = []
  private var logged = 0
  private(set) var trace: UInt64 = 0
  /// What went wrong, if something did.
  private(set) var violation: String?
  private let plan: Plan
  private var random: SplitMix
  private var now = 0
  private var nextWorker = 0
  /// Reports on their way to the coordinator.
  private var reports: [(at: Int, CoordinatorEvent)] = []
  /// Attempts whose part file is complete.
  private var files: Set<Attempt> = []

  init(_ plan: Plan) {
    self.plan = plan
    random = SplitMix(state: plan.seed)
    record = JobRecord(
      name: "job", incarnation: 1, maps: plan.maps, partitions: plan.partitions)
    coordinator = Coordinator(
      maps: plan.maps, partitions: plan.partitions, patience: 30, badRecordLimit: 0,
      describe: { "\($0)" })
    for _ in 0..<plan.workers { spawn() }
  }

  /// Runs to the end; the number of steps it took, or nil when it did not end.
  mutating func run(limit: Int = 6000) -> Int? {
    while outcome == nil && violation == nil && now < limit {
      now += 1
      deliver(.tick(UInt64(now)))
      deliverDecisions()
      deliverReports()
      for index in workers.indices.reversed() { stepWorker(index) }
    }
    return outcome == nil ? nil : now
  }

  private mutating func chance(_ perThousand: Int) -> Bool {
    Int.random(in: 0..<1000, using: &random) < perThousand
  }

  private mutating func spawn() {
    let id = WorkerID(rawValue: nextWorker)
    nextWorker += 1
    let joinsAt = now + Int.random(in: 1...8, using: &random)
    workers.append(SimulatedWorker(id: id, joinsAt: joinsAt))
    reports.append((joinsAt, .joined(id)))
  }

  private mutating func send(_ event: CoordinatorEvent, repeated: Bool = true) {
    reports.append((now + Int.random(in: 1...8, using: &random), event))
    if repeated && chance(100) {
      reports.append((now + Int.random(in: 1...60, using: &random), event))
    }
  }

  private mutating func deliverReports() {
    let due = reports.filter { $0.at <= now }
    reports.removeAll { $0.at <= now }
    for (_, event) in due { deliver(event) }
  }

  private mutating func deliverDecisions() {
    while let (at, decision) = decisions.first, at <= now {
      decisions.removeFirst()
      record.note(decision)
      logged += 1
      // It dies when the ledger has the decision and before it hears of it.
      if logged == plan.crashAt { return replaceCoordinator() }
      deliver(.logged(decision))
    }
  }

  private mutating func replaceCoordinator() {
    workers = []
    reports = []
    decisions = []
    let isDecided = record.outcome != nil
    record.incarnation += 1
    coordinator = Coordinator(
      maps: plan.maps, partitions: plan.partitions, patience: 30, badRecordLimit: 0,
      describe: { "\($0)" })
    var effects: [CoordinatorEffect] = []
    coordinator.resume(record, &effects)
    coordinator.step(.tick(UInt64(now)), &effects)
    if isDecided { record.outcome = nil }
    for effect in effects { carryOut(effect) }
    for _ in 0..<plan.workers { spawn() }
  }

  private mutating func deliver(_ event: CoordinatorEvent) {
    var effects: [CoordinatorEffect] = []
    coordinator.step(event, &effects)
    for effect in effects { carryOut(effect) }
  }

  private mutating func carryOut(_ effect: CoordinatorEffect) {
    note(effect)
    switch effect {
    case .runMap(let id, _, _), .runReduce(let id, _, _, _), .moved(let id, _, _, _, _),
      .forget(let id, _, _), .abandon(let id, _):
      guard let index = workers.firstIndex(where: { $0.id == id }) else { return }
      let before = workers[index].inbox.last?.at ?? 0
      let at = max(before, now + Int.random(in: 1...5, using: &random))
      workers[index].inbox.append((at, effect))
    case .log(let decision):
      let before = decisions.last?.at ?? 0
      decisions.append((max(before, now + Int.random(in: 1...9, using: &random)), decision))
    case .publish(let partition, let attempt):
      if record.parts[partition]?.attempt != attempt {
        violation = "part \(partition) was published before it was logged"
      }
      let name = Attempt(task: .reduce(partition), number: attempt)
      if !files.contains(name) { violation = "\(name) was elected without a file" }
      let before = published.updateValue(attempt, forKey: partition)
      if before != nil && (before != attempt || record.incarnation == 1) {
        violation = "part \(partition) was published twice"
      }
      send(.published(partition: partition), repeated: false)
    case .spawn: spawn()
    case .complete, .fail:
      if outcome != nil { violation = "the job ended twice" }
      outcome = effect
    }
  }

  /// Folds an effect into the trace: what was decided, for whom, when.
  private mutating func note(_ effect: CoordinatorEffect) {
    let figures: [Int] =
      switch effect {
      case .runMap(let id, let map, let attempt): [1, id.rawValue, map, attempt]
      case .runReduce(let id, let part, let attempt, _): [2, id.rawValue, part, attempt]
      case .moved(let id, let part, _, let map, _): [3, id.rawValue, part, map]
      case .forget(let id, let map, let attempt): [4, id.rawValue, map, attempt]
      case .abandon(let id, let attempt): [5, id.rawValue, attempt.number]
      case .publish(let part, let attempt): [6, part, attempt]
      case .log: [10]
      case .spawn: [7]
      case .complete: [8]
      case .fail: [9]
      }
    for figure in figures + [now] {
      trace = (trace ^ UInt64(figure)) &* 0x0000_0100_0000_01B3
    }
  }

  private mutating func stepWorker(_ index: Int) {
    guard now > workers[index].joinsAt else { return }
    if now < plan.calm && chance(plan.death) {
      let id = workers.remove(at: index).id
      send(.lost(id), repeated: true)
      return
    }
    if now < plan.calm && chance(plan.freeze) {
      workers[index].isFrozenUntil = now + Int.random(in: 5...150, using: &random)
    }
    guard workers[index].isFrozenUntil <= now else { return }
    while let first = workers[index].inbox.first, first.at <= now {
      workers[index].inbox.removeFirst()
      obey(index, first.1)
    }
    work(index)
    if now % 5 == 0 { send(.heard(workers[index].id)) }
  }

  private mutating func obey(_ index: Int, _ order: CoordinatorEffect) {
    switch order {
    case .runMap(_, let map, let attempt):
      begin(index, Attempt(task: .map(map), number: attempt))
    case .runReduce(_, let partition, let attempt, let sources):
      // The upper bits of an attempt say whose it is.
      if let elected = record.parts[partition], elected.attempt >> 16 < attempt >> 16 {
        violation = "part \(partition) was elected and is done again"
      }
      begin(index, Attempt(task: .reduce(partition), number: attempt))
      workers[index].sources = Dictionary(uniqueKeysWithValues: zip(sources.indices, sources))
      workers[index].fetched = []
      if sources.count != plan.maps { violation = "a reduce began without all maps" }
    case .moved(_, let partition, let attempt, let map, let source):
      if workers[index].running == Attempt(task: .reduce(partition), number: attempt) {
        workers[index].sources[map] = source
      }
    case .forget(_, let map, let attempt):
      workers[index].outputs.remove(Attempt(task: .map(map), number: attempt))
    case .abandon(_, let attempt):
      if workers[index].running == attempt { workers[index].running = nil }
      workers[index].outputs.remove(attempt)
    default: break
    }
  }

  private mutating func begin(_ index: Int, _ attempt: Attempt) {
    if workers[index].running != nil { violation = "a busy worker was given \(attempt)" }
    workers[index].running = attempt
    workers[index].doneAt = now + Int.random(in: 2...40, using: &random)
  }

  private mutating func work(_ index: Int) {
    guard let running = workers[index].running else { return }
    let id = workers[index].id
    switch running.task {
    case .map(let map):
      guard workers[index].doneAt <= now else { return }
      workers[index].running = nil
      workers[index].outputs.insert(running)
      send(.mapDone(id, map: map, attempt: running.number, MapReport(digest: UInt64(map))))
    case .reduce(let partition):
      guard fetch(index, partition, running), workers[index].doneAt <= now else { return }
      workers[index].running = nil
      files.insert(running)
      let part = PartInfo(byteCount: partition, recordCount: 1, digest: 0)
      send(.reduceDone(id, partition: partition, attempt: running.number, part))
    }
  }

  /// Pulls the next output; true when there are no more to pull.
  private mutating func fetch(_ index: Int, _ partition: Int, _ running: Attempt) -> Bool {
    guard let map = (0..<plan.maps).first(where: { !workers[index].fetched.contains($0) }) else {
      return true
    }
    if let source = workers[index].sources[map],
      let peer = workers.first(where: { $0.id == source.worker }), peer.isFrozenUntil <= now,
      peer.outputs.contains(Attempt(task: .map(map), number: source.attempt))
    {
      workers[index].fetched.insert(map)
    } else if now - workers[index].lastStall > 20 {
      workers[index].lastStall = now
      send(
        .stalled(
          workers[index].id, partition: partition, attempt: running.number, map: map))
    }
    return false
  }
}
