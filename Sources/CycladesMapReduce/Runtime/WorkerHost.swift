internal import CycladesTransport
internal import Glibc

/// A worker: takes orders on one connection, serves its map outputs on others, and works in between.
///
/// Everything runs on one reactor thread. A task advances by one step per turn - a window of input, a
/// block, a megabyte of output - so that pulls of other workers are answered within a few
/// milliseconds, unless the job's own code takes longer for a single record.
final class WorkerHost: Endpoint {
  private let reactor: Reactor
  private let jobs: JobRegistry
  private let bond: WorkerBond
  private let build: UInt64
  private let server: ShuffleServer
  private let client: ShuffleClient
  private var port: UInt16 = 0
  private var control = ConnectionID(rawValue: 0)
  private var session: Session?
  private var running: Running?
  private var isStepScheduled = false
  /// Why the worker ended, when that was no order.
  private(set) var failure: MapReduceError?

  /// What is known once the coordinator has answered.
  private struct Session {
    let worker: WorkerID
    let setup: JobSetup
    let mapCount: Int
    let patience: Duration
    let code: JobCode
    let memory: TaskMemory
  }

  private enum Running {
    case map(MapTask, Attempt)
    case fetch(ReduceTask, ShuffleFetch, path: String, Attempt)
    case write(ReduceTask, PartWriter, Attempt)

    var attempt: Attempt {
      switch self {
      case .map(_, let attempt), .fetch(_, _, _, let attempt), .write(_, _, let attempt): attempt
      }
    }
  }

  init(on reactor: Reactor, jobs: JobRegistry, bond: WorkerBond, build: UInt64) {
    self.reactor = reactor
    self.jobs = jobs
    self.bond = bond
    self.build = build
    server = ShuffleServer(on: reactor, job: bond.job, token: bond.token)
    client = ShuffleClient(on: reactor, job: bond.job, token: bond.token)
  }

  /// Listens for other workers, then connects to the coordinator, which will name this one to them.
  func start() throws {
    let listener = try reactor.listen(
      on: .loopback(), mode: .frames(maximumSize: Frame.maximumSize), endpoint: server)
    port = listener.address.port
    control = reactor.connect(
      to: .loopback(port: bond.port), mode: .frames(maximumSize: Frame.maximumSize),
      endpoint: self)
    client.wake = { [unowned self] in scheduleStep() }
  }

  private func stop(_ error: MapReduceError?) {
    failure = failure ?? error
    running = nil
    reactor.stop()
  }

  // MARK: The coordinator

  func opened(_ connection: ConnectionID) {
    var frame = Frame(.hello, job: bond.job)
    frame.payload =
      Hello(token: bond.token, build: build, process: Int(getpid()), port: port).payload
    reactor.send(control, frame)
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    // The end of a job looks like this, and so does the end of its coordinator.
    stop(session == nil ? MapReduceError(.worker, "the coordinator is gone: \(reason)") : nil)
  }

  func received(_ connection: ConnectionID, frame bytes: Bytes) {
    do {
      let frame = try Frame(verifying: bytes)
      guard frame.job == bond.job else {
        throw MapReduceError(.protocolViolation, "the coordinator sent a frame of another job")
      }
      switch (frame.kind, session) {
      case (.welcome, nil): try begin(Welcome(frame.payload))
      case (.refused, nil): stop(try MapReduceError(frame.payload))
      case (_, let session?): try obey(frame, session)
      default: throw MapReduceError(.protocolViolation, "the coordinator gave an order too early")
      }
    } catch {
      stop(MapReduceError(wrapping: error))
    }
  }

  private func begin(_ welcome: Welcome) throws {
    let code = try jobs.code(welcome.setup.name)
    guard code.version == welcome.setup.version else {
      throw MapReduceError(
        .worker,
        "job '\(code.name)' is version \(code.version) here and "
          + "\(welcome.setup.version) at the coordinator")
    }
    let share = MemoryShare(budget: bond.memoryBytes, threads: 1)
    session = Session(
      worker: welcome.worker, setup: welcome.setup, mapCount: welcome.mapCount,
      patience: .milliseconds(welcome.patienceMilliseconds), code: code,
      memory: try TaskMemory(
        pool: reactor.pool,
        store: BlockStore(pool: reactor.pool, folder: bond.spillFolder, limit: share.blockBytes),
        share: share))
    beat()
  }

  /// Says that the worker lives, and which output a reduce waits for in vain; again and again.
  private func beat() {
    guard let session else { return }
    reactor.send(control, Frame(.alive, job: bond.job))
    if case .fetch(_, let fetch, _, let attempt)? = running, let map = fetch.waitingFor {
      let silence = Duration.nanoseconds(reactor.now.nanoseconds - fetch.lastProgress)
      if !fetch.hasSource || silence > session.patience / 2 { report(stalledOn: map, attempt) }
    }
    _ = reactor.schedule(after: session.patience / 5) { [unowned self] in beat() }
  }

  private func obey(_ frame: Frame, _ session: Session) throws {
    let map = Attempt(task: .map(frame.map), number: frame.attempt)
    let reduce = Attempt(task: .reduce(frame.partition), number: frame.attempt)
    switch frame.kind {
    case .runMap:
      let split = try InputSplit(frame.payload)
      perform(map) {
        let name = MapAttempt(job: bond.job, map: frame.map, attempt: frame.attempt)
        return .map(
          try MapTask(
            name, split, code: session.code, setup: session.setup, memory: session.memory), map)
      }
    case .runReduce:
      let order = try ReduceOrder(frame.payload)
      guard order.sources.count == session.mapCount else {
        throw MapReduceError(.protocolViolation, "an order to reduce lacks sources")
      }
      perform(reduce) { try fetching(order, reduce, frame.partition, session) }
    case .moved:
      var reader = PayloadReader(frame.payload)
      let source = try PeerSource(&reader)
      guard case .fetch(_, let fetch, _, let attempt)? = running, attempt == reduce else { return }
      fetch.move(map: frame.map, to: source)
      scheduleStep()
    case .forget: server.forget(map: frame.map, attempt: frame.attempt)
    case .abandon:
      if running?.attempt == frame.namedAttempt { end() }
      if frame.namedAttempt == map { server.forget(map: frame.map, attempt: frame.attempt) }
    default: throw MapReduceError(.protocolViolation, "the coordinator gave an unknown order")
    }
  }

  // MARK: Tasks

  /// Starts a task; what goes wrong is reported for the attempt.
  private func perform(_ attempt: Attempt, _ make: () throws -> Running) {
    end()
    do {
      running = try make()
      scheduleStep()
    } catch {
      report(failed: attempt, MapReduceError(wrapping: error))
    }
  }

  private func end() {
    running = nil
    client.fetch = nil
  }

  private func fetching(
    _ order: ReduceOrder, _ attempt: Attempt, _ partition: Int, _ session: Session
  ) throws -> Running {
    let task = try ReduceTask(
      code: session.code, setup: session.setup, memory: session.memory)
    let window = min(16 << 20, session.memory.share.pieceBytes)
    let fetch = ShuffleFetch(
      partition: partition, sources: order.sources, now: reactor.now.nanoseconds, window: window,
      credit: window / 8)
    client.fetch = fetch
    return .fetch(task, fetch, path: order.path, attempt)
  }

  private func scheduleStep() {
    guard running != nil, !isStepScheduled else { return }
    isStepScheduled = true
    _ = reactor.schedule(after: .zero) { [unowned self] in
      isStepScheduled = false
      step()
    }
  }

  private func step() {
    guard let running else { return }
    do {
      switch running {
      case .map(let task, let attempt):
        if try !task.step() { try finish(task, attempt) }
      case .fetch(let task, let fetch, let path, let attempt):
        guard try advance(task, fetch, path, attempt) else { return }
      case .write(let task, let file, let attempt):
        if try !task.step(into: file) {
          report(done: try file.finish(counters: task.takeJobCounters()), attempt)
        }
      }
      scheduleStep()
    } catch {
      end()
      report(failed: running.attempt, MapReduceError(wrapping: error))
    }
  }

  /// Takes what has come and asks for more; false when there is nothing to do but wait.
  private func advance(
    _ task: ReduceTask, _ fetch: ShuffleFetch, _ path: String, _ attempt: Attempt
  ) throws -> Bool {
    for pull in fetch.takePulls() { try start(pull, fetch) }
    let now = reactor.now.nanoseconds
    guard let block = fetch.next(now: now) else {
      guard fetch.waitingFor == nil else { return false }
      try task.finishInput()
      running = .write(task, try partWriter(path), attempt)
      client.fetch = nil
      return true
    }
    try task.add(block)
    return true
  }

  private func partWriter(_ path: String) throws -> PartWriter {
    guard let setup = session?.setup else { return try PartWriter(path: path) }
    return try PartWriter(path: path, compression: setup.compression, syncs: setup.syncs)
  }

  /// Sends a pull, or answers it here when the output is this worker's own.
  private func start(_ pull: ShuffleFetch.Pull, _ fetch: ShuffleFetch) throws {
    guard pull.source.worker == session?.worker else {
      return client.send(pull, partition: fetch.partition)
    }
    let blocks = server.blocks(
      map: pull.map, attempt: pull.source.attempt, partition: fetch.partition)
    guard let blocks else { return fetch.gone(map: pull.map, attempt: pull.source.attempt) }
    // Like an answer over the network: blocks until the room is used, one at least.
    var room = pull.credit
    for block in blocks.dropFirst(pull.sequence) {
      guard room > 0 else { break }
      let frame = try block.frame(in: reactor.pool)
      fetch.take(try Block(verifying: frame), now: reactor.now.nanoseconds)
      room -= block.byteCount
    }
    fetch.pulled(map: pull.map, attempt: pull.source.attempt, total: blocks.count)
  }

  // MARK: Reports

  private func finish(_ task: MapTask, _ attempt: Attempt) throws {
    let report = try task.finish()
    server.keep(task.output)
    end()
    var frame = Frame(.mapDone, job: bond.job)
    frame.map = task.output.name.map
    frame.attempt = attempt.number
    frame.payload = report.payload
    reactor.send(control, frame)
  }

  private func report(done part: PartInfo, _ attempt: Attempt) {
    end()
    var frame = Frame(.reduceDone, job: bond.job)
    frame.set(attempt)
    frame.payload = part.payload
    reactor.send(control, frame)
  }

  private func report(failed attempt: Attempt, _ error: MapReduceError) {
    var frame = Frame(.failed, job: bond.job)
    frame.set(attempt)
    frame.payload = error.payload
    reactor.send(control, frame)
  }

  private func report(stalledOn map: Int, _ attempt: Attempt) {
    var frame = Frame(.stalled, job: bond.job)
    frame.set(attempt)
    frame.map = map
    reactor.send(control, frame)
  }
}

extension Frame {
  /// Names an attempt: `extra` is 0 for a map and 1 for a reduce.
  mutating func set(_ attempt: Attempt) {
    self.attempt = attempt.number
    switch attempt.task {
    case .map(let map):
      self.map = map
      extra = 0
    case .reduce(let partition):
      self.partition = partition
      extra = 1
    }
  }

  /// The attempt that `set` named.
  var namedAttempt: Attempt {
    Attempt(task: extra == 0 ? .map(map) : .reduce(partition), number: attempt)
  }
}
