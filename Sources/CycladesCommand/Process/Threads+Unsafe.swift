import Glibc
import Synchronization

/// Calls `body` on a thread of its own at the first SIGINT, SIGTERM or SIGHUP, in place of dying.
///
/// The signal handler writes a byte to a pipe and a thread reads it, so `body` may do anything,
/// whichever threads there are and whatever they block.
func onInterruption(_ body: @escaping @Sendable (Int32) -> Void) {
  var ends: [Int32] = [-1, -1]
  precondition(unsafe pipe(&ends) == 0, "cannot make a pipe: error \(errno)")
  for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  interruptionPipe.store(ends[1], ordering: .relaxed)
  for number in [SIGINT, SIGTERM, SIGHUP] {
    signal(number) { number in
      var byte = UInt8(truncatingIfNeeded: number)
      _ = unsafe write(interruptionPipe.load(ordering: .relaxed), &byte, 1)
    }
  }
  let readEnd = ends[0]
  startThread {
    var byte: UInt8 = 0
    while unsafe read(readEnd, &byte, 1) < 0 && errno == EINTR {}
    body(Int32(byte))
  }
}

private let interruptionPipe = Atomic<Int32>(-1)

/// A value that is computed on a thread of its own.
final class Background<Value: Sendable>: Sendable {
  private let result = Mutex<Result<Value, CommandFailure>?>(nil)

  init(_ body: @escaping @Sendable () throws(CommandFailure) -> Value) {
    startThread { [self] in
      do throws(CommandFailure) {
        let value = try body()
        result.withLock { $0 = .success(value) }
      } catch {
        result.withLock { $0 = .failure(error) }
      }
    }
  }

  /// The value once it is there, or the failure once there is one.
  func poll() throws(CommandFailure) -> Value? {
    try result.withLock { $0 }?.get()
  }
}

/// Starts a detached thread.
func startThread(_ body: @escaping @Sendable () -> Void) {
  final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  let box = unsafe Unmanaged.passRetained(Box(body))
  let result = unsafe pthread_create(
    &thread, nil,
    { argument in
      unsafe Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
      return nil
    }, box.toOpaque())
  precondition(result == 0, "the system refuses another thread: error \(result)")
  pthread_detach(thread)
}

/// Sleeps the calling thread.
func pause(milliseconds: Int) { usleep(UInt32(milliseconds) * 1000) }
