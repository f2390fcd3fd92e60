import CycladesPaxos
import CycladesTransport

/// Told how the writing of a snapshot ended.
protocol SnapshotWriterOwner: AnyObject {
  func written(_ snapshot: StoredSnapshot)
  func notWritten(_ id: SnapshotID, _ error: ReplicationError)
}

/// Writes a group's state of one moment into a file, while the group goes on.
///
/// A part is made when the one before it is written: the disk sets the pace, and a turn of the
/// reactor is held up by one part at the most.
final class SnapshotWriter: FrameFileOwner {
  let id: SnapshotID
  private var source: any SnapshotSource
  private unowned let owner: any SnapshotWriterOwner
  private let cluster: UInt64
  private let node: NodeID
  private let pool: BufferPool
  private var file: FrameFile!
  private var place = 0
  private var part = Reply()

  /// Starts writing; `source` is the machine's state in the slot of `id`.
  init(
    _ id: SnapshotID, _ head: SnapshotHead, _ source: any SnapshotSource, cluster: UInt64,
    node: NodeID, folder: DataFolder, reactor: Reactor, owner: any SnapshotWriterOwner
  ) throws(ReplicationError) {
    self.id = id
    self.source = source
    self.owner = owner
    self.cluster = cluster
    self.node = node
    pool = reactor.pool
    file = try FrameFile(
      SnapshotFormat.name(group: id.group, slot: id.slot), folder: folder, reactor: reactor,
      owner: self)
    do {
      try append(.snapshotHead, logTime: head.logTime, head.encode())
    } catch {
      file.discard()
      throw error
    }
  }

  /// Gives the snapshot up.
  func cancel() { file.discard() }

  func drained(_ file: FrameFile) {
    do {
      part.removeAll()
      if source.next(into: &part, byteCountTarget: SnapshotFormat.partBytesTarget) {
        precondition(
          part.byteCount <= SnapshotFormat.partBytesMax,
          "a machine made a part of \(part.byteCount) bytes, more than SnapshotSource allows")
        try append(.snapshotPart, part.bytes)
      } else {
        try append(.snapshotEnd, [])
        file.finish()
      }
    } catch {
      file.discard()
      owner.notWritten(id, error)
    }
  }

  private func append(
    _ kind: WireHeader.Kind, logTime: UInt64 = 0, _ body: [UInt8]
  ) throws(ReplicationError) {
    var header = id.header(
      kind, place: place, cluster: cluster, node: node, bodyByteCount: body.count)
    header.time = logTime
    place += 1
    do {
      var buffer = try Buffer(minimumCapacity: header.frameByteCount, in: pool)
      buffer.appendZeros(WireHeader.byteCount)
      buffer.append(body)
      let frame = buffer.freeze()
      frame.seal(&header)
      file.append(frame)
    } catch {
      throw ReplicationError(.ioFailed, "no memory for a snapshot: \(error)")
    }
  }

  func finished(_ file: FrameFile) {
    owner.written(StoredSnapshot(id: id, path: file.path, offsets: file.offsets))
  }

  func failed(_ file: FrameFile, _ error: ReplicationError) { owner.notWritten(id, error) }
}
