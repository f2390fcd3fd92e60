import CycladesTransport
import Testing

extension TransportTests {
  @Suite("framed connections", .serialized)
  struct FrameTests {
    /// How a stream of frames is cut on its way.
    struct Cut: Sendable, CustomTestStringConvertible {
      let sizes: [Int]
      let chunk: Int
      var testDescription: String { "\(sizes.count) frames in pieces of \(chunk)" }
    }

    private static let small = (0..<60).map { 16 + $0 * 13 % 500 }
    private static let cuts =
      [1, 3, 4, 5, 15, 16, 17, 1000].map { Cut(sizes: small, chunk: $0) }
      + [
        Cut(sizes: (0..<4000).map { 16 + $0 * 7 % 900 }, chunk: 65_536),
        Cut(sizes: (0..<400).map { 1000 + $0 * 997 % 9000 }, chunk: 4099),
        Cut(sizes: [262_144, 16, 262_143, 262_145, 17, 524_288, 100], chunk: 10_007),
        Cut(sizes: [16, 4 << 20, 16, 3 << 20, 1 << 20, 50], chunk: 1 << 20),
        Cut(sizes: [262_128, 262_128, 262_130, 20, 262_120], chunk: 262_128),
      ]

    private func listen(
      maximumSize: Int = 4 << 20, _ prepare: @escaping @Sendable (Reactor, Recorder) -> Void
    ) -> @Sendable (Reactor) throws -> (SocketAddress, Recorder) {
      { reactor in
        let recorder = Recorder()
        prepare(reactor, recorder)
        let listener = try reactor.listen(
          on: .loopback(), mode: .frames(maximumSize: maximumSize), endpoint: recorder)
        return (listener.address, recorder)
      }
    }

    @Test("frames arrive whole wherever the stream is cut", arguments: cuts)
    func frames(_ cut: Cut) async throws {
      let end = try await withReactor(
        setUp: listen { reactor, recorder in
          recorder.onFrame = { reactor.send($0, $1) }
        }
      ) { made, _ in
        let frames = cut.sizes.enumerated().map { frame($1, seed: UInt64($0 + 1)) }
        let bytes = Blob(frames).bytes
        let client = try BlockingClient(made.0)
        async let sent: Void = Task.detached {
          for start in stride(from: 0, to: bytes.count, by: cut.chunk) {
            try client.send(Array(bytes[start..<min(start + cut.chunk, bytes.count)]))
          }
        }.value
        let back = try client.receive(bytes.count)
        try await sent
        #expect(Blob(back) == Blob(bytes))
        #expect(made.1.log.value.frames.map(\.count) == frames.map(\.count))
        #expect(Blob(made.1.log.value.frames) == Blob(frames))
      }
      #expect(end.frames == UInt64(cut.sizes.count))
      #expect(end.copiedOutBytes == 0)
    }

    @Test("frames that are kept stay as they were while others arrive")
    func keeping() async throws {
      let kept = KeptFrames()
      _ = try await withReactor(
        setUp: listen { _, recorder in
          recorder.onFrame = { if $1.byteCount % 3 == 0 { kept.frames.append($1) } }
        }
      ) { made, thread in
        let frames = (0..<2000).map { frame(16 + $0 % 1500, seed: UInt64($0 + 1)) }
        let client = try BlockingClient(made.0)
        try client.send(Blob(frames).bytes)
        #expect(await made.1.log.wait { $0.frames.count == frames.count })
        let contents = try await onReactor(of: thread) { _ in
          defer { kept.frames = [] }
          return kept.frames.map { $0.span.array }
        }
        #expect(Blob(contents) == Blob(frames.filter { $0.count % 3 == 0 }))
      }
    }

    @Test("when all sizes are multiples of eight, every frame is aligned to eight")
    func alignment() async throws {
      let misaligned = Shared(0)
      _ = try await withReactor(
        setUp: listen { _, recorder in
          recorder.onFrame = { _, frame in
            let address = unsafe Int(bitPattern: frame.unsafeStart)
            if address % 8 != 0 { misaligned.update { $0 += 1 } }
          }
        }
      ) { made, _ in
        let frames = (0..<3000).map { frame(16 + $0 * 8 % 1000, seed: UInt64($0 + 1)) }
        let client = try BlockingClient(made.0)
        let bytes = Blob(frames).bytes
        for start in stride(from: 0, to: bytes.count, by: 12_345) {
          try client.send(Array(bytes[start..<min(start + 12_345, bytes.count)]))
        }
        #expect(await made.1.log.wait { $0.frames.count == frames.count })
      }
      #expect(misaligned.value == 0)
    }

    @Test(
      "a size out of range closes only its connection, after the frames before it",
      arguments: [0, 1, 15, 1025, 0x7fff_ffff, 0xffff_ffff] as [UInt32])
    func badSize(_ size: UInt32) async throws {
      _ = try await withReactor(
        setUp: listen(maximumSize: 1024) { reactor, recorder in
          recorder.onFrame = { reactor.send($0, $1) }
        }
      ) { made, _ in
        let good = try BlockingClient(made.0)
        let bad = try BlockingClient(made.0)
        let header = (0..<4).map { UInt8(truncatingIfNeeded: size >> (8 * $0)) }
        try bad.send(frame(1024) + header)
        #expect(await made.1.log.wait { $0.closed == [.protocolViolation] })
        #expect(Blob(made.1.log.value.frames) == Blob(frame(1024)))
        try good.send(frame(16))
        #expect(Blob(try good.receive(16)) == Blob(frame(16)))
      }
    }

    @Test("pausing holds whole frames back and resuming shows all of them")
    func pausing() async throws {
      _ = try await withReactor(
        setUp: listen { reactor, recorder in
          recorder.onFrame = { connection, _ in
            reactor.pauseReading(connection)
            reactor.schedule(after: .microseconds(200)) { reactor.resumeReading(connection) }
          }
        }
      ) { made, _ in
        let frames = (0..<200).map { frame(16 + $0 * 331 % 40_000, seed: UInt64($0 + 1)) }
        let client = try BlockingClient(made.0)
        try client.send(Blob(frames).bytes)
        client.finishSending()
        #expect(await made.1.log.wait { $0.closed == [.endOfInput] })
        #expect(made.1.log.value.frames.map(\.count) == frames.map(\.count))
        #expect(Blob(made.1.log.value.frames) == Blob(frames))
      }
    }

    @Test("frames that the budget cannot hold close the connection that sent them")
    func budget() async throws {
      var configuration = ReactorConfiguration()
      configuration.poolBudgetBytes = 8 << 20
      configuration.receiveBlocks = 16
      _ = try await withReactor(
        configuration,
        setUp: listen(maximumSize: 64 << 20) { _, _ in }
      ) { made, _ in
        let client = try BlockingClient(made.0)
        Task.detached { try client.send(frame(32 << 20)) }
        #expect(await made.1.log.wait { $0.closed == [.outOfBuffers] })
      }
    }
  }
}

/// Frames that a test holds on to, on the reactor's thread.
private final class KeptFrames: @unchecked Sendable {
  var frames: [Bytes] = []
}
