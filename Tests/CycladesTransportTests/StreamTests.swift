import CycladesTransport
import Testing

extension TransportTests {
  @Suite("stream connections", .serialized)
  struct StreamTests {
    private func echo(_ configuration: ReactorConfiguration = .init()) -> (
      @Sendable (Reactor) throws -> SocketAddress
    ) {
      { reactor in
        try reactor.listen(on: .loopback(), endpoint: Echo(reactor)).address
      }
    }

    @Test(
      "bytes come back as they were sent",
      arguments: [1, 2, 63, 4096, 16_383, 16_384, 16_385, 100_000, 1 << 20, 8 << 20])
    func echoes(size: Int) async throws {
      let end = try await withReactor(setUp: echo()) { address, _ in
        let client = try BlockingClient(address)
        let bytes = pattern(size)
        // Both directions at once: neither side could hold 8 MiB back.
        async let sent: Void = Task.detached { try client.send(bytes) }.value
        let back = try client.receive(size)
        try await sent
        #expect(back == bytes)
      }
      #expect(end.copiedInBytes == 0)
      #expect(end.sentBytes == UInt64(size))
    }
  }
}
