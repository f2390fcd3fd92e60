/// The commands that most programs need, with typed replies. Everything else goes through
/// ``StoreClient/send(_:_:)``.
extension StoreClient {
  /// The value of a key; `nil` when there is none.
  public func get(_ key: some StoreArgument) async throws(StoreClientError) -> [UInt8]? {
    let reply = try await send("GET", key)
    return reply.isNull ? nil : try demand(reply, reply.bytes, "GET")
  }

  /// The value of a key as text; `nil` when there is none.
  public func getString(_ key: some StoreArgument) async throws(StoreClientError) -> String? {
    try await get(key).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Sets the value of a key.
  ///
  /// - Parameter lifetime: after which the key ends, in whole milliseconds; `nil` is never.
  public func set(
    _ key: some StoreArgument, _ value: some StoreArgument, lifetime: Duration? = nil
  ) async throws(StoreClientError) {
    if let lifetime {
      _ = try await send("SET", key, value, "PX", Int(lifetime / .milliseconds(1)))
    } else {
      _ = try await send("SET", key, value)
    }
  }

  /// Sets the value of a key that there is not; returns whether it was set.
  public func setIfAbsent(
    _ key: some StoreArgument, _ value: some StoreArgument
  ) async throws(StoreClientError) -> Bool {
    try await !send("SET", key, value, "NX").isNull
  }

  /// Deletes a key; returns whether there was one.
  @discardableResult
  public func delete(_ key: some StoreArgument) async throws(StoreClientError) -> Bool {
    let reply = try await send("DEL", key)
    return try demand(reply, reply.integer, "DEL") > 0
  }

  /// Whether there is a key.
  public func exists(_ key: some StoreArgument) async throws(StoreClientError) -> Bool {
    let reply = try await send("EXISTS", key)
    return try demand(reply, reply.integer, "EXISTS") > 0
  }

  /// Adds to the integer value of a key, 0 when there is none; returns the sum.
  @discardableResult
  public func increment(
    _ key: some StoreArgument, by amount: Int = 1
  ) async throws(StoreClientError) -> Int {
    let reply = try await send("INCRBY", key, amount)
    return try demand(reply, reply.integer, "INCRBY")
  }

  /// Lets a key end after a time, in whole milliseconds; returns whether there was one.
  @discardableResult
  public func expire(
    _ key: some StoreArgument, after lifetime: Duration
  ) async throws(StoreClientError) -> Bool {
    let reply = try await send("PEXPIRE", key, Int(lifetime / .milliseconds(1)))
    return try demand(reply, reply.integer, "PEXPIRE") > 0
  }

  private func demand<T>(
    _ reply: StoreReply, _ value: T?, _ command: String
  ) throws(StoreClientError) -> T {
    guard let value else {
      throw StoreClientError(.badReply, .done, "the reply to \(command) is \(reply)")
    }
    return value
  }
}
