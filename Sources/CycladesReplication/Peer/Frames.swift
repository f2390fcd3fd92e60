import CycladesPaxos
import CycladesTransport

/// Making and taking apart the frames that hosts exchange beside the protocol's own.
enum Frames {
  /// What the flags of a `reply` say.
  enum ReplyKind: UInt16 {
    case replies = 1
    case early = 2
    case answers = 3
    case turnedAway = 4
  }

  /// The entries that a frame of the protocol carries: itself, or those in its body. `nil` when they
  /// are not what the header says.
  static func entries(_ frame: Bytes, _ header: WireHeader, cluster: UInt64) -> [Entry]? {
    switch header.kind {
    case .accept: return EntryPayload(frame, header).map { [header.entry($0)] }
    case .promise, .learn: break
    default: return []
    }
    var entries: [Entry] = []
    var offset = WireHeader.byteCount
    while offset < frame.byteCount {
      let rest = frame.slice(offset..<frame.byteCount)
      guard let inner = try? WireHeader(verifying: rest.span, cluster: cluster),
        inner.kind == .accept, inner.group == header.group
      else { return nil }
      let bytes = rest.slice(0..<inner.frameByteCount)
      guard let payload = EntryPayload(bytes, inner) else { return nil }
      entries.append(inner.entry(payload))
      offset += inner.frameByteCount
    }
    return entries.count == Int(header.count) ? entries : nil
  }
}

extension ReplicaHost {
  func answer(_ answer: Answer, to origin: NodeID, group: Int) {
    if origin == node {
      deliver(answer, group)
      return
    }
    switch answer {
    case .replies(let session, let sequence, let bytes):
      var header = replyHeader(.replies, group, bytes.count)
      header.extra = session
      header.token = sequence
      send(&header, bytes.rawSpan, to: origin)
    case .early(let session, let expected):
      var header = replyHeader(.early, group, 0)
      header.extra = session
      header.token = expected
      send(&header, RawSpan(), to: origin)
    case .answers(let id, let bytes):
      var header = replyHeader(.answers, group, bytes.count)
      header.token = id
      send(&header, bytes.rawSpan, to: origin)
    case .turnedAway(let leader):
      var header = replyHeader(.turnedAway, group, 0)
      header.ballot = Ballot(round: 0, node: leader ?? NodeID(rawValue: 0))
      send(&header, RawSpan(), to: origin)
    }
  }

  private func replyHeader(_ kind: Frames.ReplyKind, _ group: Int, _ size: Int) -> WireHeader {
    var header = header(.reply, group: group, bodyByteCount: size)
    header.flags = kind.rawValue
    return header
  }

  func receivedReply(_ header: WireHeader, _ frame: Bytes, _ group: Int) {
    let body = frame.slice(WireHeader.byteCount..<frame.byteCount)
    switch Frames.ReplyKind(rawValue: header.flags) {
    case .replies:
      courier(group).answered(
        session: header.extra, sequence: header.token, replies: body.span)
    case .early: courier(group).tooEarly(session: header.extra, expected: header.token)
    case .answers: courier(group).answered(read: header.token, replies: body.span)
    case .turnedAway: turnedAway(group, header.ballot.node)
    case nil: break
    }
  }

  private func deliver(_ answer: Answer, _ group: Int) {
    switch answer {
    case .replies(let session, let sequence, let bytes):
      courier(group).answered(session: session, sequence: sequence, replies: bytes.rawSpan)
    case .early(let session, let expected):
      courier(group).tooEarly(session: session, expected: expected)
    case .answers(let id, let bytes): courier(group).answered(read: id, replies: bytes.rawSpan)
    case .turnedAway: courier(group).turnedAway()
    }
  }
}
