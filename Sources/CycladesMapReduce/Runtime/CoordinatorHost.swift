internal import CycladesTransport
internal import Glibc
internal import Logging

/// The coordinator of workers that are processes of this machine: sockets, processes, time and the output
/// folder around a `JobDriver`.
final class CoordinatorHost: Endpoint, JobSurroundings {
  private let reactor: Reactor
  private let job: PlannedJob
  private let order: JobOrder
  private let folder: OutputFolder
  private let launch: WorkerLaunch
  private let cancellation: JobCancellation
  private let report: (JobProgress) -> Void
  private let ledger: (any DecisionLog)?
  private let token = UInt64.random(in: 1...UInt64.max)
  private let build: UInt64
  private let trace: JobTrace
  private var port: UInt16 = 0
  private lazy var driver = JobDriver(
    order, counters: job.code.counters, trace: trace, in: self)
  private var children: [pid_t: Child] = [:]
  private var members: [ConnectionID: Member] = [:]
  private var nextWorker = 0
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
    self.ledger = ledger
    self.cancellation = cancellation
    self.reactor = reactor
    self.report = report
    order = job.order
    trace = JobTrace(job.configuration.trace)
    build = try ChildProcess.buildDigest(of: launch.program)
    disturbances = job.configuration.disturbances
  }

  /// Runs the job to its end on the calling thread.
  func run() throws -> JobSummary {
    defer { endChildren() }
    let listener = try reactor.listen(
      on: .loopback(), mode: .frames(maximumSize: Frame.maximumSize), endpoint: self)
    port = listener.address.port
    if let ledger {
      driver.open(ledger, as: job.ledgerID(), on: reactor) { [unowned self] in try begin($0) }
    } else {
      try startWorkers()
    }
    tick()
    try reactor.run()
    driver.close()
    try trace.write()
    guard let result else {
      throw MapReduceError(.worker, "the coordinator's reactor stopped before the job was done")
    }
    return try result.get()
  }

  /// Goes on with what the ledger knows of the job. Workers end with their coordinator, so nobody holds
  /// anything of it.
  private func begin(_ record: JobRecord) throws {
    var record = record
    let there = folder.clear(keeping: record.parts.mapValues(\.attempt))
    // A part that somebody removed is done again.
    record.parts = record.parts.filter { there.contains($0.key) }
    driver.resume(record, grace: 0)
    try startWorkers()
  }

  private func startWorkers() throws {
    for _ in 0..<job.configuration.workers where result == nil { try addWorker() }
  }

  /// The parts that were published, in order.
  var parts: [PartInfo] { driver.parts }
  /// The records that threw, in order of the input.
  var badRecords: [BadRecord] { driver.badRecords }

  // MARK: What the driver asks for

  func send(_ frame: Frame, to id: WorkerID) {
    guard let connection = members.first(where: { $0.value.id == id })?.key else { return }
    reactor.send(connection, frame)
  }

  func path(partition: Int, attempt: Int) -> String {
    folder.temporaryPath(partition: partition, attempt: attempt)
  }

  func publish(partition: Int, attempt: Int) {
    do {
      try folder.publish(partition: partition, attempt: attempt)
      driver.step(.published(partition: partition))
    } catch let error as MapReduceError {
      driver.step(.stopped(error))
    } catch {
      driver.step(.stopped(MapReduceError(.output, "cannot publish a part", cause: error)))
    }
    report(progress)
  }

  func startWorker() {
    guard result == nil else { return }
    do { try addWorker() } catch {
      let error = error as? MapReduceError
      driver.step(.stopped(error ?? MapReduceError(.worker, "cannot start a worker")))
    }
  }

  func ended(_ result: Result<JobSummary, MapReduceError>) {
    self.result = result
    endChildren()
    reactor.stop()
  }

  // MARK: Workers

  private func addWorker() throws {
    let bond = WorkerBond(
      port: port, job: job.id, token: token,
      memoryBytes: job.configuration.memoryBytes, spillFolder: job.configuration.spillPath)
    let process = try ChildProcess.start(launch, bond: bond)
    children[process.identifier] = Child(process: process, startedAt: .current())
  }

  /// Kills and reaps all workers; they hold nothing that outlives the job.
  private func endChildren() {
    for child in children.values { child.process.end() }
    children = [:]
  }

  private var progress: JobProgress {
    var progress = driver.progress
    progress.workers = members.count
    return progress
  }

  private func tick() {
    guard result == nil else { return }
    if cancellation.isCancelled { return driver.step(.stopped(JobCancellation.error)) }
    driver.tick()
    disturb()
    for (identifier, child) in children where !child.hasJoined {
      let ending = child.process.ending()
      guard ending != nil || .current() - child.startedAt > CoordinatorHost.joinTime else {
        continue
      }
      if ending == nil { child.process.end() }
      children[identifier] = nil
      countFailedStart(ending ?? "no answer")
    }
    report(progress)
    _ = reactor.schedule(after: .milliseconds(100)) { [unowned self] in tick() }
  }

  private func countFailedStart(_ how: String) {
    failedStarts += 1
    guard failedStarts >= CoordinatorHost.failedStartLimit else { return startWorker() }
    driver.step(
      .stopped(
        MapReduceError(.worker, "workers end before they join (\(how)); see what they said")))
  }

  func received(_ connection: ConnectionID, frame bytes: Bytes) {
    do {
      let frame = try Frame(verifying: bytes)
      if let member = members[connection] {
        try driver.take(frame, from: member.id)
        disturb()
      } else if frame.kind == .hello, frame.job == job.id {
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
      return driver.step(.stopped(error))
    }
    let id = WorkerID(rawValue: nextWorker)
    nextWorker += 1
    children[child.process.identifier]?.hasJoined = true
    failedStarts = 0
    members[connection] = Member(id: id, process: child.process)
    var frame = Frame(.welcome, job: job.id)
    frame.payload = Welcome(order, worker: id, token: token).payload
    reactor.send(connection, frame)
    driver.join(id, at: .loopback(port: hello.port))
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    guard let member = members.removeValue(forKey: connection), result == nil else { return }
    // Whether it died or only its connection did: a worker has one life.
    reactor.logger.info(
      "worker lost",
      metadata: ["worker": "\(member.id.rawValue)", "reason": "\(reason)"])
    member.process.end()
    children[member.process.identifier] = nil
    driver.lose(member.id)
  }

  private func disturb() {
    for disturbance in disturbances where driver.machine.mapsDone >= disturbance.mapsDone {
      guard let victim = members.values.first(where: { $0.id.rawValue == disturbance.worker })
      else { continue }
      victim.process.signal(disturbance.signal)
      disturbances.removeAll { $0 == disturbance }
    }
  }
}
