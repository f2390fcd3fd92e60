import CycladesPaxos
import CycladesTransport
import Glibc
import Logging

/// A group's state as its newest good snapshot has it.
struct LoadedSnapshot {
  var state: SnapshotAssembly.State
  var stored: StoredSnapshot
}

/// Finds the snapshots in a data folder at the start, and tidies up what a crash left of others.
struct SnapshotRecovery {
  private let folder: DataFolder
  private let cluster: UInt64
  private let logger: Logger
  /// By group, the newest first.
  private var files: [UInt32: [Slot]] = [:]
  /// Damaged snapshots that were passed over.
  private(set) var damagedCount: UInt64 = 0

  /// Lists the folder; files of snapshots that were never finished are removed.
  init(_ folder: DataFolder, cluster: UInt64, logger: Logger) throws(ReplicationError) {
    self.folder = folder
    self.cluster = cluster
    self.logger = logger
    for name in try Files.names(in: folder.path) {
      if SnapshotFormat.isUnfinished(name) {
        try Files.remove(folder.path + "/" + name)
      } else if let (group, slot) = SnapshotFormat.parse(name) {
        files[group, default: []].append(slot)
      }
    }
    for group in files.keys { files[group]!.sort(by: >) }
  }

  /// Restores the group's newest snapshot that is whole; `nil` when there is none. Every byte is
  /// verified.
  ///
  /// A damaged snapshot is passed over: whether an older one will do, the log decides.
  mutating func load(
    _ group: UInt32, _ makeMachine: () -> any StateMachine
  ) throws(ReplicationError) -> LoadedSnapshot? {
    let slots = files[group] ?? []
    for slot in slots {
      let path = path(group, slot)
      if let loaded = try restore(path, group, slot, makeMachine()) { return loaded }
      damagedCount += 1
      logger.error("damaged snapshot", metadata: ["path": "\(path)"])
    }
    return nil
  }

  /// Removes all snapshots but those that the groups begin with.
  func tidy(keeping slots: [Slot?]) throws(ReplicationError) {
    for (group, found) in files {
      let kept = group < UInt32(slots.count) ? slots[Int(group)] : nil
      for slot in found where slot != kept { try Files.remove(path(group, slot)) }
    }
  }

  private func path(_ group: UInt32, _ slot: Slot) -> String {
    folder.path + "/" + SnapshotFormat.name(group: group, slot: slot)
  }

  private func restore(
    _ path: String, _ group: UInt32, _ slot: Slot, _ machine: any StateMachine
  ) throws(ReplicationError) -> LoadedSnapshot? {
    let descriptor = try Files.open(path, O_RDONLY)
    defer { Files.close(descriptor) }
    let size = try Files.size(descriptor, path)
    var assembly: SnapshotAssembly?
    var offsets = [0]
    while let offset = offsets.last, offset < size {
      let head = try Files.read(descriptor, path, at: offset, count: WireHeader.byteCount)
      guard let header = try? WireHeader(verifyingHeaderOf: head.rawSpan, cluster: cluster),
        header.frameByteCount <= size - offset
      else { return nil }
      let frame = try Files.read(
        descriptor, path, at: offset, count: header.frameByteCount)
      guard (try? WireHeader(verifying: frame.rawSpan, cluster: cluster)) != nil else {
        return nil
      }
      if assembly == nil { assembly = SnapshotAssembly(SnapshotID(header), machine) }
      guard header.group == group, header.slot == slot,
        let progress = assembly?.take(
          header, frame.rawSpan.extracting(WireHeader.byteCount..<frame.count))
      else { return nil }
      offsets.append(offset + header.frameByteCount)
      if case .complete(let state) = progress {
        guard offsets.last == size else { return nil }
        return LoadedSnapshot(
          state: state,
          stored: StoredSnapshot(id: SnapshotID(header), path: path, offsets: offsets))
      }
    }
    return nil
  }
}
