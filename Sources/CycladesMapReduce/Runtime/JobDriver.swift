internal import CycladesTransport

/// What is around a job's coordinator: its workers, and the folder that its output goes to.
protocol JobSurroundings: AnyObject {
  func send(_ frame: Frame, to worker: WorkerID)
  /// Where a worker writes an attempt at a part; empty when it hands it to the job's home.
  func path(partition: Int, attempt: Int) -> String
  /// Gives a part its name; answered by the event `published` or `stopped`.
  func publish(partition: Int, attempt: Int)
  func startWorker()
  /// The last call.
  func ended(_ result: Result<JobSummary, MapReduceError>)
}

/// Runs the coordinator's machine: reports of workers become events, effects become orders.
///
/// The same for workers that are processes of this machine and for those of a cluster.
final class JobDriver {
  let order: JobOrder
  private(set) var machine: Coordinator
  private unowned let surroundings: any JobSurroundings
  private let trace: JobTrace
  private let started = Instant.current()
  /// Events that came up while effects of another were carried out.
  private var events: [CoordinatorEvent] = []
  private var isStepping = false
  private var link: LedgerLink?
  /// Where each worker serves its map outputs.
  private var addresses: [WorkerID: SocketAddress] = [:]
  /// When each worker was given what it runs.
  private var orderedAt: [WorkerID: (name: String, at: Duration)] = [:]
  private(set) var isOver = false
  /// How many decisions the ledger has of the job, and who is told before anything follows from one.
  private var decisionCount = 0
  var noteDecision: (Int) -> Void = { _ in }

  init(
    _ order: JobOrder, counters: [JobCounter], trace: JobTrace, in surroundings: any JobSurroundings
  ) {
    self.order = order
    self.trace = trace
    self.surroundings = surroundings
    machine = Coordinator(
      maps: order.splits.count, partitions: order.setup.partitions,
      patience: UInt64(order.patienceMilliseconds), badRecordLimit: order.setup.badRecordLimit,
      counters: counters, backups: order.backups, describe: order.describe)
  }

  /// Milliseconds on the clock that ticks tell.
  static var clock: UInt64 { Instant.current().nanoseconds / 1_000_000 }

  // MARK: The ledger

  /// Announces the job; `begin` hears what the ledger knows of it.
  ///
  /// - Parameter session: Names the process that asked for the job, where another coordinator may go on
  ///   with it for that very process; else 0.
  func open(
    _ ledger: any DecisionLog, as id: UInt64, session: UInt64 = 0, on reactor: Reactor,
    begin: @escaping (JobRecord) throws -> Void
  ) {
    self.begin = begin
    link = LedgerLink(ledger, job: id, for: self, on: reactor)
    link?.announce(order, session: session)
  }

  private var begin: (JobRecord) throws -> Void = { _ in }

  /// Goes on with what the ledger knows.
  func resume(_ record: JobRecord, grace: UInt64) {
    var effects: [CoordinatorEffect] = []
    decisionCount = record.decisionCount
    machine.resume(record, at: JobDriver.clock, grace: grace, &effects)
    for effect in effects { carryOut(effect) }
  }

  /// What the ledger answered to the announcement, or to the oldest decision that waits.
  func answered(_ answer: LedgerLink.Answer) {
    guard !isOver else { return }
    do {
      switch answer {
      case .record(let record): try begin(record)
      case .logged(let decision):
        decisionCount += 1
        noteDecision(decisionCount)
        step(.logged(decision))
      case .refused(let error): step(.stopped(error))
      }
    } catch {
      step(.stopped(MapReduceError(wrapping: error)))
    }
  }

  /// Asks the ledger nothing more.
  func close() {
    isOver = true
    link?.close()
  }

  // MARK: The machine

  func step(_ event: CoordinatorEvent) {
    guard !isOver else { return }
    events.append(event)
    guard !isStepping else { return }
    isStepping = true
    defer { isStepping = false }
    while !events.isEmpty {
      var effects: [CoordinatorEffect] = []
      machine.step(events.removeFirst(), &effects)
      for effect in effects { carryOut(effect) }
    }
  }

  /// Tells the time; to be called about ten times a second.
  func tick() { step(.tick(JobDriver.clock)) }

  private func carryOut(_ effect: CoordinatorEffect) {
    switch effect {
    case .runMap(let id, let map, let attempt):
      orderedAt[id] = ("map \(map)", trace.now)
      send(.runMap, Attempt(task: .map(map), number: attempt), to: id) {
        $0.payload = order.splits[map].payload
      }
    case .runReduce(let id, let partition, let attempt, let sources):
      orderedAt[id] = ("reduce \(partition)", trace.now)
      send(.runReduce, Attempt(task: .reduce(partition), number: attempt), to: id) {
        $0.payload =
          ReduceOrder(
            path: surroundings.path(partition: partition, attempt: attempt),
            sources: sources.map(peer)
          ).payload
      }
    case .moved(let id, let partition, let attempt, let map, let source):
      send(.moved, Attempt(task: .reduce(partition), number: attempt), to: id) {
        $0.map = map
        var writer = PayloadWriter()
        peer(source).write(&writer)
        $0.payload = writer.bytes
      }
    case .forget(let id, let map, let attempt):
      send(.forget, Attempt(task: .map(map), number: attempt), to: id)
    case .abandon(let id, let attempt): send(.abandon, attempt, to: id)
    case .log(let decision):
      if let link { link.propose(decision) } else { step(.logged(decision)) }
    case .publish(let partition, let attempt):
      surroundings.publish(partition: partition, attempt: attempt)
    case .spawn: surroundings.startWorker()
    case .complete: finish(.success(machine.summary))
    case .fail(let error): finish(.failure(error))
    }
  }

  private func finish(_ result: Result<JobSummary, MapReduceError>) {
    if case .failure(let error) = result, error.code != .ledger {
      link?.propose(.ended(isComplete: false))
    }
    close()
    surroundings.ended(result)
  }

  private func send(
    _ kind: FrameKind, _ attempt: Attempt, to id: WorkerID, _ fill: (inout Frame) -> Void = { _ in }
  ) {
    var frame = Frame(kind, job: order.id)
    frame.set(attempt)
    fill(&frame)
    surroundings.send(frame, to: id)
  }

  private func peer(_ source: MapSource) -> PeerSource {
    PeerSource(
      attempt: source.attempt, worker: source.worker,
      address: addresses[source.worker] ?? .loopback())
  }

  // MARK: Workers

  /// Takes a worker in, or back with what it holds.
  func join(_ id: WorkerID, at address: SocketAddress, _ holdings: WorkerHoldings? = nil) {
    addresses[id] = address
    if let holdings { step(.rejoined(id, holdings)) } else { step(.joined(id)) }
  }

  func lose(_ id: WorkerID) {
    addresses[id] = nil
    orderedAt[id] = nil
    step(.lost(id))
  }

  /// Takes a report; throws when a worker may not send it.
  func take(_ frame: Frame, from id: WorkerID) throws {
    guard frame.job == order.id else {
      throw MapReduceError(.protocolViolation, "a worker sent a frame of another job")
    }
    switch frame.kind {
    case .alive: step(.heard(id))
    case .mapDone where machine.maps.indices.contains(frame.map):
      note(id)
      let report = try MapReport(frame.payload)
      step(.mapDone(id, map: frame.map, attempt: frame.attempt, report))
    case .reduceDone where machine.parts.indices.contains(frame.partition):
      note(id)
      let info = try PartInfo(frame.payload)
      step(.reduceDone(id, partition: frame.partition, attempt: frame.attempt, info))
    case .failed: step(.failed(id, frame.namedAttempt, try MapReduceError(frame.payload)))
    case .gaveUp: step(.gaveUp(id, frame.namedAttempt, try MapReduceError(frame.payload)))
    case .stalled:
      step(.stalled(id, partition: frame.partition, attempt: frame.attempt, map: frame.map))
    default: throw MapReduceError(.protocolViolation, "a worker sent what it may not send")
    }
  }

  /// Puts a finished task into the trace.
  private func note(_ id: WorkerID) {
    guard let order = orderedAt.removeValue(forKey: id) else { return }
    trace.add(order.name, thread: id.rawValue, from: order.at)
  }

  // MARK: Progress

  /// The parts that were elected, in order.
  var parts: [PartInfo] { machine.partInfos }
  /// The records that threw, in order of the input.
  var badRecords: [BadRecord] { machine.maps.flatMap { $0.report?.badRecords ?? [] } }

  var progress: JobProgress {
    var progress = order.progress
    progress.mapsDone = machine.mapsDone
    progress.reducesDone = machine.partsPublished
    progress.inputBytesDone = zip(machine.maps, order.splits)
      .reduce(0) { $0 + ($1.0.report == nil ? 0 : $1.1.byteCount) }
    progress.workers = machine.workers.count
    progress.workersLost = machine.summary.workersLost
    progress.elapsed = .current() - started
    return progress
  }
}
