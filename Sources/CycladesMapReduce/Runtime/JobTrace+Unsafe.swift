import Glibc
internal import Synchronization

/// When each task ran and where, in the format that chrome://tracing and Perfetto open.
///
/// Format: Trace Event Format, complete events ("ph": "X"), times in microseconds.
final class JobTrace: Sendable {
  private let path: String?
  private let start = ContinuousClock.now
  private let events = Mutex<[Event]>([])

  private struct Event: Sendable {
    var name: String
    var thread: Int
    var from: Duration
    var to: Duration
  }

  /// Nothing is kept when there is no path.
  init(_ path: String?) { self.path = path }

  /// Time since the start.
  var now: Duration { ContinuousClock.now - start }

  func add(_ name: String, thread: Int, from: Duration) {
    guard path != nil else { return }
    let event = Event(name: name, thread: thread, from: from, to: now)
    events.withLock { $0.append(event) }
  }

  /// Writes the file.
  func write() throws {
    guard let path else { return }
    func microseconds(_ time: Duration) -> Int { Int(time / .microseconds(1)) }
    let lines = events.withLock { events in
      events.map { event in
        "{\"name\":\"\(event.name)\",\"ph\":\"X\",\"pid\":1,\"tid\":\(event.thread),"
          + "\"ts\":\(microseconds(event.from)),\"dur\":\(microseconds(event.to - event.from))}"
      }
    }
    let text = "[\n" + lines.joined(separator: ",\n") + "\n]\n"
    let file = unsafe fopen(path, "w")
    guard let file = unsafe file else { throw Files.failed(.output, "write trace", path) }
    let written = unsafe fputs(text, file)
    guard unsafe fclose(file) == 0, written >= 0 else {
      throw Files.failed(.output, "write trace", path)
    }
  }
}
