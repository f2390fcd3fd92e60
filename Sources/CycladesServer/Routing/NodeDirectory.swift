import CycladesPaxos
import CycladesReplication

/// Where clients reach a listener: a host name or address, and a port.
struct ClientAddress: Hashable, Sendable, CustomStringConvertible {
  var host: String
  var port: UInt16

  var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// What a node tells its peers about itself when they connect: where its clients reach it.
///
/// Peers only configure each other's peer addresses; client ports may even be ephemeral.
struct NodeAnnouncement: Equatable, Sendable {
  var host: String
  var clusterPort: UInt16
  var plainPort: UInt16

  init(host: String, clusterPort: UInt16, plainPort: UInt16) {
    self.host = host
    self.clusterPort = clusterPort
    self.plainPort = plainPort
  }

  /// Reads what a peer announced; `nil` when it is not an announcement.
  init?(_ bytes: [UInt8]) {
    let fields = String(decoding: bytes, as: UTF8.self)
      .split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
    guard fields.count == 3, let cluster = UInt16(fields[0]), let plain = UInt16(fields[1]),
      !fields[2].isEmpty
    else { return nil }
    self.init(host: String(fields[2]), clusterPort: cluster, plainPort: plain)
  }

  /// `clusterPort plainPort host`, as text: the host goes last, so it may hold anything.
  var bytes: [UInt8] { Array("\(clusterPort) \(plainPort) \(host)".utf8) }

  func address(for port: Client.Port) -> ClientAddress {
    ClientAddress(host: host, port: port == .cluster ? clusterPort : plainPort)
  }
}

/// Who is who in the cluster, for clients: which nodes are connected and where their clients go.
final class NodeDirectory {
  private let own: NodeID
  private let ownAnnouncement: NodeAnnouncement
  private unowned let host: any ShardHost

  init(own: NodeID, _ announcement: NodeAnnouncement, _ host: any ShardHost) {
    self.own = own
    self.ownAnnouncement = announcement
    self.host = host
  }

  /// Where clients of one kind reach a node; `nil` until the node was heard.
  func address(of node: NodeID, for port: Client.Port) -> ClientAddress? {
    if node == own { return ownAnnouncement.address(for: port) }
    let announced = host.peers.first { $0.node == node }?.announcement
    return announced.flatMap(NodeAnnouncement.init)?.address(for: port)
  }

  /// True for this node and for those it is connected to.
  func isConnected(to node: NodeID) -> Bool {
    node == own || host.peers.contains { $0.node == node && $0.isConnected }
  }

  /// A node id as cluster clients know it: 40 hexadecimal digits, the same on every node.
  func clusterID(of node: NodeID) -> String {
    let digits = String(node.rawValue, radix: 16)
    return String(repeating: "0", count: 40 - digits.count) + digits
  }
}
