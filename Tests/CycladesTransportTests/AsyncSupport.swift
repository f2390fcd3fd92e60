import CycladesTransport
import Logging
import Testing

/// Runs `body` with reactors, then demands that nothing is left behind on any of them.
func withTidyReactors(
  _ configuration: ReactorConfiguration = ReactorConfiguration(), count: Int = 1,
  _ body: (ReactorGroup) async throws -> Void, sourceLocation: SourceLocation = #_sourceLocation
) async throws {
  let group = try ReactorGroup(
    count: count, configuration: configuration, logger: Logger(label: "test"))
  do {
    try await body(group)
  } catch {
    await group.shutdown()
    throw error
  }
  await group.shutdown()
  #expect(group.failure == nil, sourceLocation: sourceLocation)
  for end in await group.statistics() {
    #expect(
      [end.connections, end.listeners, end.timers, end.operations, end.blocks] == [0, 0, 0, 0, 0],
      "connections, listeners, timers, operations, blocks left behind",
      sourceLocation: sourceLocation)
  }
}

/// Runs `body` beside a server, then shuts the server down and waits for it.
func withServer(
  on group: ReactorGroup, mode: Mode = .stream, drainTimeout: Duration = .seconds(5),
  _ handler: @escaping ConnectionServer.Handler,
  _ body: (SocketAddress, ConnectionServer) async throws -> Void
) async throws {
  let server = try await ConnectionServer.bind(
    to: .loopback(), on: group, mode: mode, drainTimeout: drainTimeout,
    logger: Logger(label: "test"))
  try await withThrowingTaskGroup(of: Void.self) { tasks in
    tasks.addTask { try await server.run(handler) }
    do {
      try await body(server.address, server)
    } catch {
      server.shutDown()
      throw error
    }
    server.shutDown()
    try await tasks.waitForAll()
  }
}

/// Sends everything back until the peer has finished.
@Sendable func echo(_ connection: inout Connection) async throws {
  while let bytes = try await connection.next() { try await connection.write(bytes) }
}

/// Runs a blocking body on a thread of its own, so that tasks are not kept from running.
func blocking<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
  try await withCheckedThrowingContinuation { continuation in
    onThread { continuation.resume(with: Result(catching: body)) }
  }
}

/// The error that `body` throws; fails when it throws none.
func error(
  of body: () async throws -> Void, sourceLocation: SourceLocation = #_sourceLocation
) async -> TransportError? {
  do {
    try await body()
    Issue.record("nothing was thrown", sourceLocation: sourceLocation)
  } catch let error as TransportError {
    return error
  } catch {
    Issue.record("another error: \(error)", sourceLocation: sourceLocation)
  }
  return nil
}

/// Something that should be there is not.
struct Missing: Error {}
