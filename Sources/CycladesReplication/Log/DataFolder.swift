import CycladesPaxos
import Glibc

/// What makes a data folder this node's: who it belongs to, and which folders its peers use.
///
/// The superblock holds `name value` lines. `log` seeds every record of the log. `incarnation`
/// names this very folder: a peer remembers it at first contact and refuses the node when it comes
/// back with another, because a wiped folder has forgotten what it promised.
struct Identity: Equatable {
  var cluster: String
  var node: NodeID
  var log: UInt64
  var incarnation: UInt64
  var placement: UInt64
  var peers: [NodeID: UInt64] = [:]
  /// Nodes that this one went on without when a quorum was lost, and must never hear again.
  var givenUp: Set<NodeID> = []

  private static let head = "cyclades-data 1"

  var text: String {
    var lines = [
      Identity.head, "cluster \(cluster)", "node \(node.rawValue)", "log \(log)",
      "incarnation \(incarnation)", "placement \(placement)",
    ]
    for peer in peers.keys.sorted() { lines.append("peer \(peer.rawValue) \(peers[peer]!)") }
    for node in givenUp.sorted() { lines.append("given-up \(node.rawValue)") }
    lines.append("end")
    return lines.joined(separator: "\n") + "\n"
  }

  /// Reads the text back; `nil` unless it is whole.
  init?(text: String) {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
    guard lines.popFirst() == Identity.head[...], lines.popLast() == "", lines.popLast() == "end"
    else { return nil }
    var strings: [Substring: Substring] = [:]
    for line in lines {
      let words = line.split(separator: " ", maxSplits: 1)
      guard words.count == 2 else { return nil }
      if words[0] == "peer" {
        let parts = words[1].split(separator: " ")
        guard parts.count == 2, let id = UInt32(parts[0]), let value = UInt64(parts[1]) else {
          return nil
        }
        peers[NodeID(rawValue: id)] = value
      } else if words[0] == "given-up" {
        guard let id = UInt32(words[1]) else { return nil }
        givenUp.insert(NodeID(rawValue: id))
      } else {
        strings[words[0]] = words[1]
      }
    }
    guard let cluster = strings["cluster"], let node = strings["node"].flatMap({ UInt32($0) }),
      let log = strings["log"].flatMap({ UInt64($0) }),
      let incarnation = strings["incarnation"].flatMap({ UInt64($0) }),
      let placement = strings["placement"].flatMap({ UInt64($0) })
    else { return nil }
    self.cluster = String(cluster)
    self.node = NodeID(rawValue: node)
    self.log = log
    self.incarnation = incarnation
    self.placement = placement
  }

  init(cluster: String, node: NodeID, log: UInt64, incarnation: UInt64, placement: UInt64) {
    self.cluster = cluster
    self.node = node
    self.log = log
    self.incarnation = incarnation
    self.placement = placement
  }
}

/// The folder a node keeps its state in, locked for as long as the node runs.
final class DataFolder {
  let path: String
  let superblock: Superblock
  /// Of the folder itself, to make the names in it durable.
  private(set) var descriptor: Int32
  private var lock: Int32

  var identity: Identity { superblock.content.identity }

  /// Opens the folder of `configuration`, or makes it when it is missing or empty.
  ///
  /// Throws `foreignFolder` when it belongs to something else and `folderBusy` when another process
  /// has it; nothing in it is changed then.
  ///
  /// - Parameter name: makes a number other than 0 that nobody else has.
  init(
    _ configuration: HostConfiguration, name: () -> UInt64 = { .random(in: 1...UInt64.max) }
  ) throws(ReplicationError) {
    path = configuration.directory
    try Files.makeFolder(path)
    let names = try Files.names(in: path)
    let known: Set = [Superblock.name, Superblock.name + ".new", "lock"]
    let isKnown = names.contains(Superblock.name)
    if !isKnown && !names.allSatisfy({ known.contains($0) }) {
      throw ReplicationError(
        .foreignFolder,
        "\(path) is not empty and not a Cyclades data folder: choose another with --data")
    }
    lock = try Files.lock(path + "/lock")
    do {
      descriptor = try Files.open(path, O_RDONLY | O_DIRECTORY)
    } catch {
      Files.close(lock)
      throw error
    }
    let placement = DataFolder.placement(of: configuration.groups)
    do {
      if isKnown {
        superblock = try Superblock.open(in: path, groups: configuration.groups.count)
        try DataFolder.check(superblock.content.identity, against: configuration, placement, path)
      } else {
        superblock = try Superblock.create(
          Identity(
            cluster: configuration.cluster, node: configuration.node, log: name(),
            incarnation: name(), placement: placement),
          groups: configuration.groups.count, in: path)
      }
    } catch {
      Files.close(descriptor)
      Files.close(lock)
      throw error
    }
  }

  deinit { close() }

  /// Lets another process have the folder.
  func close() {
    if lock < 0 { return }
    superblock.close()
    Files.close(descriptor)
    Files.close(lock)
    descriptor = -1
    lock = -1
  }

  /// Remembers which folder `peer` uses, durably, before anything it says is counted.
  ///
  /// Returns false when the peer is known with another folder: it lost its disk, and with it its
  /// promises, so it must not vote under this identity.
  func recognise(_ peer: NodeID, incarnation: UInt64) throws(ReplicationError) -> Bool {
    if let known = identity.peers[peer] { return known == incarnation }
    try remember(peer, incarnation: incarnation)
    return true
  }

  /// Knows the peer by this folder from now on: it was decided to be the peer's.
  func remember(_ peer: NodeID, incarnation: UInt64) throws(ReplicationError) {
    if peer == identity.node || identity.peers[peer] == incarnation { return }
    superblock.content.identity.peers[peer] = incarnation
    try superblock.storeNow()
  }

  private static func check(
    _ identity: Identity, against configuration: HostConfiguration, _ placement: UInt64,
    _ path: String
  ) throws(ReplicationError) {
    if identity.cluster != configuration.cluster {
      throw ReplicationError(
        .foreignFolder,
        "\(path) belongs to cluster \"\(identity.cluster)\", not \"\(configuration.cluster)\"")
    }
    if identity.node != configuration.node {
      throw ReplicationError(
        .foreignFolder, "\(path) belongs to node \(identity.node), not node \(configuration.node)")
    }
    if identity.placement != placement {
      throw ReplicationError(
        .foreignFolder,
        "\(path) was made for other groups or members: start with the shards and peers it had")
    }
  }

  /// A digest of which groups exist and who votes in them (FNV-1a over ids).
  private static func placement(of groups: [GroupConfiguration]) -> UInt64 {
    var digest: UInt64 = 0xcbf2_9ce4_8422_2325
    func add(_ value: UInt32) {
      for shift in stride(from: 0, to: 32, by: 8) {
        digest = (digest ^ UInt64((value >> UInt32(shift)) & 0xff)) &* 0x100_0000_01b3
      }
    }
    for group in groups.sorted(by: { $0.id < $1.id }) {
      add(group.id)
      for member in group.members.sorted() { add(member.rawValue) }
      add(UInt32.max)
    }
    return digest
  }
}
