// What ThreadSanitizer makes of a contended Mutex, without a line of Cyclades: the slow path of taking it
// is in the standard library, which is not instrumented, so what threads write under the lock, one after
// the other, looks like a race. The sum at the end is right.
import Glibc
import Synchronization

@main
enum Program {
  struct State {
    var count = 0
  }
  static let state = Mutex(State())

  static func work() {
    for _ in 0..<200_000 { state.withLock { $0.count += 1 } }
  }

  static func main() {
    var threads = [pthread_t](repeating: pthread_t(), count: 4)
    for index in threads.indices {
      unsafe pthread_create(
        &threads[index], nil,
        { _ in
          Program.work()
          return nil
        }, nil)
    }
    for thread in threads { pthread_join(thread, nil) }
    precondition(state.withLock { $0.count } == 800_000, "the lock does not exclude")
  }
}
