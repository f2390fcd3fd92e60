import CycladesTransport
import Logging
import Testing

extension TransportTests {
  @Suite("connections that tasks own")
  struct AsyncConnectionTests {
    @Test("a server sends back what many clients send", arguments: [1, 2])
    func echoes(reactors: Int) async throws {
      try await withTidyReactors(count: reactors) { group in
        try await withServer(on: group, echo) { address, _ in
          try await withThrowingTaskGroup(of: Bool.self) { clients in
            for number in 0..<20 {
              clients.addTask {
                let sent = pattern(1 + number * 7001, seed: UInt64(number))
                let client = try BlockingClient(address)
                return try await blocking {
                  try client.send(sent)
                  client.finishSending()
                  return try isSame(client.receive(sent.count), sent) && client.seesEnd()
                }
              }
            }
            for try await isSame in clients { #expect(isSame) }
          }
        }
      }
    }

    @Test("a connection is used from any task: what it reads and writes hops to its reactor")
    func fromElsewhere() async throws {
      try await withTidyReactors(count: 2) { group in
        try await withServer(on: group, echo) { address, _ in
          var connection = try await Connection.connect(to: [address], on: group.next())
          for size in [1, 100, 300_000] {
            let sent = pattern(size)
            try await connection.write(sent)
            var received: [UInt8] = []
            while received.count < size, let bytes = try await connection.next() {
              received += bytes.array
            }
            #expect(Blob(received) == Blob(sent))
          }
          await connection.close()
        }
      }
    }

    @Test("bytes of one reactor are copied when they are sent on another")
    func acrossReactors() async throws {
      try await withTidyReactors(count: 2) { group in
        try await withServer(on: group, echo) { address, _ in
          var one = try await Connection.connect(to: [address], on: group.executors[0])
          var other = try await Connection.connect(to: [address], on: group.executors[1])
          try await one.write("over there")
          guard let bytes = try await one.next() else { throw Missing() }
          try await other.write(bytes)
          let answer = try await other.next()
          #expect(answer?.string == "over there")
          await one.close()
          await other.close()
        }
      }
    }

    @Test("when the peer has finished sending, next returns nil and writing still works")
    func halfClose() async throws {
      try await withTidyReactors { group in
        try await withServer(on: group) { connection in
          var count = 0
          while let bytes = try await connection.next() { count += bytes.byteCount }
          try await connection.write("\(count) bytes")
        } _: { address, _ in
          let client = try BlockingClient(address)
          try client.send(pattern(5000))
          client.finishSending()
          let answer = try await blocking { try client.receive(100) }
          #expect(answer == Array("5000 bytes".utf8))
        }
      }
    }

    @Test("each side finishes writing on its own, and the other still reads all there is")
    func finishWriting() async throws {
      try await withTidyReactors { group in
        let sent = pattern(3 << 20)
        let received = Shared(0)
        try await withServer(on: group) { connection in
          try await connection.write("first")
          connection.finishWriting()
          let refused = await error { try await connection.write("more") }
          guard refused?.code == .closed else { return }
          // Late, so that the peer's end has come long before its bytes are read.
          try await connection.executor.sleep(for: .milliseconds(50))
          var at = 0
          while let bytes = try await connection.next() {
            guard isSame(bytes.array, Array(sent[at..<at + bytes.byteCount])) else { return }
            at += bytes.byteCount
          }
          received.set(at)
        } _: { address, _ in
          var connection = try await Connection.connect(to: [address], on: group.next())
          let first = try await connection.next()
          #expect(first?.string == "first")
          let isMore = try await connection.next() != nil
          #expect(!isMore)
          try await connection.write(sent)
          await connection.close()
          #expect(await received.wait { $0 == sent.count })
        }
      }
    }

    @Test("a handler that does not read makes the peer wait, and nothing is lost")
    func readBackpressure() async throws {
      try await withTidyReactors { group in
        let total = 24 << 20
        let isRead = Shared(false)
        try await withServer(on: group) { connection in
          while !isRead.value { try await connection.executor.sleep(for: .milliseconds(5)) }
          let expected = pattern(total)
          var at = 0
          while let bytes = try await connection.next() {
            guard isSame(bytes.array, Array(expected[at..<at + bytes.byteCount])) else { break }
            at += bytes.byteCount
          }
          try await connection.write("\(at)")
        } _: { address, _ in
          let client = try BlockingClient(address)
          async let answer = blocking {
            try client.send(pattern(total))
            client.finishSending()
            return try client.receive(20)
          }
          // Let it send all that fits into the buffers of both systems: less than there is.
          try await Task.sleep(for: .milliseconds(300))
          let taken = try #require(await group.statistics().first).receivedBytes
          #expect(taken < total / 2)
          isRead.set(true)
          #expect(try await answer == Array("\(total)".utf8))
        }
      }
    }

    @Test("writing to a peer that does not read waits, and goes on when it reads")
    func writeBackpressure() async throws {
      var configuration = ReactorConfiguration()
      configuration.sendHighWatermark = 64 << 10
      configuration.sendLowWatermark = 16 << 10
      try await withTidyReactors(configuration) { group in
        let written = Shared(0)
        let total = 400
        try await withServer(on: group) { connection in
          for _ in 0..<total {
            try await connection.write(pattern(64 << 10))
            written.update { $0 += 1 }
          }
        } _: { address, _ in
          let client = try BlockingClient(address, receiveBuffer: 4096)
          try await Task.sleep(for: .milliseconds(300))
          #expect(written.value < total / 2)
          let received = try await blocking { try client.receive(total * (64 << 10) + 1).count }
          #expect(received == total * (64 << 10))
        }
      }
    }

    @Test("a cancelled read throws and takes nothing")
    func cancelledRead() async throws {
      try await withTidyReactors { group in
        try await withServer(on: group, echo) { address, _ in
          let executor = group.next()
          let outcome = Shared<[String]>([])
          let task = Task(executorPreference: executor) {
            var connection = try await Connection.connect(to: [address], on: executor)
            do {
              while let bytes = try await connection.next() {
                outcome.update { $0.append(bytes.string) }
              }
            } catch let error as TransportError {
              outcome.update { $0.append(error.code.description) }
            }
            // A cancelled task may still finish what it is at.
            let writer = connection.writer
            let isSent = await Task { (try? await writer.write("after")) != nil }.value
            outcome.update { $0.append("sent \(isSent)") }
          }
          try await Task.sleep(for: .milliseconds(50))
          task.cancel()
          try await task.value
          #expect(outcome.value == ["cancelled", "sent true"])
        }
      }
    }

    @Test("a read in a task that was cancelled before throws at once")
    func cancelledBefore() async throws {
      try await withTidyReactors { group in
        try await withServer(on: group, echo) { address, _ in
          let code = try await Task {
            var connection = try await Connection.connect(to: [address], on: group.next())
            unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
            return await error { _ = try await connection.next() }?.code
          }.value
          #expect(code == .cancelled)
        }
      }
    }

    @Test("a read with a deadline throws when nothing comes, and the connection goes on")
    func readDeadline() async throws {
      try await withTidyReactors { group in
        try await withServer(on: group) { connection in
          let late = await error { _ = try await connection.next(within: .milliseconds(20)) }
          try await connection.write(late?.code == .timedOut ? "late" : "?")
          let bytes = try await connection.next(within: .seconds(10))
          try await connection.write(bytes?.string ?? "none")
        } _: { address, _ in
          let client = try BlockingClient(address)
          let first = try await blocking { try client.receive(4) }
          #expect(first == Array("late".utf8))
          try client.send(Array("here".utf8))
          let second = try await blocking { try client.receive(4) }
          #expect(second == Array("here".utf8))
        }
      }
    }

    @Test("a write with a deadline throws when the peer does not read")
    func writeDeadline() async throws {
      try await withTidyReactors { group in
        let code = Shared<TransportError.Code?>(nil)
        try await withServer(on: group) { connection in
          do {
            while true { try await connection.write(pattern(1 << 20), within: .milliseconds(50)) }
          } catch let failure as TransportError {
            code.set(failure.code)
            throw failure
          }
        } _: { address, _ in
          let client = try BlockingClient(address, receiveBuffer: 4096)
          #expect(await code.wait { $0 != nil })
          #expect(code.value == .timedOut)
          withExtendedLifetime(client) {}
        }
      }
    }

    @Test("lines are found wherever the pieces are cut, and one too long is refused")
    func lines() async throws {
      try await withTidyReactors { group in
        try await withServer(on: group) { connection in
          do {
            while let line = try await connection.nextLine(byteLimit: 10) {
              try await connection.write("<\(line)>")
            }
          } catch let failure as TransportError where failure.code == .limitExceeded {
            try await connection.write("!")
          }
        } _: { address, _ in
          let client = try BlockingClient(address)
          for piece in ["one\r\ntw", "o\n", "\n", "0123456789\n", "01234567890\n"] {
            try client.send(Array(piece.utf8))
            try await Task.sleep(for: .milliseconds(20))
          }
          let answer = try await blocking { try client.receive(100) }
          #expect(String(decoding: answer, as: UTF8.self) == "<one><two><><0123456789>!")
        }
      }
    }

    @Test("a reset is an error of whoever reads, with the peer's address and the error number")
    func reset() async throws {
      try await withTidyReactors { group in
        let seen = Shared<TransportError?>(nil)
        let peer = Shared<SocketAddress?>(nil)
        try await withServer(on: group) { connection in
          do {
            _ = try await connection.next()
            _ = try await connection.next()
          } catch let failure as TransportError {
            seen.set(failure)
          }
        } _: { address, _ in
          do {
            let client = try BlockingClient(address)
            peer.set(client.localAddress)
            try client.send([1])
            try await Task.sleep(for: .milliseconds(30))
            client.resetOnClose()
          }
          #expect(await seen.wait { $0 != nil })
          #expect(seen.value?.code == .reset)
          #expect(seen.value?.address == peer.value)
          #expect(seen.value?.errno != 0)
        }
      }
    }

    @Test("slices outlive their connection and go back to the pool from any thread")
    func slicesElsewhere() async throws {
      try await withTidyReactors { group in
        let keeper = Keeper()
        try await withServer(on: group) { connection in
          while let bytes = try await connection.next() { await keeper.keep(bytes) }
        } _: { address, _ in
          let client = try BlockingClient(address)
          for _ in 0..<10 {
            try client.send(pattern(1000))
            try await Task.sleep(for: .milliseconds(5))
          }
          client.finishSending()
          _ = try await blocking { client.seesEnd() }
        }
        #expect(await keeper.letGo() == 10_000)
      }
    }

    @Test("bytes that trickle in unread do not each keep a block")
    func trickle() async throws {
      try await withTidyReactors { group in
        let isRead = Shared(false)
        try await withServer(on: group) { connection in
          while !isRead.value { try await connection.executor.sleep(for: .milliseconds(5)) }
          try await echo(&connection)
        } _: { address, _ in
          let client = try BlockingClient(address)
          let before = try #require(await group.statistics().first).blocks
          for byte in UInt8(0)..<100 {
            try client.send([byte])
            try await Task.sleep(for: .milliseconds(1))
          }
          let with = try #require(await group.statistics().first).blocks
          #expect(with - before <= 6)
          isRead.set(true)
          client.finishSending()
          let answer = try await blocking { try client.receive(101) }
          #expect(answer == Array(0..<100))
        }
      }
    }
  }
}

/// Holds slices away from any reactor.
private actor Keeper {
  private var bytes: [UInt8] = []
  private var held: Held?

  /// A chain, as arrays cannot hold what is not copyable.
  private final class Held {
    let slice: Slice
    let next: Held?
    init(_ slice: consuming Slice, _ next: Held?) {
      self.slice = slice
      self.next = next
    }
  }

  func keep(_ slice: consuming Slice) { held = Held(slice, held) }

  func letGo() -> Int {
    var count = 0
    while let first = held {
      count += first.slice.byteCount
      held = first.next
    }
    return count
  }
}
