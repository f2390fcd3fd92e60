import CycladesTransport
import Glibc
import Logging
import Testing

extension TransportTests {
  /// What needs limits of the process changed runs in a process of its own.
  @Suite("limits of the process", .serialized)
  struct LimitTests {
    @Test("out of descriptors, accepting rests and goes on when there are some again")
    func descriptors() async {
      await #expect(processExitsWith: .success) {
        for io in backends { try await runOutOfDescriptors(io) }
      }
    }

    @Test("a ring that the system refuses is a typed error with the cause")
    func refusedRing() async {
      await #expect(processExitsWith: .success) {
        // The waker takes the last descriptor, the ring finds none.
        _ = limitDescriptors(to: lowestFreeDescriptor() + 1)
        let names = [ReactorConfiguration.IO.uring: "io_uring", .epoll: "epoll"]
        for (io, name) in names {
          let error = #expect(throws: TransportError.self) {
            try Reactor(.on(io), logger: Logger(label: "test"))
          }
          try #require(error?.code == .ringUnavailable && error?.errno == EMFILE)
          try #require(error?.description == "\(name) is not available: Too many open files")
        }
      }
    }
  }
}

private func runOutOfDescriptors(_ io: ReactorConfiguration.IO) async throws {
  // A ring looks at the limit when it starts to accept: so it is filled, not lowered, later.
  let usual = limitDescriptors(to: 100)
  let end = try await withReactor(.on(io)) { reactor in
    try reactor.listen(on: .loopback(), endpoint: Echo(reactor)).address
  } body: { address, _ in
    let first = try BlockingClient(address)
    try first.send([1])
    try #require(try first.receive(1) == [1])
    try await Task.sleep(for: .milliseconds(1))
    // One is left for the second client's own socket, and none to accept it with.
    var fillers = allFreeDescriptors()
    close(fillers.removeLast())
    let second = try BlockingClient(address)
    try second.send([2])
    try first.send([3])
    try #require(try first.receive(1) == [3])
    // Not Task.sleep: the runtime may want a descriptor for its timer.
    usleep(120_000)
    for filler in fillers { close(filler) }
    try #require(try second.receive(1) == [2])
  }
  _ = limitDescriptors(to: usual)
  try #require(end.accepted == 2 && end.acceptRests > 0, "\(end)")
}
