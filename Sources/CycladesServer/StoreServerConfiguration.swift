public import CycladesPaxos
package import CycladesReplication
public import CycladesTransport

/// How one node of a store serves.
///
/// All nodes of a cluster must agree on `cluster`, `founders` and `shards`: together they say where
/// the keys were when the cluster was made. What disagrees is refused when nodes connect.
public struct StoreServerConfiguration: Sendable {
  /// This node's number, one of those in `peers`.
  public var node: NodeID
  /// The cluster's name; a data folder belongs to one cluster for good.
  public var cluster = "cyclades"
  /// Where nodes reach each other: this one, and enough others to find the rest.
  public var peers: [NodeID: SocketAddress]
  /// The nodes that the cluster began with; by default all of `peers`. A node that joins later is
  /// not among them, and learns of them from one that is there.
  public var founders: [NodeID]
  /// Where to listen for cluster clients, which follow MOVED. Port 0 takes a free one.
  public var clusterListen: SocketAddress
  /// Where to listen for any client; commands are forwarded to where they belong.
  public var plainListen: SocketAddress
  /// Where to listen for other nodes; `nil` is this node's address in `peers`.
  public var peerListen: SocketAddress?
  /// The data folder; made when missing, refused when it is another node's or something else.
  public var directory: String
  /// The number of shards, fixed when the cluster is created; a power of two up to 1024.
  public var shards = 16
  /// The largest argument of a command in bytes, 512 MiB at most.
  ///
  /// A longer one is a protocol error, as in Redis. It bounds what a client may send, not what APPEND
  /// and SETRANGE may build up, whose bound is 512 MiB on every node.
  public var maximumValueBytes = 16 << 20
  /// What keys and values of this node may take, in bytes; `nil` is no limit.
  ///
  /// When a node has reached it, no node of the cluster takes commands that may need more: they are
  /// refused with Redis' `OOM` error, and nothing is evicted. Looked at once a turn and told to the
  /// other nodes, so it may be exceeded by what is under way. `CONFIG SET maxmemory` changes it while
  /// the node runs.
  public var maximumMemoryBytes: Int?
  /// Where this node stands, such as a rack or a data centre. The replicas of a shard are spread over
  /// zones as far as there are enough. At most 64 bytes without blanks; empty is a zone of its own.
  public var zone = ""
  /// How long a node may be out of reach before others get what it holds; `nil` is for ever. Only
  /// done when at least three nodes are left. A node that comes back gets its share again.
  public var evictionGrace: Duration? = .seconds(300)
  /// How many bytes may wait for a client that listens to channels and does not read; one with more
  /// is closed.
  public var listenerBytesMax = 8 << 20
  /// The clients served at once, both listeners together; others are refused with an error.
  public var maximumClients = 10_000
  /// Lets the leader of a shard answer reads by its clock, without asking a quorum; `nil`, the default,
  /// never. Reads stay linearizable as long as no node's clock drifts beyond the lease's bound.
  ///
  /// The same on all nodes; to change it, stop all of them first, for longer than it lasts.
  public var lease: Lease?
  /// How long a command waits for its shard to have a leader before the client is told that there is
  /// none, or that the outcome is unknown.
  public var patience = Duration.seconds(10)
  /// How long `stop` waits for answers that are still owed to clients.
  public var drainTimeout = Duration.seconds(5)
  /// Bounds of the replication layer, where nothing above decides them.
  package var hostLimits = HostLimits()
  /// The reactor's limits and backend.
  public var reactor = ReactorConfiguration()

  /// A configuration with loopback client listeners on free ports.
  public init(node: NodeID, peers: [NodeID: SocketAddress], directory: String) {
    self.node = node
    self.peers = peers
    self.directory = directory
    founders = peers.keys.sorted()
    clusterListen = .loopback()
    plainListen = .loopback()
  }

  /// Checks what can be checked before anything is opened.
  ///
  /// - Throws: `ServerError` with code `badConfiguration`, naming the setting.
  func validate() throws(ServerError) {
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(ServerError) {
      if !condition { throw ServerError(.badConfiguration, message()) }
    }
    let known = peers.keys.sorted().map { String($0.rawValue) }.joined(separator: ", ")
    try require(peers[node] != nil, "node \(node.rawValue) is not among the peers (\(known))")
    try require(
      peers.keys.allSatisfy { $0.rawValue > 0 }, "node numbers begin with 1; a peer has number 0")
    try require(
      Set(peers.values).count == peers.count, "two peers have the same address; each needs its own")
    try require(!founders.isEmpty, "a cluster needs founders")
    try require(!cluster.isEmpty, "the cluster needs a name")
    try require(!directory.isEmpty, "the data folder needs a path")
    try require(
      shards > 0 && shards <= 1024 && shards & (shards - 1) == 0,
      "\(shards) shards: the number must be a power of two from 1 to 1024")
    try require(
      maximumValueBytes > 0 && maximumValueBytes <= 512 << 20,
      "a value limit of \(maximumValueBytes) bytes: it must be from 1 to 512 MiB")
    try require(
      maximumMemoryBytes.map { $0 > 0 } ?? true, "a memory limit is above 0, or there is none")
    try require(
      zone.utf8.count <= 64 && !zone.contains(where: \.isWhitespace),
      "the zone '\(zone)' is longer than 64 bytes or has blanks")
    try require(
      evictionGrace.map { $0 > .zero } ?? true, "nodes are given some time to come back")
    try require(patience > .zero, "commands need some patience with their shard")
    try require(listenerBytesMax > 0, "listeners need some room for messages")
    try require(maximumClients > 0, "at least one client must be allowed")
  }
}
