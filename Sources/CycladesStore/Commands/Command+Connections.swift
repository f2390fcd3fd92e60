/// Commands that the server carries out for a connection: transactions, and publish and subscribe.
extension Command {
  static let transactions: [Command] = [
    Command(
      256, "multi", 1, prompt, scope: .server, .transactions,
      since: "1.2.0", "Begins a transaction: further commands are queued"),
    Command(
      257, "exec", 1, [.noScript, .loading, .stale], scope: .server, .transactions,
      since: "1.2.0", "Carries out the commands that were queued, as one step",
      complexity: "That of the queued commands"),
    Command(
      258, "discard", 1, prompt, scope: .server, .transactions,
      since: "2.0.0", "Forgets the commands that were queued"),
    Command(
      259, "watch", -2, prompt,
      keys: KeySpec(first: 1, last: -1, step: 1, uses: ["RO"]), scope: .server, .transactions,
      since: "2.2.0", "Makes the next EXEC depend on keys staying as they are",
      complexity: "O(N) where N is the number of keys"),
    Command(
      260, "unwatch", 1, prompt, scope: .server, .transactions,
      since: "2.2.0", "Forgets the watched keys"),
  ]

  static let pubsub: [Command] = [
    Command(
      261, "subscribe", -2, listening, scope: .server, .pubsub,
      since: "2.0.0", "Receives what is published to channels",
      complexity: "O(N) where N is the number of channels"),
    Command(
      262, "unsubscribe", -1, listening, scope: .server, .pubsub,
      since: "2.0.0", "Ends SUBSCRIBE, for some channels or for all",
      complexity: "O(N) where N is the number of channels"),
    Command(
      263, "psubscribe", -2, listening, scope: .server, .pubsub,
      since: "2.0.0", "Receives what is published to channels whose names match patterns",
      complexity: "O(N) where N is the number of patterns"),
    Command(
      264, "punsubscribe", -1, listening, scope: .server, .pubsub,
      since: "2.0.0", "Ends PSUBSCRIBE, for some patterns or for all",
      complexity: "O(N) where N is the number of patterns"),
    Command(
      265, "ssubscribe", -2, listening, keys: channels, scope: .server, .pubsub,
      since: "7.0.0", "Receives what is published to sharded channels",
      complexity: "O(N) where N is the number of channels"),
    Command(
      266, "sunsubscribe", -1, listening, keys: channels, scope: .server, .pubsub,
      since: "7.0.0", "Ends SSUBSCRIBE, for some channels or for all",
      complexity: "O(N) where N is the number of channels"),
    Command(
      267, "publish", 3, [.pubsub, .loading, .stale, .fast], scope: .server, .pubsub,
      since: "2.0.0", "Sends a message to the clients of all nodes that listen to a channel",
      complexity: "O(N+M) where N is the number of listeners and M that of patterns"),
    Command(
      268, "spublish", 3, [.pubsub, .loading, .stale, .fast],
      keys: KeySpec(first: 1, last: 1, step: 1, uses: ["not_key"]), scope: .server, .pubsub,
      since: "7.0.0", "Sends a message to the clients that listen to a sharded channel",
      complexity: "O(N) where N is the number of listeners"),
    Command(
      269, "pubsub", -2, [], scope: .server, .pubsub,
      since: "2.8.0", "Tells which channels have listeners"),
  ]

  private static let prompt: Flags = [.noScript, .loading, .stale, .fast, .allowBusy]
  private static let listening: Flags = [.pubsub, .noScript, .loading, .stale]
  private static let channels = KeySpec(first: 1, last: -1, step: 1, uses: ["not_key"])
}
