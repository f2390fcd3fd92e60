import CycladesTransport
import Logging
import Testing

extension TransportTests {
  @Suite("sealed frames")
  struct SealedFrameTests {
    @Test("every flipped bit of a frame is found")
    func flippedBits() throws {
      let whole = SealedFrame.encode(kind: 300, pattern(100))
      #expect(try check(whole) == 300)
      for bit in 0..<whole.count * 8 {
        var damaged = whole
        damaged[bit / 8] ^= 1 << (bit % 8)
        #expect(throws: SealedFrame.Fault.self) { try check(damaged) }
      }
    }

    @Test(
      "sizes around what is hashed inline, and none at all", arguments: [0, 1, 239, 240, 241, 5000])
    func sizes(payload: Int) throws {
      let whole = SealedFrame.encode(kind: 1, pattern(payload))
      #expect(whole.count == payload + SealedFrame.headerSize)
      #expect(try check(whole) == 1)
      #expect(throws: SealedFrame.Fault.size) { try check(Array(whole.dropLast())) }
    }

    @Test("the layout is what the table says")
    func layout() {
      let bytes = SealedFrame.encode(kind: 0x0203, [0xaa])
      #expect(bytes.prefix(8) == [17, 0, 0, 0, 1, 0, 3, 2])
      #expect(bytes.last == 0xaa)
    }

    @Test("frames go there and back through handlers, in one piece, however they are cut")
    func handlers() async throws {
      try await withTidyReactors { group in
        let address = try await listen(on: group)
        let client = try BlockingClient(address)
        let sizes = [0, 1, 100, 70_000, 400_000, 3]
        let sent = sizes.enumerated().flatMap { number, size in
          SealedFrame.encode(kind: UInt16(number), pattern(size))
        }
        async let received = blocking { try client.receive(sent.count) }
        for start in stride(from: 0, to: sent.count, by: 30_011) {
          try client.send(Array(sent[start..<min(start + 30_011, sent.count)]))
        }
        #expect(Blob(try await received) == Blob(sent))
      }
    }

    @Test(
      "a wrong frame closes its connection, is counted by its fault, and touches no other",
      arguments: SealedFrame.Fault.allCases)
    func faults(fault: SealedFrame.Fault) async throws {
      try await withTidyReactors { group in
        let address = try await listen(on: group)
        let good = try BlockingClient(address)
        let bad = try BlockingClient(address)
        var frame = SealedFrame.encode(kind: 1, pattern(64))
        switch fault {
        case .size: frame[3] = 0x7f
        case .version: frame[4] = 9
        case .checksum: frame[70] ^= 1
        }
        try bad.send(frame)
        #expect(try await blocking { bad.seesEnd() })
        let counts = try await group.next().withReactor { reactor in
          SealedFrame.Fault.allCases.map { reactor.frameFaults[$0] }
        }
        #expect(counts == SealedFrame.Fault.allCases.map { $0 == fault ? 1 : 0 })
        let whole = SealedFrame.encode(kind: 2, [1, 2, 3])
        try good.send(whole)
        #expect(try await blocking { try good.receive(whole.count) } == whole)
      }
    }

    @Test("tasks read frames too; a wrong one is an error and closes the connection")
    func tasks() async throws {
      try await withTidyReactors { group in
        let code = Shared<TransportError.Code?>(nil)
        try await withServer(on: group, mode: .frames(maximumSize: 1 << 20)) { connection in
          do {
            while let frame = try await connection.nextFrame() {
              try await connection.write(kind: frame.kind + 1, frame.payload.array)
            }
          } catch let failure as TransportError {
            code.set(failure.code)
          }
        } _: { address, _ in
          let client = try BlockingClient(address)
          try client.send(SealedFrame.encode(kind: 7, pattern(100_000)))
          let answer = SealedFrame.encode(kind: 8, pattern(100_000))
          #expect(Blob(try await blocking { try client.receive(answer.count) }) == Blob(answer))
          var wrong = SealedFrame.encode(kind: 7, [1])
          wrong[16] = 2
          try client.send(wrong)
          #expect(try await blocking { client.seesEnd() })
          #expect(await code.wait { $0 == .protocolViolation })
          let count = try await group.next().withReactor { $0.frameFaults[.checksum] }
          #expect(count == 1)
        }
      }
    }

    @Test("frames inside a block are not copied on their way to the handler")
    func zeroCopies() async throws {
      try await withTidyReactors { group in
        let address = try await listen(on: group)
        let client = try BlockingClient(address)
        let frame = SealedFrame.encode(kind: 1, pattern(1000))
        for _ in 0..<100 {
          try client.send(frame)
          #expect(try await blocking { try client.receive(frame.count).count } == frame.count)
        }
        let statistics = try #require(await group.statistics().first)
        #expect(statistics.frames == 100)
        #expect(statistics.copiedInBytes < 1016)
      }
    }
  }
}

private func check(_ bytes: [UInt8]) throws(SealedFrame.Fault) -> UInt16 {
  try unsafe SealedFrame.check(bytes.span.bytes)
}

/// Sends every frame back, alternating between the ways to send one.
private struct Mirror: FrameHandler {
  mutating func received(_ kind: UInt16, _ payload: RawSpan, _ io: inout ConnectionIO) {
    switch kind % 3 {
    case 0: io.send(kind: kind, copying: payload)
    case 1:
      let start = SealedFrame.headerSize
      io.send(kind: kind, io.share(start..<start + payload.byteCount))
    default:
      let copy = payload.array
      io.send(kind: kind, atMost: copy.count) { room in
        for byte in copy { room.append(byte) }
      }
    }
  }
}

private func listen(on group: ReactorGroup) async throws -> SocketAddress {
  try await group.next().withReactor { reactor in
    let endpoint = HandlerEndpoint(on: reactor) { _ in SealedFrames(Mirror()) }
    return try reactor.listen(
      on: .loopback(), mode: .frames(maximumSize: 1 << 20), endpoint: endpoint
    ).address
  }
}
