internal import CycladesTransport

/// A job on a cluster, as its home sees it: asks for it, serves its files, names its parts.
final class ClusterRun {
  private let reactor: Reactor
  private let order: JobOrder
  private let job: PlannedJob
  private let folder: OutputFolder
  private let build: UInt64
  private let link: NodeLink
  private let home: JobHome
  private let cancellation: JobCancellation
  private let report: (JobProgress) -> Void
  private let token = UInt64.random(in: 1...UInt64.max)
  private let session = UInt64.random(in: 1...UInt64.max)
  private let started = Instant.current()
  /// Whether the folder was cleared of what no ledger knows.
  private var isCleared = false
  private var result: Result<FinishedJob, MapReduceError>?

  /// How long nobody may lead before the job is left to a later run.
  private static let patience = Duration.seconds(60)

  init(
    _ job: PlannedJob, folder: OutputFolder, nodes: [SocketAddress], cancellation: JobCancellation,
    on reactor: Reactor, report: @escaping (JobProgress) -> Void
  ) throws {
    self.job = job
    self.folder = folder
    self.reactor = reactor
    self.cancellation = cancellation
    self.report = report
    var order = job.order
    order.id = job.ledgerID(exactly: true)
    self.order = order
    build = try ChildProcess.buildDigest(of: "/proc/self/exe")
    link = NodeLink(nodes, on: reactor)
    home = JobHome(
      order, paths: order.splits.flatMap { $0.segments.map(\.path) }, folder: folder,
      token: token, on: reactor)
  }

  /// Runs the job to its end on the calling thread.
  func run(listen: SocketAddress) throws -> FinishedJob {
    let listener = try reactor.listen(
      on: listen, mode: .frames(maximumSize: Frame.maximumSize), endpoint: home)
    let submission = Submission(
      build: build, order: order,
      home: JobHomeAddress(
        address: listener.address, machine: Machine.identity, session: session),
      token: token)
    var frame = Frame(.submit, job: order.id)
    frame.payload = submission.payload
    let request = frame
    link.greet = { [unowned self] in link.send(request) }
    link.take = { [unowned self] in try take($0) }
    link.start()
    watch()
    try reactor.run()
    guard let result else {
      throw MapReduceError(.worker, "the home's reactor stopped before the job was done")
    }
    return try result.get()
  }

  private func end(_ result: Result<FinishedJob, MapReduceError>) {
    guard self.result == nil else { return }
    self.result = result
    link.close()
    reactor.stop()
  }

  private func watch() {
    guard result == nil else { return }
    if cancellation.isCancelled {
      // The node hears of it if there is one; a ledger that is left behind knows of an unfinished job.
      link.send(Frame(.cancel, job: order.id))
      return end(.failure(JobCancellation.error))
    }
    if .current() - link.lastServed > ClusterRun.patience {
      return end(
        .failure(
          MapReduceError(
            .ledger, "no node of the cluster leads; run the same job again to go on with it")))
    }
    _ = reactor.schedule(after: .milliseconds(100)) { [weak self] in self?.watch() }
  }

  private func take(_ frame: Frame) throws {
    switch frame.kind {
    case .refused: end(.failure(try MapReduceError(frame.payload)))
    case .accepted: try tellParts(frame)
    case .progress:
      var progress = try JobProgress(frame.payload)
      progress.elapsed = .current() - started
      report(progress)
    case .publish: publish(frame.namedAttempt)
    case .finished where frame.extra == 0: end(.success(try FinishedJob(frame.payload)))
    case .finished: end(.failure(try MapReduceError(frame.payload)))
    default: throw MapReduceError(.protocolViolation, "a node sent what it may not send")
    }
  }

  /// Tells the coordinator which of the parts that were elected are here.
  private func tellParts(_ frame: Frame) throws {
    var reader = PayloadReader(frame.payload)
    let elected = Dictionary(try reader.list { (try $0.number(), try $0.number()) }) { $1 }
    // What workers of an earlier coordinator have handed over since this process began stays.
    let there = isCleared ? folder.parts(of: elected) : folder.clear(keeping: elected)
    isCleared = true
    var answer = Frame(.ready, job: order.id)
    var writer = PayloadWriter()
    writer.put(there.sorted()) { $0.put($1) }
    answer.payload = writer.bytes
    link.send(answer)
  }

  private func publish(_ attempt: Attempt) {
    guard case .reduce(let partition) = attempt.task else { return }
    do {
      try folder.publish(partition: partition, attempt: attempt.number)
      var frame = Frame(.published, job: order.id)
      frame.partition = partition
      link.send(frame)
    } catch {
      var frame = Frame(.homeFailed, job: order.id)
      frame.payload = MapReduceError(wrapping: error).payload
      link.send(frame)
    }
  }
}
