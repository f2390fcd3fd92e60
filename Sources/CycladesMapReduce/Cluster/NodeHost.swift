internal import CycladesTransport
internal import Logging

/// A node of a cluster: coordinates jobs while it leads, and sends everybody to the leader while it does
/// not.
///
/// What must not be lost is in the ledger. Everything else is asked for anew by whoever leads next: homes
/// ask for their jobs again, workers tell what they hold. So a node that stops leading closes its
/// connections and forgets, and a home or worker that is gone is the same as one that will be back.
///
/// Jobs run one after the other, each with all workers, in the order in which they were asked for.
///
///   home    submit ─> accepted (parts that are done) ─> ready ─> … publish ─> published … finished
///   worker  enlist ─> welcome (a job) ─> holdings ─> orders and reports … dismissed
final class NodeHost: Endpoint, JobSurroundings {
  let reactor: Reactor
  private let jobs: JobRegistry
  private let build: UInt64
  private let ledger: any DecisionLog
  private let diesAtDecision: Int?
  private var isLeading = false
  /// Where nodes take jobs, the leader first if it is known.
  private var nodes: [SocketAddress] = []
  private var isLeaderKnown = false
  private var workers: [ConnectionID: Enlisted] = [:]
  private var homes: [ConnectionID: Submission] = [:]
  /// Homes whose job waits or runs, in order.
  private var queue: [ConnectionID] = []
  private var current: Running?
  /// Workers of the running job that may be back in a moment.
  private var missing: [WorkerID: Timer] = [:]
  /// Set when it has ended, for its owner.
  private(set) var isClosed = false

  private struct Enlisted {
    let id: WorkerID
    let address: SocketAddress
    /// Whether it has told what it holds of the running job.
    var hasJoined = false
  }

  private struct Running {
    let home: ConnectionID
    let submission: Submission
    let driver: JobDriver
    var record: JobRecord?
    /// Whether the home has told which parts it has, so that workers may begin.
    var hasBegun = false
  }

  /// How long a worker may be without a connection before it counts as lost, and how long, in
  /// milliseconds, a new leader waits for workers that hold what is done.
  private static let absence = Duration.milliseconds(400)
  private static let grace: UInt64 = 1500
  private static let beat = Duration.milliseconds(500)

  init(
    on reactor: Reactor, jobs: JobRegistry, build: UInt64, ledger: any DecisionLog,
    diesAtDecision: Int?
  ) {
    self.reactor = reactor
    self.jobs = jobs
    self.build = build
    self.ledger = ledger
    self.diesAtDecision = diesAtDecision
  }

  func listen(on address: SocketAddress) throws -> SocketAddress {
    let listener = try reactor.listen(
      on: address, mode: .frames(maximumSize: Frame.maximumSize), endpoint: self)
    tick()
    beat()
    return listener.address
  }

  func close() {
    isClosed = true
    lead(false)
  }

  // MARK: Leading

  /// What the group says of its nodes and their leader.
  func learn(nodes: [SocketAddress], isLeaderKnown: Bool, isLeading: Bool) {
    self.nodes = nodes
    self.isLeaderKnown = isLeaderKnown
    if isLeading != self.isLeading { lead(isLeading) }
  }

  private func lead(_ leads: Bool) {
    isLeading = leads
    guard !leads else { return }
    suspend()
    for connection in Array(workers.keys) + Array(homes.keys) {
      reactor.close(connection, flush: true)
    }
    workers = [:]
    homes = [:]
    queue = []
  }

  private func sendElsewhere(_ connection: ConnectionID) {
    var frame = frameOfNodes(.elsewhere)
    frame.extra = isLeaderKnown ? 1 : 0
    reactor.send(connection, frame)
  }

  private func frameOfNodes(_ kind: FrameKind) -> Frame {
    var writer = PayloadWriter()
    writer.put(nodes) { $0.put($1) }
    var frame = Frame(kind, job: 0)
    frame.payload = writer.bytes
    return frame
  }

  private func beat() {
    guard !isClosed else { return }
    let frame = frameOfNodes(.nodes)
    for connection in workers.keys { reactor.send(connection, frame) }
    for connection in homes.keys { reactor.send(connection, frame) }
    _ = reactor.schedule(after: NodeHost.beat) { [weak self] in self?.beat() }
  }

  private func tick() {
    guard !isClosed else { return }
    if let current, current.hasBegun {
      current.driver.tick()
      sendProgress()
    }
    _ = reactor.schedule(after: .milliseconds(100)) { [weak self] in self?.tick() }
  }

  private func sendProgress() {
    guard let current else { return }
    send(.progress, to: current.home) { $0.payload = current.driver.progress.payload }
  }

  // MARK: Frames

  func received(_ connection: ConnectionID, frame bytes: Bytes) {
    do {
      let frame = try Frame(verifying: bytes)
      if let worker = workers[connection] {
        try take(frame, from: worker, connection)
      } else if let submission = homes[connection] {
        try take(frame, of: submission, connection)
      } else {
        try greet(frame, connection)
      }
    } catch {
      reactor.logger.warning("peer dropped", metadata: ["reason": "\(error)"])
      reactor.close(connection, flush: false, reason: .protocolViolation)
    }
  }

  private func greet(_ frame: Frame, _ connection: ConnectionID) throws {
    guard isLeading else { return sendElsewhere(connection) }
    switch frame.kind {
    case .enlist: try enlist(Enlistment(frame.payload), connection)
    case .submit: try submit(Submission(frame.payload), connection)
    case .listJobs: ask({ try await $0.read([]) }, .jobs, connection) { $0.payload = $1 }
    case .cancelJob:
      let job = frame.job
      ask(
        { try await MapReduce.cancel(job, in: $0) ? [1] : [0] }, .cancelled, connection
      ) { $0.extra = UInt64($1[0]) }
      if let current, current.submission.order.id == job, current.hasBegun {
        current.driver.step(.stopped(JobCancellation.error))
      }
    default: throw MapReduceError(.protocolViolation, "a stranger did not say what it wants")
    }
  }

  private func send(
    _ kind: FrameKind, to connection: ConnectionID, _ fill: (inout Frame) -> Void = { _ in }
  ) {
    var frame = Frame(kind, job: homes[connection]?.order.id ?? 0)
    fill(&frame)
    reactor.send(connection, frame)
  }

  private func refuse(_ connection: ConnectionID, _ error: MapReduceError) {
    send(.refused, to: connection) { $0.payload = error.payload }
  }

  private func check(_ build: UInt64, _ who: String) throws {
    guard build == self.build else {
      throw MapReduceError(
        .worker, "\(who) is another build than the nodes of the cluster; start the same on all")
    }
  }

  /// Asks the ledger on a task and answers on the reactor.
  private func ask(
    _ question: @escaping @Sendable (any DecisionLog) async throws -> [UInt8], _ kind: FrameKind,
    _ connection: ConnectionID, _ fill: @escaping @Sendable (inout Frame, [UInt8]) -> Void
  ) {
    let (ledger, mailbox) = (ledger, reactor.mailbox)
    Task {
      var frame: Frame
      do {
        let answer = try await question(ledger)
        frame = Frame(kind, job: 0)
        fill(&frame, answer)
      } catch {
        frame = Frame(.refused, job: 0)
        frame.payload = MapReduceError(.ledger, "the ledger does not answer", cause: error).payload
      }
      let complete = frame
      mailbox.post { reactor in reactor.send(connection, complete) }
    }
  }

  // MARK: Homes

  private func submit(_ submission: Submission, _ connection: ConnectionID) throws {
    do {
      try check(submission.build, "the program that asks")
      _ = try jobs.code(submission.order.setup.name)
    } catch let error as MapReduceError {
      return refuse(connection, error)
    }
    var submission = submission
    submission.home.address = seen(submission.home.address, connection)
    for (other, known) in homes where known.order.id == submission.order.id {
      if known.home.session != submission.home.session {
        let name = submission.order.setup.name
        return refuse(
          connection, MapReduceError(.ledger, "this very job of '\(name)' runs already"))
      }
      // The same home on a new connection.
      forget(other)
      reactor.close(other, flush: false)
    }
    homes[connection] = submission
    queue.append(connection)
    startNext()
  }

  /// An address with the host that this node sees in place of "every address".
  private func seen(_ address: SocketAddress, _ connection: ConnectionID) -> SocketAddress {
    guard ["0.0.0.0", "::"].contains(address.host) else { return address }
    return reactor.peerAddress(connection)?.withPort(address.port) ?? address
  }

  private func take(_ frame: Frame, of submission: Submission, _ connection: ConnectionID) throws {
    switch frame.kind {
    case .cancel:
      if let current, current.home == connection, current.hasBegun {
        current.driver.step(.stopped(JobCancellation.error))
      } else {
        finish(connection, .failure(JobCancellation.error))
      }
    case .ready where current?.home == connection && current?.hasBegun == false:
      var reader = PayloadReader(frame.payload)
      begin(partsThere: Set(try reader.list { try $0.number() }))
    case .published where current?.home == connection:
      current?.driver.step(.published(partition: frame.partition))
      sendProgress()
    case .homeFailed where current?.home == connection:
      current?.driver.step(.stopped(try MapReduceError(frame.payload)))
    default: throw MapReduceError(.protocolViolation, "a home sent what it may not send")
    }
  }

  private func startNext() {
    guard current == nil, isLeading, let home = queue.first, let submission = homes[home] else {
      return
    }
    let order = submission.order
    let counters = (try? jobs.code(order.setup.name).counters) ?? []
    let driver = JobDriver(order, counters: counters, trace: JobTrace(nil), in: self)
    driver.noteDecision = { [diesAtDecision] in
      if $0 == diesAtDecision { ChildProcess.killSelf() }
    }
    current = Running(home: home, submission: submission, driver: driver)
    driver.open(ledger, as: order.id, session: submission.home.session, on: reactor) {
      [weak self] record in
      guard let self, self.current?.driver === driver else { return }
      current?.record = record
      send(.accepted, to: home) {
        var writer = PayloadWriter()
        writer.put(record.parts.sorted { $0.key < $1.key }) {
          $0.put($1.key)
          $0.put($1.value.attempt)
        }
        $0.payload = writer.bytes
      }
    }
  }

  private func begin(partsThere: Set<Int>) {
    guard var record = current?.record else { return }
    record.parts = record.parts.filter { partsThere.contains($0.key) }
    current?.hasBegun = true
    current?.driver.resume(record, grace: record.incarnation > 1 ? NodeHost.grace : 0)
    for connection in workers.keys { welcome(connection) }
  }

  /// Leaves the running job to whoever is asked for it next; its workers keep what they hold.
  private func suspend() {
    guard let running = current else { return }
    current = nil
    running.driver.close()
    queue.removeAll { $0 == running.home }
    for timer in missing.values { reactor.cancel(timer) }
    missing = [:]
    for connection in workers.keys { workers[connection]?.hasJoined = false }
  }

  private func forget(_ home: ConnectionID) {
    homes[home] = nil
    queue.removeAll { $0 == home }
    if current?.home == home {
      suspend()
      startNext()
    }
  }

  private func finish(_ home: ConnectionID, _ result: Result<FinishedJob, MapReduceError>) {
    let job = homes[home]?.order.id ?? 0
    send(.finished, to: home) {
      switch result {
      case .success(let finished): $0.payload = finished.payload
      case .failure(let error):
        $0.extra = 1
        $0.payload = error.payload
      }
    }
    for connection in workers.keys { reactor.send(connection, Frame(.dismissed, job: job)) }
    forget(home)
  }

  // MARK: What the driver asks for

  func send(_ frame: Frame, to worker: WorkerID) {
    guard let connection = workers.first(where: { $0.value.id == worker })?.key else { return }
    reactor.send(connection, frame)
  }

  func path(partition: Int, attempt: Int) -> String { "" }

  func publish(partition: Int, attempt: Int) {
    guard let current else { return }
    send(.publish, to: current.home) {
      $0.set(Attempt(task: .reduce(partition), number: attempt))
    }
  }

  /// Workers of a cluster come by themselves.
  func startWorker() {}

  func ended(_ result: Result<JobSummary, MapReduceError>) {
    guard let current else { return }
    switch result {
    case .success(var summary):
      summary.complete(with: current.submission.order.summary)
      let finished = FinishedJob(
        summary: summary, parts: current.driver.parts, badRecords: current.driver.badRecords)
      finish(current.home, .success(finished))
    case .failure(let error) where error.code == .ledger:
      // Somebody else may go on with it.
      reactor.close(current.home, flush: true)
      forget(current.home)
    case .failure(let error): finish(current.home, .failure(error))
    }
  }

  // MARK: Workers

  private func enlist(_ enlistment: Enlistment, _ connection: ConnectionID) throws {
    do { try check(enlistment.build, "the worker") } catch let error as MapReduceError {
      return refuse(connection, error)
    }
    for (other, known) in workers where known.id == enlistment.worker {
      // The same worker on a new connection.
      workers[other] = nil
      reactor.close(other, flush: false)
    }
    workers[connection] = Enlisted(
      id: enlistment.worker, address: seen(enlistment.address, connection))
    reactor.send(connection, frameOfNodes(.nodes))
    welcome(connection)
  }

  /// Tells a worker of the running job; it answers with what it holds of it.
  private func welcome(_ connection: ConnectionID) {
    guard let current, current.hasBegun, let worker = workers[connection] else { return }
    let submission = current.submission
    var frame = Frame(.welcome, job: submission.order.id)
    frame.payload =
      Welcome(
        submission.order, worker: worker.id, token: submission.token, home: submission.home
      ).payload
    reactor.send(connection, frame)
  }

  private func take(
    _ frame: Frame, from worker: Enlisted, _ connection: ConnectionID
  ) throws {
    // What it sent before it heard that its job is over, or of another one, is of no use.
    guard let current, current.hasBegun, frame.job == current.submission.order.id else { return }
    if frame.kind == .holdings {
      workers[connection]?.hasJoined = true
      if let timer = missing.removeValue(forKey: worker.id) { reactor.cancel(timer) }
      let holdings = try WorkerHoldings(frame.payload)
      return current.driver.join(worker.id, at: worker.address, holdings)
    }
    guard worker.hasJoined else { return }
    try current.driver.take(frame, from: worker.id)
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    if homes[connection] != nil { forget(connection) }
    guard let worker = workers.removeValue(forKey: connection), worker.hasJoined, current != nil
    else { return }
    missing[worker.id] = reactor.schedule(after: NodeHost.absence) { [weak self] in
      guard let self, missing.removeValue(forKey: worker.id) != nil else { return }
      reactor.logger.info("worker lost", metadata: ["worker": "\(worker.id.rawValue)"])
      current?.driver.lose(worker.id)
    }
  }
}
