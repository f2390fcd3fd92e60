import CycladesTransport
import Glibc
import Testing

extension TransportTests {
  @Suite("beginning and end of connections", .serialized)
  struct ConnectionTests {
    private func listen(
      mode: Mode = .stream,
      _ prepare: @escaping @Sendable (Reactor, Recorder) -> Void = { _, _ in }
    ) -> @Sendable (Reactor) throws -> (SocketAddress, Recorder) {
      { reactor in
        let recorder = Recorder()
        prepare(reactor, recorder)
        let listener = try reactor.listen(on: .loopback(), mode: mode, endpoint: recorder)
        return (listener.address, recorder)
      }
    }

    @Test("a peer's reset is reported as one")
    func reset() async throws {
      _ = try await withReactor(setUp: listen()) { made, _ in
        var client: BlockingClient? = try BlockingClient(made.0)
        try client?.send([1])
        #expect(await made.1.log.wait { $0.received == 1 })
        client?.resetOnClose()
        client = nil
        #expect(await made.1.log.wait { $0.closed == [.reset] })
        #expect(made.1.log.value.inputEnds == 0)
      }
    }

    @Test("a peer that has finished sending still gets its answers")
    func halfClose() async throws {
      _ = try await withReactor { reactor in
        try reactor.listen(on: .loopback(), endpoint: Echo(reactor)).address
      } body: { address, _ in
        let client = try BlockingClient(address)
        let bytes = pattern(300_000)
        async let back = Task.detached { try client.receive(bytes.count + 1) }.value
        try client.send(bytes)
        client.finishSending()
        #expect(Blob(try await back) == Blob(bytes))
      }
    }

    @Test("an endpoint may go on sending after the peer's end of input")
    func keepSending() async throws {
      _ = try await withReactor(
        setUp: listen { reactor, recorder in
          recorder.end = .keepSending
          recorder.onReceived = { connection, bytes in
            reactor.schedule(after: .milliseconds(30)) {
              reactor.write(connection, atMost: 3) { output in
                for byte in [7, 8, 9] as [UInt8] { output.append(byte) }
              }
              reactor.close(connection, flush: true)
            }
            return Progress(consumed: bytes.byteCount)
          }
        }
      ) { made, _ in
        let client = try BlockingClient(made.0)
        try client.send([1])
        client.finishSending()
        #expect(try client.receive(4) == [7, 8, 9])
        #expect(await made.1.log.wait { $0.closed == [.local] })
        #expect(made.1.log.value.inputEnds == 1)
      }
    }

    @Test("nobody listening is a refusal, reported once and from a later turn")
    func refused() async throws {
      let unused = try unusedAddress()
      _ = try await withReactor { reactor in
        let recorder = Recorder()
        let connection = reactor.connect(to: unused, endpoint: recorder)
        return (connection, recorder)
      } body: { made, _ in
        #expect(await made.1.log.wait { $0.closed == [.refused] })
        #expect(made.1.log.value.opened.isEmpty)
      }
    }

    @Test("a peer that never answers is given up after the timeout")
    func connectTimeout() async throws {
      // A full accept queue swallows connection requests, as a dead machine would.
      let deaf = try DeafListener()
      let end = try await withReactor { reactor in
        let recorder = Recorder()
        for _ in 0..<6 {
          _ = reactor.connect(to: deaf.address, timeout: .milliseconds(200), endpoint: recorder)
        }
        return recorder
      } body: { recorder, _ in
        #expect(await recorder.log.wait { $0.closed.count + $0.opened.count == 6 })
        let log = recorder.log.value
        #expect(!log.closed.isEmpty && log.closed.allSatisfy { $0 == .timedOut })
        deaf.close()
      }
      #expect(end.connects == 6 && end.closes == 6)
    }

    @Test("two reactors talk, and each knows the other's address")
    func outgoing() async throws {
      let bytes = pattern(200_000)
      _ = try await withReactor(setUp: listen()) { server, serverThread in
        _ = try await withReactor { reactor in
          let recorder = Recorder()
          recorder.onOpened = { connection in
            reactor.send(connection, copying: bytes)
            reactor.close(connection, flush: true)
          }
          _ = reactor.connect(to: server.0, endpoint: recorder)
          return recorder
        } body: { (client: Recorder, _) in
          #expect(await client.log.wait { $0.closed == [.local] })
        }
        #expect(await server.1.log.wait { $0.closed == [.endOfInput] })
        #expect(Blob(server.1.log.value.bytes) == Blob(bytes))
      }
    }

    @Test("accepted and connected sockets notice a peer that vanished, and send at once")
    func socketOptions() async throws {
      var configuration = ReactorConfiguration()
      configuration.keepalive = .seconds(12)
      configuration.userTimeout = .milliseconds(4500)
      _ = try await withReactor(configuration) { reactor in
        let address = try reactor.listen(on: .loopback(), endpoint: Recorder()).address
        let client = Recorder()
        _ = reactor.connect(to: address, endpoint: client)
        return (address, client.log)
      } body: { made, _ in
        #expect(await made.1.wait { $0.opened.count == 1 })
        // Both ends are in this process: one socket has the port as its own, one as its peer's.
        let ends = connectedSockets(port: made.0.port)
        #expect(ends.count == 2)
        for end in ends {
          #expect(socketOption(end, SOL_SOCKET, SO_KEEPALIVE) == 1)
          #expect(socketOption(end, Int32(IPPROTO_TCP), TCP_KEEPIDLE) == 12)
          #expect(socketOption(end, Int32(IPPROTO_TCP), TCP_KEEPINTVL) == 4)
          #expect(socketOption(end, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT) == 4500)
          #expect(socketOption(end, Int32(IPPROTO_TCP), TCP_NODELAY) == 1)
        }
      }
    }

    @Test("the peer's address is known while the connection is")
    func peerAddress() async throws {
      _ = try await withReactor(setUp: listen()) { made, thread in
        var client: BlockingClient? = try BlockingClient(made.0)
        #expect(await made.1.log.wait { $0.opened.count == 1 })
        let connection = made.1.log.value.opened[0]
        let peer = try await onReactor(of: thread) { $0.peerAddress(connection) }
        #expect(peer == client?.localAddress)
        client = nil
        #expect(await made.1.log.wait { $0.closed.count == 1 })
        #expect(try await onReactor(of: thread) { $0.peerAddress(connection) } == .some(nil))
      }
    }

    @Test("an id whose connection is gone does nothing, also to the one in its slot")
    func staleIDs() async throws {
      _ = try await withReactor(setUp: listen()) { made, thread in
        let (address, recorder) = made
        var first: BlockingClient? = try BlockingClient(address)
        #expect(await recorder.log.wait { $0.opened.count == 1 })
        first?.finishSending()
        #expect(await recorder.log.wait { $0.closed.count == 1 })
        first = nil
        let second = try BlockingClient(address)
        #expect(await recorder.log.wait { $0.opened.count == 2 })
        let ids = recorder.log.value.opened
        #expect(ids[0].slot == ids[1].slot && ids[0] != ids[1])
        let isOpen = try await onReactor(of: thread) { reactor in
          let stale = [ids[0], ConnectionID(rawValue: 0), ConnectionID(rawValue: .max)]
          for id in stale {
            reactor.send(id, copying: [1, 2, 3])
            if let bytes = try? Bytes(copying: [4], in: reactor.pool) { reactor.send(id, bytes) }
            reactor.write(id, atMost: 10) { $0.append(5 as UInt8) }
            reactor.pauseReading(id)
            reactor.resumeReading(id)
            reactor.close(id, flush: false)
          }
          return stale.map { reactor.isOpen($0) || reactor.queuedBytes($0) != 0 }
        }
        #expect(isOpen == [false, false, false])
        try second.send([42])
        #expect(await recorder.log.wait { $0.bytes == [42] })
        #expect(recorder.log.value.closed.count == 1)
      }
    }

    @Test("a flushing close delivers everything that was queued")
    func flush() async throws {
      let bytes = pattern(6 << 20)
      _ = try await withReactor(
        setUp: listen { reactor, recorder in
          recorder.onReceived = { connection, input in
            reactor.send(connection, copying: bytes)
            reactor.close(connection, flush: true)
            return Progress(consumed: 0)
          }
        }
      ) { made, _ in
        let client = try BlockingClient(made.0)
        try client.send([1, 2, 3])
        #expect(Blob(try client.receive(bytes.count + 1)) == Blob(bytes))
      }
    }

    @Test("a flush that the peer does not take becomes an abort")
    func flushTimeout() async throws {
      var configuration = ReactorConfiguration()
      configuration.flushTimeout = .milliseconds(150)
      _ = try await withReactor(
        configuration,
        setUp: listen { reactor, recorder in
          recorder.onOpened = { connection in
            reactor.send(connection, copying: pattern(16 << 20))
            reactor.close(connection, flush: true)
          }
        }
      ) { made, _ in
        let client = try BlockingClient(made.0, receiveBuffer: 4096)
        #expect(await made.1.log.wait { $0.closed == [.timedOut] })
        client.finishSending()
      }
    }

    @Test("an abort from inside a callback ends the input at once")
    func abort() async throws {
      _ = try await withReactor(
        setUp: listen { reactor, recorder in
          recorder.onReceived = { connection, bytes in
            reactor.close(connection, flush: false, reason: .protocolViolation)
            return Progress(consumed: min(1, bytes.byteCount))
          }
        }
      ) { made, _ in
        let client = try BlockingClient(made.0)
        try client.send(pattern(100_000))
        #expect(client.seesEnd())
        #expect(await made.1.log.wait { $0.closed == [.protocolViolation] })
        #expect(made.1.log.value.calls == 1)
      }
    }

    @Test("connections beyond the limit are closed, the others stay")
    func connectionsMax() async throws {
      var configuration = ReactorConfiguration()
      configuration.connectionsMax = 3
      let end = try await withReactor(configuration) { reactor in
        try reactor.listen(on: .loopback(), endpoint: Echo(reactor)).address
      } body: { address, _ in
        let clients = try (0..<3).map { _ in try BlockingClient(address) }
        for client in clients {
          try client.send([9])
          #expect(try client.receive(1) == [9])
        }
        let extra = try BlockingClient(address)
        #expect(extra.seesEnd())
        try clients[0].send([8])
        #expect(try clients[0].receive(1) == [8])
      }
      #expect(end.accepted == 3 && end.refusedAccepts == 1)
    }

    @Test("a closed listener refuses, and its connections live on")
    func listenerClose() async throws {
      _ = try await withReactor { reactor in
        let listener = try reactor.listen(on: .loopback(), endpoint: Echo(reactor))
        reactor.schedule(after: .milliseconds(100)) { listener.close() }
        return listener.address
      } body: { address, thread in
        let client = try BlockingClient(address)
        try client.send([1])
        #expect(try client.receive(1) == [1])
        try await Task.sleep(for: .milliseconds(200))
        #expect(throws: BlockingClient.Failure.self) { try BlockingClient(address) }
        try client.send([2])
        #expect(try client.receive(1) == [2])
        let listeners = try await onReactor(of: thread) { $0.statistics.listeners }
        #expect(listeners == 0)
      }
    }

    @Test("a busy port is one clear error")
    func busyPort() async throws {
      _ = try await withReactor { reactor in
        let address = try reactor.listen(on: .loopback(), endpoint: Echo(reactor)).address
        let error = #expect(throws: TransportError.self) {
          try reactor.listen(on: address, endpoint: Echo(reactor))
        }
        #expect(error?.code == .listenFailed && error?.errno == EADDRINUSE)
        #expect(error?.description == "cannot listen on \(address): Address already in use")
        return address
      } body: { _, _ in
      }
    }

    @Test("stopping sends what is queued and tells every endpoint")
    func stopFlushes() async throws {
      let bytes = pattern(3 << 20)
      let log = Shared<Shared<Log>?>(nil)
      let back = Shared<Task<[UInt8], any Error>?>(nil)
      _ = try await withReactor(
        setUp: listen { reactor, recorder in
          recorder.onReceived = { connection, input in
            reactor.send(connection, copying: bytes)
            reactor.stop()
            return Progress(consumed: input.byteCount)
          }
        }
      ) { made, _ in
        log.set(made.1.log)
        let client = try BlockingClient(made.0)
        try client.send([1])
        #expect(await made.1.log.wait { $0.received == 1 })
        back.set(Task.detached { try client.receive(bytes.count + 1) })
      }
      #expect(Blob(try await back.value!.value) == Blob(bytes))
      #expect(log.value?.value.closed == [.local])
    }
  }
}
