#if ServiceLifecycle
  public import ServiceLifecycle

  // Only with the package trait "ServiceLifecycle".

  extension ReactorGroup: Service {
    /// Runs until a graceful shutdown or a cancellation, then stops the reactors.
    ///
    /// Give it to a service group before everything that uses it: services are shut down last
    /// first.
    public func run() async throws {
      try? await gracefulShutdown()
      await shutdown()
      if let failure { throw failure }
    }
  }

  /// A server and its handler as a service: a graceful shutdown drains it, see `ConnectionServer`.
  public struct ConnectionService: Service {
    private let server: ConnectionServer
    private let handler: ConnectionServer.Handler

    /// Makes a service of a server that does not run yet.
    public init(_ server: ConnectionServer, _ handler: @escaping ConnectionServer.Handler) {
      self.server = server
      self.handler = handler
    }

    /// Serves until the graceful shutdown is over.
    public func run() async throws {
      try await withGracefulShutdownHandler {
        try await server.run(handler)
      } onGracefulShutdown: {
        server.shutDown()
      }
    }
  }
#endif
