internal import CycladesTransport
package import Logging

/// How fast one process pulls from another what that has mapped: blocks as they were sealed, every one
/// verified, credits and all, by the code that workers run.
package struct ShuffleMeasurement {
  private let job: UInt64 = 1
  private let token: UInt64 = 2
  private let logger: Logger

  package init(logger: Logger) { self.logger = logger }

  private func makeReactor() throws -> Reactor {
    var configuration = ReactorConfiguration()
    configuration.poolBudgetBytes = 1 << 31
    configuration.receiveBlocks = 16
    return try Reactor(configuration, logger: logger)
  }

  /// Maps a file of lines for sorting, then serves the output until the last puller has gone.
  ///
  /// - Parameter ready: Called with the port.
  package func serve(_ path: String, ready: (UInt16) -> Void) throws {
    let reactor = try makeReactor()
    var jobs = JobRegistry()
    jobs.register(Sort.self)
    let configuration = JobConfiguration(job: Sort.name, inputs: [path], output: "/nonexistent")
    let planned = try PlannedJob(configuration.over(1 << 30), jobs: jobs)
    let share = MemoryShare(budget: 8 << 30, threads: 1)
    let memory = try TaskMemory(
      pool: reactor.pool,
      store: BlockStore(pool: reactor.pool, folder: "/tmp", limit: share.blockBytes), share: share)
    var setup = planned.setup
    setup.partitions = 1
    guard let split = planned.plan.splits.first, planned.plan.splits.count == 1 else {
      throw MapReduceError(.usage, "the file must have 1 byte to 1 GiB")
    }
    let task = try MapTask(
      MapAttempt(job: job, map: 0, attempt: 0), split, code: planned.code, setup: setup,
      memory: memory)
    while try task.step() {}
    _ = try task.finish()
    let server = ShuffleServer(on: reactor)
    server.serve(job: job, token: token)
    server.keep(task.output)
    let gate = Gate(server) { reactor.stop() }
    let listener = try reactor.listen(
      on: .loopback(), mode: .frames(maximumSize: Frame.maximumSize), endpoint: gate)
    ready(listener.address.port)
    try reactor.run()
  }

  /// Passes everything on to the server, and ends with the connection.
  private final class Gate: Endpoint {
    private let server: ShuffleServer
    private let end: () -> Void

    init(_ server: ShuffleServer, _ end: @escaping () -> Void) {
      self.server = server
      self.end = end
    }

    func received(_ connection: ConnectionID, frame: Bytes) {
      server.received(connection, frame: frame)
    }

    func closed(_ connection: ConnectionID, _ reason: CloseReason) {
      server.closed(connection, reason)
      end()
    }
  }

  /// Pulls everything so many times; bytes of blocks and seconds.
  package func pull(port: UInt16, rounds: Int) throws -> (byteCount: Int, seconds: Double) {
    let reactor = try makeReactor()
    let client = ShuffleClient(on: reactor)
    client.serve(job: job, token: token)
    let source = PeerSource(
      attempt: 0, worker: WorkerID(rawValue: 0), address: .loopback(port: port))
    var (byteCount, left) = (0, rounds)
    var start = Instant.current()
    var end = start
    func begin() {
      client.fetch = ShuffleFetch(
        partition: 0, sources: [source], now: reactor.now.nanoseconds)
    }
    func step() {
      guard let fetch = client.fetch else { return }
      while let block = fetch.next(now: reactor.now.nanoseconds) {
        // The first block is when everything has begun: connected, and memory touched once.
        if byteCount == 0 { start = .current() }
        byteCount += block.frame.byteCount
      }
      for pull in fetch.takePulls() { client.send(pull, partition: 0) }
      guard fetch.waitingFor == nil else { return }
      left -= 1
      end = .current()
      if left > 0 {
        begin()
        step()
      } else {
        client.fetch = nil
        reactor.stop()
      }
    }
    client.wake = step
    begin()
    step()
    try reactor.run()
    client.wake = {}
    return (byteCount, (end - start) / .seconds(1))
  }
}

extension JobConfiguration {
  /// The same with one split of so many bytes.
  fileprivate func over(_ splitBytes: Int) -> JobConfiguration {
    var copy = self
    copy.splitBytes = splitBytes
    return copy
  }
}
