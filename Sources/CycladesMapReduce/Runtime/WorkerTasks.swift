internal import CycladesTransport

/// What a worker does: takes orders, works on one task at a time, and serves what it has mapped.
///
/// Everything runs on one reactor thread. A task advances by one step per turn - a window of input, a
/// block, a megabyte of output - so that pulls of other workers are answered within a few
/// milliseconds, unless the job's own code takes longer for a single record.
final class WorkerTasks {
  private let reactor: Reactor
  private let memoryBytes: Int
  private let spillFolder: String
  private let usesLocalFiles: Bool
  private let server: ShuffleServer
  private let client: ShuffleClient
  private let home: HomeLink
  private var session: Session?
  private var running: Running?
  private var isStepScheduled = false
  /// Sends to the coordinator.
  private let send: (Frame) -> Void
  /// Reports of what is kept, for a coordinator that goes on where another stopped.
  private var mapReports: [Int: MapReport] = [:]
  private var finishedParts: [WorkerHoldings.HeldPart] = []

  /// What is known once the coordinator has told of a job.
  private struct Session {
    let job: UInt64
    let worker: WorkerID
    let setup: JobSetup
    let mapCount: Int
    let patience: Duration
    let code: JobCode
    let memory: TaskMemory
    var home: JobHomeAddress?
  }

  private enum Running {
    case map(MapTask, Attempt)
    case fetch(ReduceTask, ShuffleFetch, path: String, Attempt)
    case write(ReduceTask, PartWriter, RemotePart?, Attempt)
    case handOver(RemotePart, PartInfo, Attempt)

    var attempt: Attempt {
      switch self {
      case .map(_, let attempt), .fetch(_, _, _, let attempt), .write(_, _, _, let attempt),
        .handOver(_, _, let attempt):
        attempt
      }
    }
  }

  init(
    on reactor: Reactor, memoryBytes: Int, spillFolder: String, usesLocalFiles: Bool = true,
    send: @escaping (Frame) -> Void
  ) {
    self.reactor = reactor
    self.memoryBytes = memoryBytes
    self.spillFolder = spillFolder
    self.usesLocalFiles = usesLocalFiles
    self.send = send
    server = ShuffleServer(on: reactor)
    client = ShuffleClient(on: reactor)
    home = HomeLink(on: reactor)
    client.wake = { [unowned self] in scheduleStep() }
    home.wake = { [unowned self] in scheduleStep() }
  }

  /// Listens for other workers; the address that was bound.
  func listen(on address: SocketAddress) throws -> SocketAddress {
    try reactor.listen(
      on: address, mode: .frames(maximumSize: Frame.maximumSize), endpoint: server
    ).address
  }

  // MARK: Jobs

  /// The job that is being served.
  var job: UInt64? { session?.job }

  /// Takes part in a job; in the one it has, with another coordinator, it keeps what it holds.
  func begin(_ welcome: Welcome, job: UInt64, jobs: JobRegistry) throws {
    let code = try jobs.code(welcome.setup.name)
    guard code.version == welcome.setup.version else {
      throw MapReduceError(
        .worker,
        "job '\(code.name)' is version \(code.version) here and "
          + "\(welcome.setup.version) at the coordinator")
    }
    if let session, session.job == job, session.setup == welcome.setup {
      if session.home?.session != welcome.home?.session {
        // What was handed to a home that is gone is gone as well.
        finishedParts = []
        if case .reduce? = running?.attempt.task { end() }
      }
      self.session?.home = welcome.home
    } else {
      leave()
      let share = MemoryShare(budget: memoryBytes, threads: 1)
      session = Session(
        job: job, worker: welcome.worker, setup: welcome.setup, mapCount: welcome.mapCount,
        patience: .milliseconds(welcome.patienceMilliseconds), code: code,
        memory: try TaskMemory(
          pool: reactor.pool,
          store: BlockStore(pool: reactor.pool, folder: spillFolder, limit: share.blockBytes),
          share: share),
        home: welcome.home)
      beat(job)
    }
    server.serve(job: job, token: welcome.token)
    client.serve(job: job, token: welcome.token)
    home.serve(welcome.home?.address, job: job, token: welcome.token)
  }

  /// Drops the job and all that is kept of it.
  func leave() {
    end()
    session = nil
    mapReports = [:]
    finishedParts = []
    server.serve(job: 0, token: 0)
    client.serve(job: 0, token: 0)
    home.serve(nil, job: 0, token: 0)
  }

  /// What is here of the job.
  var holdings: WorkerHoldings {
    var holdings = WorkerHoldings(running: running?.attempt, parts: finishedParts)
    holdings.maps = server.kept.compactMap { name in
      mapReports[name.map].map { .init(map: name.map, attempt: name.attempt, report: $0) }
    }
    return holdings
  }

  /// Says that the worker lives, and which output a reduce waits for in vain; again and again.
  private func beat(_ job: UInt64) {
    guard let session, session.job == job else { return }
    send(Frame(.alive, job: job))
    if case .fetch(_, let fetch, _, let attempt)? = running, let map = fetch.waitingFor {
      let silence = Duration.nanoseconds(reactor.now.nanoseconds - fetch.lastProgress)
      if !fetch.hasSource || silence > session.patience / 2 { report(stalledOn: map, attempt) }
    }
    _ = reactor.schedule(after: session.patience / 5) { [unowned self] in beat(job) }
  }

  /// Does what the coordinator says; throws when it may not say that.
  func obey(_ frame: Frame) throws {
    guard let session, frame.job == session.job else {
      throw MapReduceError(.protocolViolation, "the coordinator sent a frame of another job")
    }
    let map = Attempt(task: .map(frame.map), number: frame.attempt)
    let reduce = Attempt(task: .reduce(frame.partition), number: frame.attempt)
    switch frame.kind {
    case .runMap:
      let split = try InputSplit(frame.payload)
      perform(map) {
        let name = MapAttempt(job: session.job, map: frame.map, attempt: frame.attempt)
        return .map(
          try MapTask(
            name, split, code: session.code, setup: session.setup, memory: session.memory,
            files: files(session)), map)
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

  private func files(_ session: Session) -> any FileSource {
    guard let address = session.home else { return LocalFiles() }
    return HomeFiles(home, here: usesLocalFiles && Machine.isHere(address.machine))
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
      case .write(let task, let file, let remote, let attempt):
        if try remote?.hasRoom() == false { return }
        if try !task.step(into: file) { try finish(task, file, remote, attempt) }
      case .handOver(let remote, let info, let attempt):
        guard try remote.isKept() else { return }
        report(done: info, attempt)
      }
      scheduleStep()
    } catch is InputNotReady {
      // The home's answer wakes the task.
    } catch let error as HomeLost {
      end()
      report(.gaveUp, running.attempt, error.reason)
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
      client.fetch = nil
      running = try writing(task, path, attempt)
      return true
    }
    try task.add(block)
    return true
  }

  private func writing(_ task: ReduceTask, _ path: String, _ attempt: Attempt) throws -> Running {
    guard let setup = session?.setup, case .reduce(let partition) = attempt.task else {
      throw MapReduceError(.protocolViolation, "a part without a job")
    }
    let remote = path.isEmpty ? home.part(partition, attempt: attempt.number) : nil
    let file: any PartFile = if let remote { remote } else { try LocalPartFile(path) }
    return .write(
      task, try PartWriter(to: file, compression: setup.compression, syncs: setup.syncs), remote,
      attempt)
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
    let made = try task.finish()
    server.keep(task.output)
    mapReports[task.output.name.map] = made
    end()
    report(.mapDone, attempt) { $0.payload = made.payload }
  }

  private func finish(
    _ task: ReduceTask, _ file: PartWriter, _ remote: RemotePart?, _ attempt: Attempt
  ) throws {
    let info = try file.finish(counters: task.takeJobCounters())
    guard let remote else { return report(done: info, attempt) }
    running = .handOver(remote, info, attempt)
  }

  private func report(done info: PartInfo, _ attempt: Attempt) {
    end()
    if case .reduce(let partition) = attempt.task {
      finishedParts.append(.init(partition: partition, attempt: attempt.number, info: info))
    }
    report(.reduceDone, attempt) { $0.payload = info.payload }
  }

  private func report(failed attempt: Attempt, _ error: MapReduceError) {
    report(.failed, attempt, error)
  }

  private func report(_ kind: FrameKind, _ attempt: Attempt, _ error: MapReduceError) {
    report(kind, attempt) { $0.payload = error.payload }
  }

  private func report(stalledOn map: Int, _ attempt: Attempt) {
    report(.stalled, attempt) { $0.map = map }
  }

  private func report(
    _ kind: FrameKind, _ attempt: Attempt, _ fill: (inout Frame) -> Void
  ) {
    guard let session else { return }
    var frame = Frame(kind, job: session.job)
    frame.set(attempt)
    fill(&frame)
    send(frame)
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
