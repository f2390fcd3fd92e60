import CycladesPaxos
import CycladesTransport

/// What a receiver of snapshots needs of its host.
protocol SnapshotReceiverHost: AnyObject {
  func send(_ header: inout WireHeader, _ body: RawSpan, to peer: NodeID)
}

/// Pulls one snapshot from a peer, frame by frame, keeps the frames in a file and builds the state
/// from them as they come.
///
/// A few frames are asked for ahead; what was asked for and does not come is asked for again. The
/// replica keeps its old state until the new one is complete and durable.
final class SnapshotReceiver: FrameFileOwner {
  enum End {
    case complete(SnapshotAssembly.State, StoredSnapshot)
    case failed(String)
  }

  let id: SnapshotID
  let source: NodeID
  private let node: NodeID
  private let cluster: UInt64
  private unowned let host: any SnapshotReceiverHost
  private let ended: (End) -> Void
  private var assembly: SnapshotAssembly
  private var file: FrameFile!
  private var state: SnapshotAssembly.State?
  /// The place of the next frame to ask for.
  private var asked = 0
  private let frameCount: Int
  private var progressAt: UInt64
  private var askedAt: UInt64

  /// Frames asked for and not there yet.
  private static let framesAhead: Int = 4
  /// Bytes that may wait for the disk before no more is asked for.
  private static let backlogMax: Int = 8 << 20
  private static let patience: UInt64 = 500_000_000
  private static let patienceInAll: UInt64 = 5_000_000_000

  /// Starts to pull the snapshot that `offer`, from `source`, speaks of.
  init(
    _ offer: WireHeader, from source: NodeID, into machine: any StateMachine, now: UInt64,
    node: NodeID,
    cluster: UInt64, folder: DataFolder, reactor: Reactor, host: any SnapshotReceiverHost,
    ended: @escaping (End) -> Void
  ) throws(ReplicationError) {
    id = SnapshotID(offer)
    self.source = source
    self.node = node
    self.cluster = cluster
    self.host = host
    self.ended = ended
    frameCount = Int(offer.count)
    assembly = SnapshotAssembly(id, machine)
    progressAt = now
    askedAt = now
    file = try FrameFile(
      SnapshotFormat.name(group: id.group, slot: id.slot), folder: folder, reactor: reactor,
      owner: self)
    ask(now)
  }

  /// Gives the snapshot up.
  func cancel() { file.discard() }

  /// The state is complete, and is being made durable.
  private var isComplete: Bool { state != nil }

  /// Takes a frame of the snapshot, verified; one that was not asked for is ignored.
  func received(_ header: WireHeader, _ frame: Bytes, now: UInt64) {
    guard SnapshotID(header) == id, header.token == UInt64(assembly.next), !isComplete else {
      return
    }
    let body = frame.span.extracting(WireHeader.byteCount..<frame.byteCount)
    guard let progress = assembly.take(header, body) else {
      return fail("frame \(header.token) cannot be read")
    }
    progressAt = now
    file.append(frame)
    if case .complete(let state) = progress {
      self.state = state
      file.finish()
    } else {
      ask(now)
    }
  }

  private func ask(_ now: UInt64) {
    guard file.backlog < Self.backlogMax else { return }
    while asked < frameCount && asked < assembly.next + Self.framesAhead {
      var header = id.header(.snapshotPull, place: asked, cluster: cluster, node: node)
      host.send(&header, RawSpan(), to: source)
      asked += 1
      askedAt = now
    }
  }

  /// Asks again for what does not come; gives up when nothing comes at all.
  func tick(_ now: UInt64) {
    if isComplete { return }
    if file.backlog >= Self.backlogMax {
      progressAt = now
      return
    }
    if now - progressAt > Self.patienceInAll { return fail("nothing comes any more") }
    if now - max(askedAt, progressAt) > Self.patience { asked = assembly.next }
    ask(now)
  }

  private func fail(_ reason: String) {
    file.discard()
    ended(.failed(reason))
  }

  func drained(_ file: FrameFile) {}

  func finished(_ file: FrameFile) {
    guard let state else { preconditionFailure("a file was finished before its state") }
    ended(.complete(state, StoredSnapshot(id: id, path: file.path, offsets: file.offsets)))
  }

  func failed(_ file: FrameFile, _ error: ReplicationError) { ended(.failed(error.message)) }
}
