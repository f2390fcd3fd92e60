extension Reactor {
  /// Queues what `body` says it wrote at the pointer, at most `limit` bytes, for encoders in C; not
  /// called when the connection is gone.
  package func writeUnsafe(
    _ connection: ConnectionID, atMost limit: Int, _ body: (UnsafeMutableRawPointer) -> Int
  ) {
    unsafe core.writeUnsafe(connection, atMost: limit, body)
  }
}
