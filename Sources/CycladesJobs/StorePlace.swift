/// Keys of a running store: `redis://HOST:PORT[,HOST:PORT…]/PREFIX`.
///
/// As an input it stands for all keys that begin with the prefix; as an output, the prefix is put before
/// every key.
public struct StorePlace: Hashable, Sendable, CustomStringConvertible {
  /// Client addresses of some nodes, as `host:port`; one is enough, it tells of the others.
  public var servers: [String]
  /// What the keys begin with; may be empty.
  public var prefix: String

  /// Names keys of a store.
  public init(servers: [String], prefix: String) {
    self.servers = servers
    self.prefix = prefix
  }

  /// Reads a place as it is written among the inputs of a job; nil for what is no such place.
  public init?(_ text: String) {
    guard text.hasPrefix(StorePlace.scheme) else { return nil }
    let rest = text.dropFirst(StorePlace.scheme.count)
    let servers = rest.prefix { $0 != "/" }
    self.servers = servers.split(separator: ",").map(String.init)
    prefix = String(rest.dropFirst(servers.count + 1))
  }

  private static let scheme = "redis://"

  /// As it is written.
  public var description: String {
    "\(StorePlace.scheme)\(servers.joined(separator: ","))/\(prefix)"
  }

  /// The key, of an output, that says that everything was written.
  var successKey: [UInt8] { Array((prefix + "_SUCCESS").utf8) }
}
