import CCycladesTesting
import CycladesTransport
import Glibc
import Logging
import Testing

extension TransportTests {
  /// A seccomp filter cannot be taken back, so every test runs in a process of its own.
  @Suite("io_uring refused by the system", .serialized)
  struct RefusalTests {
    @Test("a profile that denies io_uring leaves everything working on epoll, and one line says so")
    func denied() async {
      await #expect(processExitsWith: .success) {
        try refuse(CYC_REFUSE_SETUP | CYC_REFUSE_ENTER | CYC_REFUSE_REGISTER, EPERM)
        try await everythingWorks(because: "a seccomp")
      }
    }

    @Test("a profile that hides io_uring leaves everything working on epoll, and one line says so")
    func hidden() async {
      await #expect(processExitsWith: .success) {
        try refuse(CYC_REFUSE_SETUP | CYC_REFUSE_ENTER | CYC_REFUSE_REGISTER, ENOSYS)
        try await everythingWorks(because: "the kernel")
      }
    }

    @Test("a ring that can be made but not entered is found out before anything depends on it")
    func enterDenied() async {
      await #expect(processExitsWith: .success) {
        try refuse(CYC_REFUSE_ENTER, EPERM)
        try await everythingWorks(because: "a seccomp")
      }
    }

    @Test("a ring that takes no buffers is found out before anything depends on it")
    func registerDenied() async {
      await #expect(processExitsWith: .success) {
        try refuse(CYC_REFUSE_REGISTER, EPERM)
        try await everythingWorks(because: "a seccomp")
      }
    }

    @Test("who insists on io_uring gets an error with the cause")
    func insisting() async {
      await #expect(processExitsWith: .success) {
        try refuse(CYC_REFUSE_SETUP, EPERM)
        var configuration = ReactorConfiguration()
        configuration.io = .uring
        let error = #expect(throws: TransportError.self) {
          try Reactor(configuration, logger: Logger(label: "test"))
        }
        try #require(error?.code == .ringUnavailable && error?.errno == EPERM)
        try #require(error?.message.contains("seccomp") == true)
      }
    }

    @Test("the environment chooses where the configuration leaves it open, and only there")
    func environment() async {
      await #expect(processExitsWith: .success) {
        unsafe setenv("CYCLADES_IO", "epoll", 1)
        try #require(try Reactor(logger: Logger(label: "test")).io == .epoll)
        var configuration = ReactorConfiguration()
        configuration.io = .uring
        try #require(try Reactor(configuration, logger: Logger(label: "test")).io == .uring)
        unsafe setenv("CYCLADES_IO", "smoke", 1)
        let error = #expect(throws: TransportError.self) {
          try Reactor(logger: Logger(label: "test"))
        }
        try #require(error?.code == .invalidConfiguration)
        try #require(error?.message.contains("CYCLADES_IO is \"smoke\"") == true)
      }
    }
  }
}

private func refuse(_ calls: Int, _ errno: Int32) throws {
  unsafe unsetenv("CYCLADES_IO")
  try #require(cyc_testing_refuse_uring(UInt32(calls), errno) == 0)
}

/// Two reactors exchange streams and frames, write a file durably, run timers and take mail.
private func everythingWorks(because cause: String) async throws {
  let start = "reactor uses epoll: io_uring is not available; \(cause)"
  let lines = Shared<[String]>([])
  var logger = Logger(label: "test") { _ in LineCollector(lines: lines) }
  logger.logLevel = .info
  let file = ScratchFile()
  let descriptor = file.descriptor
  let bytes = pattern(3 << 20)
  let frames = (0..<50).map { frame(16 + 8 * $0 * $0 * 10, seed: UInt64($0 + 1)) }
  let streamed = Shared<Shared<Log>?>(nil)
  let framed = Shared<Shared<Log>?>(nil)
  let written = Shared<[UInt64: Int]>([:])
  let ticks = Shared(0)

  let thread = try ReactorThread.start(name: "test", logger: logger) { reactor in
    let stream = try reactor.listen(on: .loopback(), endpoint: Echo(reactor)).address
    let frameEcho = Recorder()
    frameEcho.onFrame = { connection, frame in reactor.send(connection, frame) }
    let mode = Mode.frames(maximumSize: 1 << 20)
    let peers = try reactor.listen(on: .loopback(), mode: mode, endpoint: frameEcho).address

    let streamClient = Recorder()
    streamed.set(streamClient.log)
    streamClient.onOpened = { reactor.send($0, copying: bytes) }
    _ = reactor.connect(to: stream, endpoint: streamClient)
    let frameClient = Recorder()
    framed.set(frameClient.log)
    frameClient.onOpened = { for frame in frames { reactor.send($0, copying: frame) } }
    _ = reactor.connect(to: peers, mode: mode, endpoint: frameClient)

    let results = ResultCollector(results: written)
    let slice = try Bytes(copying: bytes, in: reactor.pool)
    reactor.write(
      [slice, slice], to: descriptor, at: 0, durable: true, completion: results, token: 1)
    reactor.sync(descriptor, completion: results, token: 2)
    reactor.schedule(after: .milliseconds(5)) { ticks.update { $0 += 1 } }
  }
  try #require(await streamed.value!.wait { $0.received == bytes.count })
  try #require(Blob(streamed.value!.value.bytes) == Blob(bytes))
  try #require(await framed.value!.wait { $0.frames.count == frames.count })
  try #require(Blob(framed.value!.value.frames) == Blob(frames))
  try #require(await written.wait { $0 == [1: 2 * bytes.count, 2: 0] })
  try #require(Blob(contents(of: descriptor)) == Blob(bytes + bytes))
  try #require(await ticks.wait { $0 == 1 })
  let io = try await onReactor(of: thread) { $0.io }
  try #require(io == .epoll)

  thread.stop()
  await thread.finished()
  let end = try #require(thread.finalStatistics)
  try #require(
    [end.connections, end.listeners, end.timers, end.operations, end.blocks] == [0, 0, 0, 0, 0])
  let first = try #require(lines.value.first)
  try #require(lines.value.count == 1 && first.hasPrefix(start), "\(lines.value)")
}

private final class ResultCollector: FileCompletion {
  let results: Shared<[UInt64: Int]>
  init(results: Shared<[UInt64: Int]>) { self.results = results }
  func completed(_ token: UInt64, result: Int) { results.update { $0[token] = result } }
}

/// A log that tests read.
private struct LineCollector: LogHandler {
  let lines: Shared<[String]>
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.info

  init(lines: Shared<[String]>) { self.lines = lines }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    lines.update { $0.append("\(event.message)") }
  }
}
