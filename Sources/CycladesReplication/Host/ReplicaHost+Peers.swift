public import CycladesPaxos
public import CycladesTransport
import Logging

// Who the peers are, what they say, and where it goes.

extension ReplicaHost {
  /// Peers known at a time, beyond which unknown ones are refused.
  private static let peersMax = 1024

  /// Says where a peer listens, and keeps a connection to it from now on.
  ///
  /// Peers that were configured, and those that introduce themselves, are known already.
  public func setPeer(_ peer: NodeID, _ address: SocketAddress) {
    if isStopping || peer == node || links[peer]?.address == address { return }
    if folder.identity.givenUp.contains(peer) { return }
    links[peer]?.stop()
    let link = PeerLink(peer, address, PeerFrames.mode(configuration.limits), host: self)
    links[peer] = link
    link.dial()
  }

  /// Closes the connection to a peer, which then is none any more until it introduces itself again.
  public func removePeer(_ peer: NodeID) {
    links.removeValue(forKey: peer)?.stop()
  }

  /// The body of an introduction: where this node listens for its peers, and the announcement.
  private var introduction: [UInt8] {
    let address = Array("\(configuration.peers[node] ?? configuration.peerListen)".utf8)
    var body = Reply()
    body.append(littleEndian: UInt16(address.count))
    body.append(contentsOf: address)
    body.append(contentsOf: announcement)
    return body.bytes
  }

  private func readIntroduction(_ body: RawSpan) -> (SocketAddress, [UInt8])? {
    var input = SpanReader(body)
    guard let size = input.read(UInt16.self), let text = input.read(byteCount: Int(size)),
      let announcement = input.read(byteCount: body.byteCount - 2 - Int(size)),
      announcement.count <= 1024,
      let address = try? SocketAddress(parsing: String(decoding: text, as: UTF8.self))
    else { return nil }
    return (address, announcement)
  }
}

extension ReplicaHost: PeerHost {
  func sendHello(_ connection: ConnectionID) {
    let body = introduction
    var header = WireHeader(
      kind: .hello, cluster: cluster, group: 0, sender: node, bodyByteCount: body.count)
    header.token = incarnation
    header.extra = folder.identity.placement
    header.time = configuration.lease?.duration ?? 0
    header.slot = configuration.lease?.maximumDrift ?? 0
    reactor.send(connection, &header, body.rawSpan)
  }

  func recognise(_ frame: Bytes) -> Result<NodeID, PeerRefusal> {
    func refuse(_ reason: String) -> Result<NodeID, PeerRefusal> {
      .failure(PeerRefusal(reason: reason))
    }
    let header: WireHeader
    do {
      header = try WireHeader(verifying: frame.span, cluster: cluster)
    } catch {
      return refuse("not a frame of cluster \"\(configuration.cluster)\": \(error)")
    }
    let peer = header.sender
    guard header.kind == .hello, peer.rawValue != 0, header.bodyByteCount <= 2048,
      let (address, announcement) = readIntroduction(
        frame.span.extracting(WireHeader.byteCount..<frame.byteCount))
    else { return refuse("no introduction") }
    guard peer != node else { return refuse("another node says that it is node \(peer), too") }
    guard !folder.identity.givenUp.contains(peer) else {
      return refuse(
        "node \(peer) was given up when a quorum was lost: it can come back with an empty folder, "
          + "under another number")
    }
    guard header.extra == folder.identity.placement else {
      return refuse("node \(peer) was started with other shards or first members than this node")
    }
    guard header.time == configuration.lease?.duration ?? 0,
      header.slot == configuration.lease?.maximumDrift ?? 0
    else { return refuse("node \(peer) was started with another lease than this node") }
    guard links[peer] != nil || links.count < Self.peersMax else {
      return refuse("there are \(Self.peersMax) peers already")
    }
    do {
      if try !folder.recognise(peer, incarnation: header.token) {
        logger.notice(
          "a peer came back with another data folder, its votes do not count yet",
          metadata: ["peer": "\(peer)"])
      }
    } catch {
      logFailed(error)
      return refuse("this node stops")
    }
    disks.note(peer, header.token, now: now)
    announcements[peer] = announcement
    if links[peer] == nil { setPeer(peer, address) }
    return .success(peer)
  }

  func opened(_ peer: NodeID) {
    logger.debug("peer connected", metadata: ["peer": "\(peer)"])
    for index in replicas.indices {
      guard let replica = member(index), mayCount(peer, replica) else { continue }
      replica.step(.connected(peer, incarnation: disks.incarnation(peer)))
    }
  }

  func lost(_ peer: NodeID) {
    for courier in couriers { courier.lost(peer) }
  }

  /// Whether what a peer says may reach the core: it has the folder that it was first seen with, or
  /// the one that the group knows it by. The core itself tells apart only members whose folder was
  /// decided on.
  private func mayCount(_ peer: NodeID, _ replica: Group) -> Bool {
    let incarnation = disks.incarnation(peer)
    if folder.identity.peers[peer] == incarnation { return true }
    return replica.core.schedule.members(peer).contains { $0.incarnation != 0 }
  }

  func received(_ frame: Bytes, from peer: NodeID) -> Bool {
    if isStopping { return true }
    guard let header = try? WireHeader(verifying: frame.span, cluster: cluster),
      header.group < UInt32(replicas.count)
    else {
      logger.warning("damaged frame", metadata: ["peer": "\(peer)"])
      return false
    }
    let group = Int(header.group)
    switch header.kind {
    case .request: return receivedRequest(frame, from: peer, group)
    case .query:
      let body = frame.slice(WireHeader.byteCount..<frame.byteCount)
      if member(group)?.read(body, id: header.token, origin: peer) != true {
        answer(.turnedAway(leader: leader(of: header.group)), to: peer, group: group)
      }
      return true
    case .reply:
      receivedReply(header, frame, group)
      return true
    case .notice:
      noticed(frame, from: peer)
      return true
    case .snapshotHead, .snapshotPart, .snapshotEnd, .snapshotOffer, .snapshotPull:
      snapshots.received(header, frame, from: peer)
      return true
    default:
      guard let entries = Frames.entries(frame, header, cluster: cluster),
        let message = header.message(entries: entries)
      else { return false }
      if let replica = member(group) ?? join(group, header.kind), mayCount(peer, replica) {
        replica.received(message, from: peer, incarnation: disks.incarnation(peer))
      }
      return true
    }
  }

  private func receivedRequest(_ frame: Bytes, from peer: NodeID, _ group: Int) -> Bool {
    let body = frame.slice(WireHeader.byteCount..<frame.byteCount)
    guard let request = RequestHeader(body.span), Int(request.size) == body.byteCount,
      request.origin == peer.rawValue
    else { return false }
    if member(group)?.lead(body, frame: nil) != true {
      answer(.turnedAway(leader: leader(of: UInt32(group))), to: peer, group: group)
    }
    return true
  }
}
