/// What a client did since it was made.
public struct StoreClientStatistics: Sendable, Hashable {
  /// Commands that came to an end, whatever end.
  public internal(set) var commands: UInt64 = 0
  /// Times that a command was sent again after an attempt of unknown outcome.
  public internal(set) var repetitions: UInt64 = 0
  /// Times that a node sent a command to another one.
  public internal(set) var redirections: UInt64 = 0
  /// Connections that were lost, or could not be made.
  public internal(set) var lostConnections: UInt64 = 0
}
