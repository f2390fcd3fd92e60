// What ThreadSanitizer makes of a continuation, without a line of Cyclades: a thread makes an object
// and resumes a task with it, and the task reads the object. The continuation orders the two, but
// the concurrency runtime is not instrumented and does not say so when a task is resumed before it
// has suspended. The sanitizer calls that a race.
//
// As long as it does, thread.supp is needed; run.sh says when it is not any more.

import Glibc

final class Box: Sendable {
  let number: UInt64
  init(_ number: UInt64) { self.number = number }
}

final class Call: Sendable {
  let number: UInt64
  let resume: @Sendable (Box) -> Void
  init(_ number: UInt64, _ resume: @escaping @Sendable (Box) -> Void) {
    self.number = number
    self.resume = resume
  }
}

func onThread(_ call: Call) {
  var thread = pthread_t()
  pthread_create(
    &thread, nil,
    { argument in
      let call = Unmanaged<Call>.fromOpaque(argument!).takeRetainedValue()
      call.resume(Box(call.number))
      return nil
    }, Unmanaged.passRetained(call).toOpaque())
  pthread_detach(thread)
}

@main
enum Continuation {
  static func main() async {
    var sum: UInt64 = 0
    for round in 0..<3000 as Range<UInt64> {
      let box = await withUnsafeContinuation { (continuation: UnsafeContinuation<Box, Never>) in
        onThread(Call(round) { continuation.resume(returning: $0) })
        if round.isMultiple(of: 2) { usleep(300) }
      }
      sum += box.number
    }
    precondition(sum == 3000 * 2999 / 2)
  }
}
