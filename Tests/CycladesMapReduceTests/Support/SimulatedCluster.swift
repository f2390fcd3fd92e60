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
    /// The logged decision at which the coordinator dies; from 1.
    var crashAt: Int?
    /// Whether workers outlive their coordinator and join the next one, as those of a cluster do. Then
    /// their connections break, too: what is under way is lost, and they come back.
    var outlives = false
    /// Chance per worker and step, in 1/1000, that its connection breaks.
    var flap = 0
    var bug: Bug?
  }

  /// What a simulation that is worth anything finds.
  enum Bug: CaseIterable {
    /// A new coordinator does not wait for those who hold what is done.
    case noGrace
    /// Attempts of two coordinators have the same numbers.
    case sameNumbers
    /// A coordinator acts on a decision that the ledger does not have yet.
    case actsEarly
    /// A worker that comes back does not say what it has mapped.
    case forgetsMaps
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
    /// Finished parts by attempt.
    var parts: Set<Attempt> = []
    /// Without a connection until then; it comes back with what it holds.
    var rejoinsAt: Int?
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
  /// Attempts that were begun, which never happens twice.
  private var begun: Set<Attempt> = []
  /// Milliseconds that a worker may be without a connection, and that a new coordinator waits.
  private static let absence = 15
  private static let grace = 60
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
      for index in workers.indices where workers[index].rejoinsAt == now { rejoin(index) }
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
      if plan.bug != .actsEarly || logged + 1 != plan.crashAt { record.note(decision) }
      logged += 1
      // It dies when the ledger has the decision and before it hears of it.
      if logged == plan.crashAt {
        if plan.bug == .actsEarly { deliver(.logged(decision)) }
        return replaceCoordinator()
      }
      deliver(.logged(decision))
    }
  }

  private mutating func replaceCoordinator() {
    if !plan.outlives { workers = [] }
    reports = []
    decisions = []
    let isDecided = record.outcome != nil
    record.incarnation += 1
    coordinator = Coordinator(
      maps: plan.maps, partitions: plan.partitions, patience: 30, badRecordLimit: 0,
      describe: { "\($0)" })
    var effects: [CoordinatorEffect] = []
    var known = record
    if plan.bug == .sameNumbers { known.incarnation = 1 }
    let grace = plan.outlives && plan.bug != .noGrace ? SimulatedCluster.grace : 0
    coordinator.resume(known, at: UInt64(now), grace: UInt64(grace), &effects)
    coordinator.step(.tick(UInt64(now)), &effects)
    if isDecided { record.outcome = nil }
    for effect in effects { carryOut(effect) }
    for index in workers.indices {
      let worker = workers[index]
      if worker.joinsAt >= now {
        reports.append((worker.joinsAt, .joined(worker.id)))
      } else {
        disconnect(index, for: Int.random(in: 2...40, using: &random))
      }
    }
    // Somebody else sees to it that there are as many as before.
    while workers.count < plan.workers { spawn() }
  }

  /// Breaks a worker's connection: what is under way to it and from it is lost.
  private mutating func disconnect(_ index: Int, for time: Int) {
    guard workers[index].joinsAt < now else { return }
    workers[index].inbox = []
    workers[index].rejoinsAt = now + time
    let id = workers[index].id
    reports.removeAll { SimulatedCluster.sender(of: $0.1) == id }
    if time > SimulatedCluster.absence {
      reports.append((now + SimulatedCluster.absence, .lost(id)))
    }
  }

  private static func sender(of event: CoordinatorEvent) -> WorkerID? {
    switch event {
    case .joined(let id), .rejoined(let id, _), .lost(let id), .heard(let id),
      .mapDone(let id, _, _, _), .reduceDone(let id, _, _, _), .failed(let id, _, _),
      .gaveUp(let id, _, _), .stalled(let id, _, _, _):
      id
    default: nil
    }
  }

  private mutating func rejoin(_ index: Int) {
    workers[index].rejoinsAt = nil
    let worker = workers[index]
    reports.removeAll { SimulatedCluster.sender(of: $0.1) == worker.id }
    var holdings = WorkerHoldings(running: worker.running)
    for name in worker.outputs.sorted(by: { $0.number < $1.number })
    where plan.bug != .forgetsMaps {
      guard case .map(let map) = name.task else { continue }
      holdings.maps.append(
        .init(map: map, attempt: name.number, report: MapReport(digest: UInt64(map))))
    }
    for name in worker.parts.sorted(by: { $0.number < $1.number }) {
      guard case .reduce(let partition) = name.task else { continue }
      holdings.parts.append(
        .init(
          partition: partition, attempt: name.number,
          info: PartInfo(byteCount: partition, recordCount: 1, digest: 0)))
    }
    deliver(.rejoined(worker.id, holdings))
  }

  private mutating func deliver(_ event: CoordinatorEvent) {
    var effects: [CoordinatorEffect] = []
    coordinator.step(event, &effects)
    for effect in effects { carryOut(effect) }
  }

  private mutating func carryOut(_ effect: CoordinatorEffect) {
    note(effect)
    if case .runMap(_, let map, _) = effect, isCalm, record.digests[map] != nil {
      violation = "map \(map) was finished and is done again"
    }
    if case .runReduce(_, let partition, _, _) = effect, record.parts[partition] != nil {
      violation = "part \(partition) was elected and is done again"
    }
    switch effect {
    case .runMap(let id, _, _), .runReduce(let id, _, _, _), .moved(let id, _, _, _, _),
      .forget(let id, _, _), .abandon(let id, _):
      guard let index = workers.firstIndex(where: { $0.id == id }),
        workers[index].rejoinsAt == nil
      else { return }
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
    case .spawn: if !plan.outlives { spawn() }
    case .complete, .fail:
      if outcome != nil { violation = "the job ended twice" }
      outcome = effect
    }
  }

  /// Whether nothing but its coordinator ever fails.
  private var isCalm: Bool {
    plan.death == 0 && plan.freeze == 0 && plan.flap == 0 && plan.outlives
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
    if plan.flap > 0, workers[index].rejoinsAt == nil, now < plan.calm, chance(plan.flap) {
      disconnect(index, for: Int.random(in: 1...40, using: &random))
    }
    if now < plan.calm && chance(plan.death) {
      let id = workers.remove(at: index).id
      reports.removeAll { SimulatedCluster.sender(of: $0.1) == id }
      send(.lost(id), repeated: true)
      if plan.outlives { spawn() }
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
    if now % 5 == 0 { report(index, .heard(workers[index].id)) }
  }

  private mutating func obey(_ index: Int, _ order: CoordinatorEffect) {
    switch order {
    case .runMap(_, let map, let attempt):
      begin(index, Attempt(task: .map(map), number: attempt))
    case .runReduce(_, let partition, let attempt, let sources):
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

  /// Sends to the coordinator, if there is a connection.
  private mutating func report(_ index: Int, _ event: CoordinatorEvent) {
    if workers[index].rejoinsAt == nil { send(event) }
  }

  private mutating func begin(_ index: Int, _ attempt: Attempt) {
    if !begun.insert(attempt).inserted { violation = "\(attempt) was begun twice" }
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
      report(index, .mapDone(id, map: map, attempt: running.number, MapReport(digest: UInt64(map))))
    case .reduce(let partition):
      guard fetch(index, partition, running), workers[index].doneAt <= now else { return }
      workers[index].running = nil
      files.insert(running)
      let part = PartInfo(byteCount: partition, recordCount: 1, digest: 0)
      workers[index].parts.insert(running)
      report(index, .reduceDone(id, partition: partition, attempt: running.number, part))
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
      let id = workers[index].id
      report(index, .stalled(id, partition: partition, attempt: running.number, map: map))
    }
    return false
  }
}
