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
        let end = try await withReactor { reactor in
          try reactor.listen(on: .loopback(), endpoint: Echo(reactor)).address
        } body: { address, _ in
          let first = try BlockingClient(address)
          try first.send([1])
          try #require(try first.receive(1) == [1])
          try await Task.sleep(for: .milliseconds(1))
          // One more descriptor: the second client's own. None is left to accept it with.
          let usual = limitDescriptors(to: lowestFreeDescriptor() + 1)
          let second = try BlockingClient(address)
          try second.send([2])
          try first.send([3])
          try #require(try first.receive(1) == [3])
          // Not Task.sleep: the runtime may want a descriptor for its timer.
          usleep(120_000)
          _ = limitDescriptors(to: usual)
          try #require(try second.receive(1) == [2])
        }
        try #require(end.accepted == 2)
      }
    }

    @Test("a ring that the system refuses is a typed error with the cause")
    func refusedRing() async {
      await #expect(processExitsWith: .success) {
        // The waker takes the last descriptor, the ring finds none.
        _ = limitDescriptors(to: lowestFreeDescriptor() + 1)
        let error = #expect(throws: TransportError.self) {
          try Reactor(logger: Logger(label: "test"))
        }
        try #require(error?.code == .ringUnavailable && error?.errno == EMFILE)
        try #require(error?.description == "io_uring is not available: Too many open files")
      }
    }
  }
}
