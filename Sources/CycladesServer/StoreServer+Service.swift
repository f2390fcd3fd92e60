#if ServiceLifecycle
  public import ServiceLifecycle

  // Only with the package trait "ServiceLifecycle".

  /// A server as a service: `run` serves until a graceful shutdown, which answers what is owed to
  /// clients, for at most `drainTimeout`.
  extension StoreServer: Service {}
#endif
