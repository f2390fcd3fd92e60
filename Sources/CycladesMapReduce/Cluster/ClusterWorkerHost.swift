public import CycladesTransport

/// How a worker serves a cluster.
public struct ClusterWorkerConfiguration: Sendable {
  /// Where other workers pull what this one has mapped. With "every address" as its host, the others
  /// connect to the host that the leading node sees this worker at.
  public var listen = SocketAddress.loopback()
  /// The memory that it may take for data, 64 MiB or more.
  public var memoryBytes = 2 << 30
  /// Where spill files go.
  public var spillFolder = "/tmp"
  /// Whether input files are read here when the job's home is on this machine; they are asked for
  /// otherwise.
  public var usesLocalFiles = true

  /// Makes a configuration with defaults.
  public init() {}
}

/// A worker of a cluster: serves whichever node leads, and keeps what it holds while that changes.
final class ClusterWorkerHost {
  private let reactor: Reactor
  private let configuration: ClusterWorkerConfiguration
  private let jobs: JobRegistry
  private let build: UInt64
  private let cancellation: JobCancellation
  private let link: NodeLink
  private let tasks: WorkerTasks
  private let id = WorkerID(rawValue: Int.random(in: 1...Int.max))
  /// Why it ended, when nobody asked for that.
  private(set) var failure: MapReduceError?

  init(
    on reactor: Reactor, nodes: [SocketAddress], _ configuration: ClusterWorkerConfiguration,
    jobs: JobRegistry, build: UInt64, cancellation: JobCancellation
  ) {
    self.reactor = reactor
    self.configuration = configuration
    self.jobs = jobs
    self.build = build
    self.cancellation = cancellation
    let link = NodeLink(nodes, on: reactor)
    self.link = link
    tasks = WorkerTasks(
      on: reactor, memoryBytes: configuration.memoryBytes,
      spillFolder: configuration.spillFolder, usesLocalFiles: configuration.usesLocalFiles
    ) { link.send($0) }
  }

  func start() throws {
    let address = try tasks.listen(on: configuration.listen)
    var hello = Frame(.enlist, job: 0)
    hello.payload = Enlistment(build: build, worker: id, address: address).payload
    let greeting = hello
    link.greet = { [unowned self] in link.send(greeting) }
    link.take = { [unowned self] in try take($0) }
    link.start()
    watch()
  }

  private func watch() {
    if cancellation.isCancelled { return stop(nil) }
    _ = reactor.schedule(after: .milliseconds(100)) { [weak self] in self?.watch() }
  }

  private func stop(_ error: MapReduceError?) {
    failure = error
    tasks.leave()
    link.close()
    reactor.stop()
  }

  private func take(_ frame: Frame) throws {
    switch frame.kind {
    case .refused: stop(try MapReduceError(frame.payload))
    case .welcome:
      try tasks.begin(Welcome(frame.payload), job: frame.job, jobs: jobs)
      var answer = Frame(.holdings, job: frame.job)
      answer.payload = tasks.holdings.payload
      link.send(answer)
    case .dismissed: if tasks.job == frame.job { tasks.leave() }
    default: if tasks.job == frame.job { try tasks.obey(frame) }
    }
  }
}
