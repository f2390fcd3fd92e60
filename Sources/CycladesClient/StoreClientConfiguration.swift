/// How a ``StoreClient`` behaves.
public struct StoreClientConfiguration: Sendable {
  /// How long a command may take, repetitions included, before the caller hears that it failed.
  public var patience = Duration.seconds(10)
  /// How long a server may leave a connection without a reply that is due, before the connection is
  /// given up and what was on it is asked for elsewhere.
  public var replyTimeout = Duration.seconds(3)
  /// How long one attempt to connect may take.
  public var connectTimeout = Duration.seconds(1)
  /// Commands that may be without a reply; more are refused with `overloaded`.
  public var commandsMax = 65_536
  /// What the connections call themselves, for `CLIENT LIST`; letters, digits and the like.
  public var name = ""

  /// Makes a configuration with the defaults.
  public init() {}
}
