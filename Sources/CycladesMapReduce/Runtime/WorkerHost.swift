internal import CycladesTransport
internal import Glibc

/// A worker process of one job: it was started by its coordinator, and ends with it.
final class WorkerHost: Endpoint {
  private let reactor: Reactor
  private let jobs: JobRegistry
  private let bond: WorkerBond
  private let build: UInt64
  private lazy var tasks = WorkerTasks(
    on: reactor, memoryBytes: bond.memoryBytes, spillFolder: bond.spillFolder
  ) { [unowned self] in reactor.send(control, $0) }
  private var port: UInt16 = 0
  private var control = ConnectionID(rawValue: 0)
  /// Why the worker ended, when that was no order.
  private(set) var failure: MapReduceError?

  init(on reactor: Reactor, jobs: JobRegistry, bond: WorkerBond, build: UInt64) {
    self.reactor = reactor
    self.jobs = jobs
    self.bond = bond
    self.build = build
  }

  /// Listens for other workers, then connects to the coordinator, which will name this one to them.
  func start() throws {
    port = try tasks.listen(on: .loopback()).port
    control = reactor.connect(
      to: .loopback(port: bond.port), mode: .frames(maximumSize: Frame.maximumSize),
      endpoint: self)
  }

  private func stop(_ error: MapReduceError?) {
    failure = failure ?? error
    tasks.leave()
    reactor.stop()
  }

  func opened(_ connection: ConnectionID) {
    var frame = Frame(.hello, job: bond.job)
    frame.payload =
      Hello(token: bond.token, build: build, process: Int(getpid()), port: port).payload
    reactor.send(control, frame)
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    // The end of a job looks like this, and so does the end of its coordinator.
    stop(tasks.job == nil ? MapReduceError(.worker, "the coordinator is gone: \(reason)") : nil)
  }

  func received(_ connection: ConnectionID, frame bytes: Bytes) {
    do {
      let frame = try Frame(verifying: bytes)
      guard frame.job == bond.job else {
        throw MapReduceError(.protocolViolation, "the coordinator sent a frame of another job")
      }
      switch (frame.kind, tasks.job) {
      case (.welcome, nil): try tasks.begin(Welcome(frame.payload), job: bond.job, jobs: jobs)
      case (.refused, nil): stop(try MapReduceError(frame.payload))
      default: try tasks.obey(frame)
      }
    } catch {
      stop(MapReduceError(wrapping: error))
    }
  }
}
