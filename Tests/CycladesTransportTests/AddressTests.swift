import CycladesTransport
import Glibc
import Logging
import Testing

extension TransportTests {
  @Suite("kinds of addresses", .serialized)
  struct AddressTests {
    private func scratchPath() -> String {
      "/tmp/cyclades-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
    }

    /// A client reactor sends a megabyte through an echo and gets it back.
    private func exchange(with address: SocketAddress, _ io: ReactorConfiguration.IO) async throws {
      let bytes = pattern(1 << 20)
      _ = try await withReactor(.on(io)) { reactor in
        let recorder = Recorder()
        recorder.onOpened = {
          reactor.send($0, copying: bytes)
          reactor.finishSending($0)
        }
        _ = reactor.connect(to: address, endpoint: recorder)
        return recorder
      } body: { recorder, _ in
        #expect(await recorder.log.wait { $0.received == bytes.count })
        #expect(Blob(recorder.log.value.bytes) == Blob(bytes))
        #expect(await recorder.log.wait { $0.closed == [.endOfInput] })
      }
    }

    @Test(
      "a Unix socket works like any other, and its name goes with the listener", arguments: backends
    )
    func unixSocket(io: ReactorConfiguration.IO) async throws {
      let path = scratchPath()
      let address = try SocketAddress(path: path)
      _ = try await withReactor(.on(io)) { reactor in
        try reactor.listen(on: address, endpoint: Echo(reactor)).address
      } body: { bound, _ in
        #expect(bound == address && bound.description == "unix:\(path)" && bound.host == path)
        #expect(try SocketAddress(parsing: "unix:\(path)") == address)
        #expect(exists(path))
        try await exchange(with: address, io)
      }
      #expect(!exists(path))
    }

    @Test("a name that a killed process left behind is taken over, one in use is not")
    func staleName() async throws {
      let path = scratchPath()
      let address = try SocketAddress(path: path)
      try leaveSocket(at: path)
      #expect(exists(path))
      _ = try await withReactor { reactor in
        let first = try reactor.listen(on: address, endpoint: Echo(reactor))
        let error = #expect(throws: TransportError.self) {
          try reactor.listen(on: address, endpoint: Echo(reactor))
        }
        #expect(error?.code == .listenFailed && error?.errno == EADDRINUSE)
        return first.address
      } body: { address, _ in
        try await exchange(with: address, .auto)
      }
    }

    @Test("nobody behind a Unix socket's name is a refusal")
    func refusedPath() async throws {
      let address = try SocketAddress(path: scratchPath())
      _ = try await withReactor { reactor in
        let recorder = Recorder()
        _ = reactor.connect(to: address, endpoint: recorder)
        return recorder
      } body: { recorder, _ in
        #expect(await recorder.log.wait { $0.closed.count == 1 })
        #expect(recorder.log.value.closed[0].errno == ENOENT)
      }
    }

    @Test("a path that does not fit is refused by name")
    func longPath() {
      let error = #expect(throws: TransportError.self) {
        try SocketAddress(path: String(repeating: "x", count: 108))
      }
      #expect(error?.code == .addressMalformed)
      #expect(throws: TransportError.self) { try SocketAddress(parsing: "unix:") }
    }

    @Test("IPv6", arguments: backends)
    func ipv6(io: ReactorConfiguration.IO) async throws {
      _ = try await withReactor(.on(io)) { reactor in
        try reactor.listen(
          on: SocketAddress(parsing: "[::1]:0"), endpoint: Echo(reactor)
        ).address
      } body: { address, _ in
        #expect(address.host == "::1" && address.description == "[::1]:\(address.port)")
        try await exchange(with: address, io)
      }
    }

    @Test("reactors that share a port share its connections", arguments: backends)
    func reusePort(io: ReactorConfiguration.IO) async throws {
      let first = try await withReactor(.on(io)) { reactor in
        try reactor.listen(on: .loopback(), sharing: .first, endpoint: Echo(reactor)).address
      } body: { address, _ in
        let second = try await withReactor(.on(io)) { reactor in
          try reactor.listen(on: address, sharing: .joined, endpoint: Echo(reactor)).address
        } body: { shared, _ in
          #expect(shared == address)
          for round in 0..<100 as Range<UInt8> {
            let client = try BlockingClient(address)
            try client.send([round])
            #expect(try client.receive(1) == [round])
          }
        }
        #expect(second.accepted > 0 && second.accepted < 100)
      }
      #expect(first.accepted > 0)
    }

    @Test("a file is read back as it was written, and its end is known", arguments: backends)
    func fileReads(io: ReactorConfiguration.IO) async throws {
      final class Reads: FileCompletion {
        let bytes = Shared<[UInt64: [UInt8]]>([:])
        let errors = Shared<[UInt64: Int]>([:])
        func completed(_ token: UInt64, result: Int) { errors.update { $0[token] = result } }
        func completed(_ token: UInt64, bytes: Bytes) {
          let copy = bytes.span.array
          self.bytes.update { $0[token] = copy }
        }
      }
      let file = ScratchFile()
      let descriptor = file.descriptor
      let content = pattern(700_000)
      try fill(descriptor, content)
      let end = try await withReactor(.on(io)) { reactor in
        let reads = Reads()
        reactor.read(700_000, from: descriptor, at: 0, completion: reads, token: 1)
        reactor.read(1000, from: descriptor, at: 699_500, completion: reads, token: 2)
        reactor.read(16, from: descriptor, at: 700_000, completion: reads, token: 3)
        reactor.read(16, from: -1, at: 0, completion: reads, token: 4)
        reactor.read(2 << 30, from: descriptor, at: 0, completion: reads, token: 5)
        return (reads.bytes, reads.errors)
      } body: { made, _ in
        #expect(await made.0.wait { $0.count == 3 })
        #expect(Blob(made.0.value[1] ?? []) == Blob(content))
        #expect(Blob(made.0.value[2] ?? []) == Blob(Array(content[699_500...])))
        #expect(made.0.value[3] == [])
        #expect(await made.1.wait { $0 == [4: Int(-EBADF), 5: Int(-ENOBUFS)] })
      }
      #expect(end.fileReads >= 4)
    }
  }
}
