/// Decides which worker does what: a pure state machine.
///
/// No clock, no socket, no random source and no unordered iteration inside, so the same events give the
/// same effects; the runner and the simulation in the tests drive the same code.
///
/// The rules, after Dean and Ghemawat (OSDI 2004):
///
/// - A worker has one task at a time. Maps come first; reduces start when every map has an output.
/// - What must not be decided twice is logged before anything depends on it, so that another
///   coordinator can go on with it: see `Decision`.
/// - The first report of a task wins. A map output lives in its worker's memory: when that worker is lost,
///   the map goes back to the start unless no reduce needs it any more. A published part never does.
/// - A part is published once: the first attempt that reports is elected, only an elected attempt's
///   file gets the final name.
/// - A worker that is silent for too long is *suspected*: what it runs or holds is given to others
///   as well. Nothing of it is thrown away, since it may just be slow; when it speaks again it is a
///   worker like any other. Only a worker that is gone is *lost*.
/// - A reduce that gets nothing for a map says so. When nobody is free to redo the map, the reduce
///   itself gives way: its worker does the map first.
/// - Outputs of two attempts at a map must have the same digest. If not, the job is not
///   deterministic, and mixing its attempts would give an answer that no run gives.
/// - A task that takes more than twice the median when nothing else is left to do is given to an idle
///   worker as well; the first to finish wins.
/// - A task that four workers died of fails the job.
/// - Who goes on where another coordinator stopped waits a little for the workers of that one: they hold
///   what was done, and a map that is done is not done again while its holder may still be back.
struct Coordinator {
  private(set) var workers: [Worker] = []
  private(set) var maps: [Map]
  private(set) var parts: [Part]
  /// Figures of the winning attempts, and of what it took.
  private(set) var summary = JobSummary()
  private(set) var isOver = false
  private var now: UInt64 = 0
  /// Until then, workers of an earlier coordinator may be back with maps that are done.
  private var awaitsHoldersUntil: UInt64 = 0
  private let patience: UInt64
  private let badRecordLimit: Int
  private let counters: [JobCounter]
  private let backups: Bool
  /// Milliseconds that finished map and reduce attempts took, sorted.
  private var mapTimes: [UInt64] = []
  private var reduceTimes: [UInt64] = []
  private let describe: @Sendable (TaskID) -> String

  /// Workers that may die of one task.
  static let deathLimit = 4

  struct Worker {
    let id: WorkerID
    var running: Attempt?
    /// When it was given what it runs.
    var startedAt: UInt64 = 0
    var lastHeard: UInt64
    var isSuspected = false
  }

  struct Map {
    var attempts = 0
    var deaths = 0
    var report: MapReport?
    /// Of its first output, in this incarnation of the coordinator or an earlier one.
    var digest: UInt64?
    /// Where its output is, oldest copy first.
    var copies: [MapSource] = []
  }

  struct Part {
    var attempts = 0
    var deaths = 0
    var info: PartInfo?
    var isPublished = false
  }

  /// - Parameters:
  ///   - patience: Milliseconds of silence after which a worker is suspected.
  ///   - describe: Names a task in errors, with its input.
  init(
    maps: Int, partitions: Int, patience: UInt64, badRecordLimit: Int,
    counters: [JobCounter] = [], backups: Bool = true,
    describe: @escaping @Sendable (TaskID) -> String
  ) {
    self.maps = Array(repeating: Map(), count: maps)
    parts = Array(repeating: Part(), count: partitions)
    self.patience = patience
    self.badRecordLimit = badRecordLimit
    self.counters = counters
    self.backups = backups
    self.describe = describe
  }

  /// Goes on where another coordinator stopped; called before the first event.
  ///
  /// Maps whose output is gone with its worker are done again where a part still needs them; what was
  /// elected stays, and is given its name once more, since nobody knows whether it had been.
  ///
  /// - Parameters:
  ///   - time: Now, as ticks count it.
  ///   - grace: Milliseconds in which workers that outlived that coordinator may be back with what
  ///     they hold; 0 when there are none.
  mutating func resume(
    _ record: JobRecord, at time: UInt64, grace: UInt64, _ effects: inout [CoordinatorEffect]
  ) {
    now = time
    awaitsHoldersUntil = time + grace
    // Attempts of different incarnations never share a file name.
    let first = max(0, record.incarnation - 1) << 16
    for map in maps.indices {
      maps[map].digest = record.digests[map]
      maps[map].attempts = first
    }
    for partition in parts.indices {
      parts[partition].attempts = first
      guard let elected = record.parts[partition] else { continue }
      parts[partition].info = elected.info
      summary.add(elected.info, names: counters)
      effects.append(.publish(partition: partition, attempt: elected.attempt))
    }
  }

  /// Takes one event and appends what is to be done. After `complete` or `fail` it does nothing more.
  mutating func step(_ event: CoordinatorEvent, _ effects: inout [CoordinatorEffect]) {
    if isOver { return }
    switch event {
    case .joined(let id): workers.append(Worker(id: id, lastHeard: now))
    case .rejoined(let id, let holdings): rejoin(id, holdings, &effects)
    case .lost(let id): lose(id, &effects)
    case .heard(let id): hear(id)
    case .tick(let time): tick(time)
    case .mapDone(let id, let map, let attempt, let report):
      hear(id)
      finishMap(id, map, attempt, report, &effects)
    case .reduceDone(let id, let partition, let attempt, let info):
      hear(id)
      finishReduce(id, partition, attempt, info, &effects)
    case .failed(let id, let attempt, let error):
      guard worker(id)?.running == attempt else { return }
      end(.fail(error), &effects)
    case .gaveUp(let id, let attempt, let error):
      hear(id)
      giveUp(id, attempt, error, &effects)
    case .stalled(let id, let partition, let attempt, let map):
      hear(id)
      resolveStall(id, Attempt(task: .reduce(partition), number: attempt), map, &effects)
    case .logged(.mapped): break
    case .logged(.elected(let partition, let attempt, _)):
      effects.append(.publish(partition: partition, attempt: attempt))
    case .logged(.ended): end(.complete, &effects)
    case .published(let partition):
      parts[partition].isPublished = true
      if parts.allSatisfy(\.isPublished) { effects.append(.log(.ended(isComplete: true))) }
    case .stopped(let error): end(.fail(error), &effects)
    }
    if !isOver { assign(&effects) }
  }

  private mutating func end(_ effect: CoordinatorEffect, _ effects: inout [CoordinatorEffect]) {
    isOver = true
    effects.append(effect)
  }

  // MARK: Workers

  private func index(_ id: WorkerID) -> Int? { workers.firstIndex { $0.id == id } }

  private func worker(_ id: WorkerID) -> Worker? { index(id).map { workers[$0] } }

  private func isTrusted(_ id: WorkerID) -> Bool { worker(id).map { !$0.isSuspected } ?? false }

  private mutating func hear(_ id: WorkerID) {
    guard let index = index(id) else { return }
    workers[index].lastHeard = now
    workers[index].isSuspected = false
  }

  private mutating func tick(_ time: UInt64) {
    now = max(now, time)
    for index in workers.indices where now - workers[index].lastHeard > patience {
      workers[index].isSuspected = true
    }
  }

  private mutating func lose(_ id: WorkerID, _ effects: inout [CoordinatorEffect]) {
    guard let index = index(id) else { return }
    let worker = workers.remove(at: index)
    summary.workersLost += 1
    for map in maps.indices { maps[map].copies.removeAll { $0.worker == id } }
    if let running = worker.running, countDeath(running.task) >= Coordinator.deathLimit {
      let error = MapReduceError(
        .job, "\(describe(running.task)): \(Coordinator.deathLimit) workers died of it")
      return end(.fail(error), &effects)
    }
    effects.append(.spawn)
  }

  private mutating func giveUp(
    _ id: WorkerID, _ attempt: Attempt, _ error: MapReduceError,
    _ effects: inout [CoordinatorEffect]
  ) {
    guard let index = index(id), workers[index].running == attempt else { return }
    workers[index].running = nil
    if countDeath(attempt.task) >= Coordinator.deathLimit { end(.fail(error), &effects) }
  }

  /// Takes a worker back: what it finished counts, what it runs goes on where it is of use, and what
  /// was ordered and never reached it is ordered anew.
  private mutating func rejoin(
    _ id: WorkerID, _ holdings: WorkerHoldings, _ effects: inout [CoordinatorEffect]
  ) {
    let place = index(id) ?? workers.count
    if place == workers.count { workers.append(Worker(id: id, lastHeard: now)) }
    hear(id)
    workers[place].running = nil
    for map in maps.indices { maps[map].copies.removeAll { $0.worker == id } }
    for held in holdings.maps where maps.indices.contains(held.map) && !isOver {
      accept(id, held.map, held.attempt, held.report, &effects)
    }
    for held in holdings.parts where parts.indices.contains(held.partition) && !isOver {
      accept(id, held.partition, held.attempt, held.info, &effects)
    }
    guard !isOver, let running = holdings.running else { return }
    if isUseful(running.task) {
      workers[place].running = running
      workers[place].startedAt = now
    } else {
      effects.append(.abandon(id, running))
    }
  }

  /// Whether there is such a task and it has no result yet.
  private func isUseful(_ task: TaskID) -> Bool {
    switch task {
    case .map(let map): maps.indices.contains(map) && bestCopy(map) == nil
    case .reduce(let part): parts.indices.contains(part) && parts[part].info == nil
    }
  }

  private mutating func countDeath(_ task: TaskID) -> Int {
    switch task {
    case .map(let map):
      maps[map].deaths += 1
      return maps[map].deaths
    case .reduce(let partition):
      parts[partition].deaths += 1
      return parts[partition].deaths
    }
  }

  // MARK: Reports

  private mutating func finishMap(
    _ id: WorkerID, _ map: Int, _ attempt: Int, _ report: MapReport,
    _ effects: inout [CoordinatorEffect]
  ) {
    guard settle(id, Attempt(task: .map(map), number: attempt)) else { return }
    accept(id, map, attempt, report, &effects)
  }

  /// Takes the output of a map that a worker has.
  private mutating func accept(
    _ id: WorkerID, _ map: Int, _ attempt: Int, _ report: MapReport,
    _ effects: inout [CoordinatorEffect]
  ) {
    if let digest = maps[map].digest {
      guard digest == report.digest else {
        let error = MapReduceError(
          .job,
          "\(describe(.map(map))): two attempts gave different pairs; map must depend on "
            + "its record and arguments alone")
        return end(.fail(error), &effects)
      }
    } else {
      maps[map].digest = report.digest
      effects.append(.log(.mapped(map: map, digest: report.digest)))
    }
    if maps[map].report == nil {
      maps[map].report = report
      summary.add(report, names: counters)
      guard summary.badRecords <= badRecordLimit else {
        let error = tooManyBadRecords(summary.badRecords, limit: badRecordLimit, nil, nil)
        return end(.fail(error), &effects)
      }
    }
    if maps[map].copies.contains(where: { isTrusted($0.worker) }) {
      effects.append(.forget(id, map: map, attempt: attempt))
      return
    }
    let source = MapSource(attempt: attempt, worker: id)
    maps[map].copies.append(source)
    abandonOthers(.map(map), &effects)
    for worker in workers {
      guard let running = worker.running, case .reduce(let partition) = running.task else {
        continue
      }
      effects.append(
        .moved(worker.id, partition: partition, attempt: running.number, map: map, source))
    }
  }

  private mutating func finishReduce(
    _ id: WorkerID, _ partition: Int, _ attempt: Int, _ info: PartInfo,
    _ effects: inout [CoordinatorEffect]
  ) {
    guard settle(id, Attempt(task: .reduce(partition), number: attempt)) else { return }
    accept(id, partition, attempt, info, &effects)
  }

  /// Takes a part that a worker has finished, when it is the first.
  private mutating func accept(
    _ id: WorkerID, _ partition: Int, _ attempt: Int, _ info: PartInfo,
    _ effects: inout [CoordinatorEffect]
  ) {
    guard parts[partition].info == nil else { return }
    parts[partition].info = info
    summary.add(info, names: counters)
    effects.append(.log(.elected(partition: partition, attempt: attempt, info)))
    abandonOthers(.reduce(partition), &effects)
  }

  /// Frees the worker of an attempt that ended; false when it did not run it.
  private mutating func settle(_ id: WorkerID, _ attempt: Attempt) -> Bool {
    guard let index = index(id), workers[index].running == attempt else { return false }
    workers[index].running = nil
    let time = now - workers[index].startedAt
    switch attempt.task {
    case .map: mapTimes.insert(time, at: mapTimes.firstIndex { $0 > time } ?? mapTimes.count)
    case .reduce:
      reduceTimes.insert(time, at: reduceTimes.firstIndex { $0 > time } ?? reduceTimes.count)
    }
    return true
  }

  private mutating func abandonOthers(_ task: TaskID, _ effects: inout [CoordinatorEffect]) {
    for index in workers.indices where workers[index].running?.task == task {
      abandon(index, &effects)
    }
  }

  private mutating func abandon(_ index: Int, _ effects: inout [CoordinatorEffect]) {
    guard let running = workers[index].running else { return }
    workers[index].running = nil
    effects.append(.abandon(workers[index].id, running))
  }

  private mutating func resolveStall(
    _ id: WorkerID, _ attempt: Attempt, _ map: Int, _ effects: inout [CoordinatorEffect]
  ) {
    guard let index = index(id), workers[index].running == attempt, maps.indices.contains(map),
      case .reduce(let partition) = attempt.task
    else { return }
    if let source = bestCopy(map) {
      let number = attempt.number
      effects.append(.moved(id, partition: partition, attempt: number, map: map, source))
    } else if !isRunning(.map(map)), !workers.contains(where: { isIdle($0) }) {
      abandon(index, &effects)
    }
  }

  // MARK: Assignment

  private func isIdle(_ worker: Worker) -> Bool { worker.running == nil && !worker.isSuspected }

  /// Whether somebody who is not suspected runs the task.
  private func isRunning(_ task: TaskID) -> Bool {
    workers.contains { $0.running?.task == task && !$0.isSuspected }
  }

  /// Whether the map was done under an earlier coordinator and its holder may still be back.
  private func isAwaited(_ map: Int) -> Bool {
    now < awaitsHoldersUntil && maps[map].digest != nil && maps[map].report == nil
  }

  private func bestCopy(_ map: Int) -> MapSource? {
    maps[map].copies.first { isTrusted($0.worker) }
  }

  private mutating func assign(_ effects: inout [CoordinatorEffect]) {
    guard workers.contains(where: isIdle), parts.contains(where: { $0.info == nil }) else { return }
    var waiting = maps.indices.filter { bestCopy($0) == nil }
    let mapsAreDone = waiting.isEmpty
    waiting.removeAll { isRunning(.map($0)) || isAwaited($0) }
    var tasks = waiting.map { TaskID.map($0) }
    if mapsAreDone {
      tasks = parts.indices
        .filter { parts[$0].info == nil && !isRunning(.reduce($0)) }.map { TaskID.reduce($0) }
    }
    for index in workers.indices where isIdle(workers[index]) {
      guard let task = tasks.isEmpty ? straggler(mapsAreDone) : tasks.removeFirst() else { return }
      start(task, on: index, &effects)
    }
  }

  /// The task to be tried once more: nothing else is left to be given out, one worker runs it, and it
  /// has taken more than twice the median of its kind.
  private func straggler(_ mapsAreDone: Bool) -> TaskID? {
    guard backups else { return nil }
    let slow = workers.filter { worker in
      guard let running = worker.running, !worker.isSuspected else { return false }
      // A reduce needs the output of every map, and one may be lost again.
      if case .reduce = running.task, !mapsAreDone { return false }
      let times = if case .map = running.task { mapTimes } else { reduceTimes }
      guard times.count >= Coordinator.leastSamples else { return false }
      let limit = max(Coordinator.leastTime, times[times.count / 2] * 2)
      return now - worker.startedAt > limit
        && !workers.contains { $0.id != worker.id && $0.running?.task == running.task }
    }
    return slow.min { ($0.startedAt, $0.id) < ($1.startedAt, $1.id) }?.running?.task
  }

  /// Finished attempts before a median means something, and the time, in milliseconds, below which
  /// trying again costs more than it saves.
  private static let leastSamples = 2
  private static let leastTime: UInt64 = 200

  private mutating func start(
    _ task: TaskID, on index: Int, _ effects: inout [CoordinatorEffect]
  ) {
    let id = workers[index].id
    switch task {
    case .map(let map):
      let attempt = maps[map].attempts
      maps[map].attempts += 1
      summary.mapAttempts += 1
      workers[index].running = Attempt(task: task, number: attempt)
      workers[index].startedAt = now
      effects.append(.runMap(id, map: map, attempt: attempt))
    case .reduce(let partition):
      let attempt = parts[partition].attempts
      parts[partition].attempts += 1
      summary.reduceAttempts += 1
      workers[index].running = Attempt(task: task, number: attempt)
      workers[index].startedAt = now
      effects.append(
        .runReduce(
          id, partition: partition, attempt: attempt, sources: maps.indices.compactMap(bestCopy)))
    }
  }

  // MARK: Progress

  /// How many maps have been done at least once.
  var mapsDone: Int { maps.count { $0.report != nil } }
  /// How many parts have their final name.
  var partsPublished: Int { parts.count(where: \.isPublished) }
  /// Figures of the parts, in order; those that are not done yet are left out.
  var partInfos: [PartInfo] { parts.compactMap(\.info) }
}
