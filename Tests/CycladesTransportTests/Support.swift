import CycladesTransport
import Logging
import Synchronization
import Testing

/// The suites' common parent; what creates rings runs one test at a time.
@Suite("transport", .serialized, .timeLimit(.minutes(1)))
struct TransportTests {}

/// The ways to reach the kernel that there are on this machine.
let backends: [ReactorConfiguration.IO] = {
  let hasRing = (try? Reactor(.on(.uring), logger: Logger(label: "test"))) != nil
  return hasRing ? [.uring, .epoll] : [.epoll]
}()

extension ReactorConfiguration {
  /// The defaults, with one way to reach the kernel.
  static func on(_ io: IO) -> ReactorConfiguration {
    var configuration = ReactorConfiguration()
    configuration.io = io
    return configuration
  }
}

/// Runs a reactor thread around `body`, stops it, and demands that nothing is left behind.
func withReactor<T: Sendable>(
  _ configuration: ReactorConfiguration = ReactorConfiguration(),
  setUp: @escaping @Sendable (Reactor) throws -> T, body: (T, ReactorThread) async throws -> Void,
  sourceLocation: SourceLocation = #_sourceLocation
) async throws -> ReactorStatistics {
  let made = Shared<T?>(nil)
  let thread = try ReactorThread.start(
    name: "test", configuration: configuration, logger: Logger(label: "test")
  ) { reactor in
    let value = try setUp(reactor)
    made.set(value)
  }
  do {
    try await body(made.value!, thread)
  } catch {
    thread.stop()
    await thread.finished()
    throw error
  }
  thread.stop()
  await thread.finished()
  let end = try #require(thread.finalStatistics, sourceLocation: sourceLocation)
  #expect(thread.failure == nil, sourceLocation: sourceLocation)
  #expect(
    [end.connections, end.listeners, end.timers, end.operations, end.blocks] == [0, 0, 0, 0, 0],
    "connections, listeners, timers, operations, blocks left behind",
    sourceLocation: sourceLocation)
  return end
}

/// A value that the reactor's thread writes and the test reads.
final class Shared<Value: Sendable>: Sendable {
  private let storage: Mutex<Value>
  init(_ value: Value) { storage = Mutex(value) }
  var value: Value { storage.withLock { $0 } }
  func set(_ value: Value) { storage.withLock { $0 = value } }
  func update(_ body: (inout Value) -> Void) { storage.withLock { body(&$0) } }

  /// Waits, at most ten seconds, until the value is as wanted.
  func wait(_ condition: (Value) -> Bool) async -> Bool {
    for _ in 0..<5000 {
      if condition(value) { return true }
      try? await Task.sleep(for: .milliseconds(2))
    }
    return false
  }
}

/// What an endpoint saw, for the test to look at.
struct Log: Sendable {
  var opened: [ConnectionID] = []
  var bytes: [UInt8] = []
  var received = 0
  var calls = 0
  var frames: [[UInt8]] = []
  var inputEnds = 0
  var drained = 0
  var closed: [CloseReason] = []
}

/// An endpoint that writes everything down, and does with input what the test says.
///
/// Unchecked: tests hand it to code on its reactor's thread, and touch only `log` from elsewhere.
final class Recorder: Endpoint, @unchecked Sendable {
  let log = Shared(Log())
  var keepsBytes = true
  var onOpened: ((ConnectionID) -> Void)?
  var onReceived: ((ConnectionID, borrowing RawSpan) -> Progress)?
  var onFrame: ((ConnectionID, Bytes) -> Void)?
  var onDrained: ((ConnectionID) -> Void)?
  var end = InputEnd.close

  func opened(_ connection: ConnectionID) {
    log.update { $0.opened.append(connection) }
    onOpened?(connection)
  }

  func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
    let progress = onReceived?(connection, bytes) ?? Progress(consumed: bytes.byteCount)
    let consumed = keepsBytes ? bytes.extracting(first: progress.consumed).array : []
    log.update {
      $0.calls += 1
      $0.received += progress.consumed
      $0.bytes += consumed
    }
    return progress
  }

  func received(_ connection: ConnectionID, frame: Bytes) {
    let copy = frame.span.array
    log.update { $0.frames.append(copy) }
    onFrame?(connection, frame)
  }

  func inputEnded(_ connection: ConnectionID) -> InputEnd {
    log.update { $0.inputEnds += 1 }
    return end
  }

  func drained(_ connection: ConnectionID) {
    log.update { $0.drained += 1 }
    onDrained?(connection)
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    log.update { $0.closed.append(reason) }
  }
}

/// Sends everything back.
final class Echo: Endpoint {
  let reactor: Reactor
  init(_ reactor: Reactor) { self.reactor = reactor }
  func received(_ connection: ConnectionID, _ bytes: RawSpan) -> Progress {
    reactor.send(connection, copying: bytes)
    return Progress(consumed: bytes.byteCount)
  }
}

/// Random bytes, repeated with a period that no block size is a multiple of.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
  let period: [UInt8] = (0..<min(count, 4099)).map { _ in
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return UInt8(truncatingIfNeeded: state)
  }
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count + period.count)
  while bytes.count < count { bytes += period }
  bytes.removeLast(bytes.count - count)
  return bytes
}

/// Bytes whose comparison is fast in debug builds and whose failure does not flood the log.
struct Blob: Equatable, CustomStringConvertible {
  let bytes: [UInt8]
  init(_ bytes: [UInt8]) { self.bytes = bytes }
  init(_ frames: [[UInt8]]) { bytes = frames.reduce(into: []) { $0 += $1 } }
  static func == (a: Blob, b: Blob) -> Bool {
    a.bytes.count == b.bytes.count && isSame(a.bytes, b.bytes)
  }
  var description: String { "\(bytes.count) bytes, \(bytes.prefix(8)) ..." }
}

/// Lets the reactor of a thread do something and waits for what it returns.
func onReactor<T: Sendable>(
  of thread: ReactorThread, _ body: @escaping @Sendable (Reactor) -> T
) async throws -> T {
  let result = Shared<T?>(nil)
  try #require(thread.mailbox.post { result.set(body($0)) })
  try #require(await result.wait { $0 != nil })
  return result.value!
}

/// One frame of `size` bytes, its size in front.
func frame(_ size: Int, seed: UInt64 = 1) -> [UInt8] {
  var bytes = pattern(size, seed: seed)
  for i in 0..<4 { bytes[i] = UInt8(truncatingIfNeeded: size >> (8 * i)) }
  return bytes
}
