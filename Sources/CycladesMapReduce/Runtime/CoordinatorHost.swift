internal import CycladesTransport
internal import Glibc
internal import Logging

/// The coordinator's outside: sockets, processes, time and the output folder around `Coordinator`.
final class CoordinatorHost: Endpoint {
  private let reactor: Reactor
  private let job: PlannedJob
  private let folder: OutputFolder
  private let started = Instant.current()
  private let launch: WorkerLaunch
  private let cancellation: JobCancellation
  private let report: (JobProgress) -> Void
  private let token = UInt64.random(in: 1...UInt64.max)
  private let build: UInt64
  private var port: UInt16 = 0
  private var machine: Coordinator
  /// Events that came up while effects of another were carried out.
  private var events: [CoordinatorEvent] = []
  private var isStepping = false
  private var children: [pid_t: Child] = [:]
  private var members: [ConnectionID: Member] = [:]
  private var nextWorker = 0
  private var link: LedgerLink?
  private let trace: JobTrace
  /// When each worker was given what it runs.
  private var orderedAt: [WorkerID: (name: String, at: Duration)] = [:]
  private var failedStarts = 0
  private var disturbances: [Disturbance]
  private var result: Result<JobSummary, MapReduceError>?

  private struct Child {
    let process: ChildProcess
    let startedAt: Instant
    var hasJoined = false
  }

  private struct Member {
    let id: WorkerID
    let process: ChildProcess
    let port: UInt16
  }

  /// Processes that may end before they join, and how long joining may take.
  private static let failedStartLimit = 3
  private static let joinTime = Duration.seconds(30)

  init(
    _ job: PlannedJob, folder: OutputFolder, launch: WorkerLaunch,
    ledger: (any DecisionLog)? = nil, cancellation: JobCancellation, on reactor: Reactor,
    report: @escaping (JobProgress) -> Void
  ) throws {
    self.job = job
    self.folder = folder
    self.launch = launch
    self.cancellation = cancellation
    self.reactor = reactor
    self.report = report
    trace = JobTrace(job.configuration.trace)
    build = try ChildProcess.buildDigest(of: launch.program)
    disturbances = job.configuration.disturbances
    let splits = job.plan.splits
    machine = Coordinator(
      maps: splits.count, partitions: job.setup.partitions,
      patience: UInt64(job.patienceMilliseconds), badRecordLimit: job.setup.badRecordLimit,
      counters: job.code.counters, backups: job.configuration.backups
    ) { task in
      guard case .map(let map) = task, let first = splits[map].segments.first else {
        return "\(task)"
      }
      return "map \(map) (\(splits[map].byteCount) bytes from \(first.path) at \(first.offset))"
    }
    if let ledger { link = LedgerLink(ledger, job: job.ledgerID, host: self, on: reactor) }
  }

  /// Runs the job to its end on the calling thread.
  func run() throws -> JobSummary {
    defer { endChildren() }
    let listener = try reactor.listen(
      on: .loopback(), mode: .frames(maximumSize: Frame.maximumSize), endpoint: self)
    port = listener.address.port
    if let link {
      link.announce(job)
    } else {
      try begin(nil)
    }
    tick()
    try reactor.run()
    link?.close()
    try trace.write()
    guard let result else {
      throw MapReduceError(.worker, "the coordinator's reactor stopped before the job was done")
    }
    return try result.get()
  }

  /// Starts the job, or goes on with what the ledger knows of it.
  private func begin(_ record: JobRecord?) throws {
    if var record {
      let there = folder.clear(keeping: record.parts.mapValues(\.attempt))
      // A part that somebody removed is done again.
      record.parts = record.parts.filter { there.contains($0.key) }
      var effects: [CoordinatorEffect] = []
      machine.resume(record, &effects)
      for effect in effects { carryOut(effect) }
    }
    for _ in 0..<job.configuration.workers where result == nil { try startWorker() }
  }

  /// What the ledger answered to the announcement, or to the oldest decision that waits.
  func answered(_ answer: LedgerLink.Answer) {
    guard result == nil else { return }
    do {
      switch answer {
      case .record(let record): try begin(record)
      case .logged(let decision): step(.logged(decision))
      case .refused(let error): step(.stopped(error))
      }
    } catch {
      step(.stopped(MapReduceError(wrapping: error)))
    }
  }

  // MARK: The machine

  private func step(_ event: CoordinatorEvent) {
    events.append(event)
    guard !isStepping else { return }
    isStepping = true
    defer { isStepping = false }
    while !events.isEmpty {
      var effects: [CoordinatorEffect] = []
      machine.step(events.removeFirst(), &effects)
      for effect in effects { carryOut(effect) }
    }
    disturb()
  }

  private func carryOut(_ effect: CoordinatorEffect) {
    switch effect {
    case .runMap(let id, let map, let attempt):
      orderedAt[id] = ("map \(map)", trace.now)
      var frame = Frame(.runMap, job: job.id)
      frame.set(Attempt(task: .map(map), number: attempt))
      frame.payload = job.plan.splits[map].payload
      send(frame, to: id)
    case .runReduce(let id, let partition, let attempt, let sources):
      orderedAt[id] = ("reduce \(partition)", trace.now)
      var frame = Frame(.runReduce, job: job.id)
      frame.set(Attempt(task: .reduce(partition), number: attempt))
      frame.payload =
        ReduceOrder(
          path: folder.temporaryPath(partition: partition, attempt: attempt),
          sources: sources.map(peer)
        ).payload
      send(frame, to: id)
    case .moved(let id, let partition, let attempt, let map, let source):
      var frame = Frame(.moved, job: job.id)
      frame.set(Attempt(task: .reduce(partition), number: attempt))
      frame.map = map
      var writer = PayloadWriter()
      peer(source).write(&writer)
      frame.payload = writer.bytes
      send(frame, to: id)
    case .forget(let id, let map, let attempt):
      var frame = Frame(.forget, job: job.id)
      frame.set(Attempt(task: .map(map), number: attempt))
      send(frame, to: id)
    case .abandon(let id, let attempt):
      var frame = Frame(.abandon, job: job.id)
      frame.set(attempt)
      send(frame, to: id)
    case .log(let decision):
      if let link { link.propose(decision) } else { step(.logged(decision)) }
    case .publish(let partition, let attempt): publish(partition, attempt)
    case .spawn: replaceWorker()
    case .complete: finish(.success(machine.summary))
    case .fail(let error): finish(.failure(error))
    }
  }

  private func send(_ frame: Frame, to id: WorkerID) {
    guard let connection = members.first(where: { $0.value.id == id })?.key else { return }
    reactor.send(connection, frame)
  }

  private func peer(_ source: MapSource) -> PeerSource {
    let port = members.values.first { $0.id == source.worker }?.port ?? 0
    return PeerSource(attempt: source.attempt, worker: source.worker, port: port)
  }

  private func publish(_ partition: Int, _ attempt: Int) {
    do {
      try folder.publish(partition: partition, attempt: attempt)
      step(.published(partition: partition))
    } catch let error as MapReduceError {
      step(.stopped(error))
    } catch {
      step(.stopped(MapReduceError(.output, "cannot publish a part", cause: error)))
    }
    report(progress)
  }

  private func finish(_ result: Result<JobSummary, MapReduceError>) {
    self.result = result
    if case .failure(let error) = result, error.code != .ledger {
      link?.propose(.ended(isComplete: false))
    }
    endChildren()
    reactor.stop()
  }

  /// The parts that were published, in order.
  var parts: [PartInfo] { machine.partInfos }
  /// The records that threw, in order of the input.
  var badRecords: [BadRecord] { machine.maps.flatMap { $0.report?.badRecords ?? [] } }

  private var progress: JobProgress {
    var progress = job.progress
    progress.mapsDone = machine.mapsDone
    progress.reducesDone = machine.partsPublished
    progress.inputBytesDone = zip(machine.maps, job.plan.splits)
      .reduce(0) { $0 + ($1.0.report == nil ? 0 : $1.1.byteCount) }
    progress.workers = members.count
    progress.workersLost = machine.summary.workersLost
    progress.elapsed = .current() - started
    return progress
  }

  // MARK: Workers

  private func startWorker() throws {
    let bond = WorkerBond(
      port: port, job: job.id, token: token,
      memoryBytes: job.configuration.memoryBytes, spillFolder: job.configuration.spillPath)
    let process = try ChildProcess.start(launch, bond: bond)
    children[process.identifier] = Child(process: process, startedAt: .current())
  }

  private func replaceWorker() {
    guard result == nil else { return }
    do { try startWorker() } catch {
      let error = error as? MapReduceError
      step(.stopped(error ?? MapReduceError(.worker, "cannot start a worker")))
    }
  }

  /// Kills and reaps all workers; they hold nothing that outlives the job.
  private func endChildren() {
    for child in children.values { child.process.end() }
    children = [:]
  }

  private func tick() {
    guard result == nil else { return }
    if cancellation.isCancelled { return step(.stopped(JobCancellation.error)) }
    let now = Instant.current()
    step(.tick(now.nanoseconds / 1_000_000))
    for (identifier, child) in children where !child.hasJoined {
      let ending = child.process.ending()
      guard ending != nil || now - child.startedAt > CoordinatorHost.joinTime else { continue }
      if ending == nil { child.process.end() }
      children[identifier] = nil
      countFailedStart(ending ?? "no answer")
    }
    report(progress)
    _ = reactor.schedule(after: .milliseconds(100)) { [unowned self] in tick() }
  }

  private func countFailedStart(_ how: String) {
    failedStarts += 1
    guard failedStarts >= CoordinatorHost.failedStartLimit else { return replaceWorker() }
    step(
      .stopped(
        MapReduceError(.worker, "workers end before they join (\(how)); see what they said")))
  }

  func received(_ connection: ConnectionID, frame bytes: Bytes) {
    do {
      let frame = try Frame(verifying: bytes)
      guard frame.job == job.id else {
        throw MapReduceError(.protocolViolation, "a worker sent a frame of another job")
      }
      if let member = members[connection] {
        try take(frame, from: member)
      } else if frame.kind == .hello {
        try admit(Hello(frame.payload), connection)
      } else {
        throw MapReduceError(.protocolViolation, "a worker did not say hello")
      }
    } catch {
      reactor.logger.warning("worker dropped", metadata: ["reason": "\(error)"])
      reactor.close(connection, flush: false, reason: .protocolViolation)
    }
  }

  private func admit(_ hello: Hello, _ connection: ConnectionID) throws {
    guard hello.token == token, let child = children[pid_t(clamping: hello.process)] else {
      throw MapReduceError(.protocolViolation, "a stranger said hello")
    }
    guard hello.build == build else {
      var frame = Frame(.refused, job: job.id)
      let error = MapReduceError(
        .worker,
        "a worker runs another build than '\(launch.program)' was when the job began; "
          + "start the job again")
      frame.payload = error.payload
      reactor.send(connection, frame)
      return step(.stopped(error))
    }
    let id = WorkerID(rawValue: nextWorker)
    nextWorker += 1
    children[child.process.identifier]?.hasJoined = true
    failedStarts = 0
    members[connection] = Member(id: id, process: child.process, port: hello.port)
    var frame = Frame(.welcome, job: job.id)
    frame.payload =
      Welcome(
        worker: id, setup: job.setup, mapCount: job.plan.splits.count,
        patienceMilliseconds: job.patienceMilliseconds
      ).payload
    reactor.send(connection, frame)
    step(.joined(id))
  }

  private func take(_ frame: Frame, from member: Member) throws {
    switch frame.kind {
    case .alive: step(.heard(member.id))
    case .mapDone where machine.maps.indices.contains(frame.map):
      note(member.id)
      step(
        .mapDone(
          member.id, map: frame.map, attempt: frame.attempt, try MapReport(frame.payload)))
    case .reduceDone where machine.parts.indices.contains(frame.partition):
      note(member.id)
      step(
        .reduceDone(
          member.id, partition: frame.partition, attempt: frame.attempt,
          try PartInfo(frame.payload)))
    case .failed: step(.failed(member.id, frame.namedAttempt, try MapReduceError(frame.payload)))
    case .stalled:
      step(
        .stalled(
          member.id, partition: frame.partition, attempt: frame.attempt, map: frame.map))
    default: throw MapReduceError(.protocolViolation, "a worker sent what it may not send")
    }
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    guard let member = members.removeValue(forKey: connection), result == nil else { return }
    // Whether it died or only its connection did: a worker has one life.
    reactor.logger.info(
      "worker lost",
      metadata: ["worker": "\(member.id.rawValue)", "reason": "\(reason)"])
    member.process.end()
    children[member.process.identifier] = nil
    step(.lost(member.id))
  }

  /// Puts a finished task into the trace.
  private func note(_ id: WorkerID) {
    guard let order = orderedAt.removeValue(forKey: id) else { return }
    trace.add(order.name, thread: id.rawValue, from: order.at)
  }

  private func disturb() {
    for disturbance in disturbances where machine.mapsDone >= disturbance.mapsDone {
      guard let victim = members.values.first(where: { $0.id.rawValue == disturbance.worker })
      else { continue }
      victim.process.signal(disturbance.signal)
      disturbances.removeAll { $0 == disturbance }
    }
  }
}
