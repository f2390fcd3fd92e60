#if ServiceLifecycle
  public import ServiceLifecycle

  // Only with the package trait "ServiceLifecycle".

  extension StoreClient: Service {
    /// Runs until a graceful shutdown or a cancellation, then closes the client.
    ///
    /// Give it to a service group before everything that uses it: services are shut down last
    /// first.
    public nonisolated func run() async throws {
      try? await gracefulShutdown()
      await close()
    }
  }
#endif
