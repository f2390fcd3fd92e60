import CycladesPaxos
import CycladesTransport
import Glibc

/// Told how a file of frames comes along.
protocol FrameFileOwner: AnyObject {
  /// Everything appended so far is written, though not durable.
  func drained(_ file: FrameFile)
  /// The file is durable, and has its name.
  func finished(_ file: FrameFile)
  /// The file could not be written and is gone; nothing further comes.
  func failed(_ file: FrameFile, _ error: ReplicationError)
}

/// A file that is written frame by frame through the reactor and gets its name only when all of it
/// is durable: after a crash it is there whole, or not at all.
///
/// One write is in flight at a time; frames appended meanwhile go with the next.
final class FrameFile: FileCompletion {
  let path: String
  /// Where each frame starts, and behind them where the next one would.
  private(set) var offsets = [0]

  private enum Token {
    static let write: UInt64 = 1
    static let sync: UInt64 = 2
    static let folder: UInt64 = 3
  }

  private static let framesPerWrite = 64

  private unowned let owner: any FrameFileOwner
  private let folder: DataFolder
  private let reactor: Reactor
  private var descriptor: Int32
  private var waiting: [Bytes] = []
  private var written = 0
  private var inFlightBytes = 0
  private var isBusy = false
  private var isFinishing = false
  private var isDiscarded = false

  /// Starts the file that will be called `name` in the data folder.
  init(
    _ name: String, folder: DataFolder, reactor: Reactor, owner: any FrameFileOwner
  ) throws(ReplicationError) {
    self.folder = folder
    self.reactor = reactor
    self.owner = owner
    path = folder.path + "/" + name
    descriptor = try Files.open(
      path + SnapshotFormat.unfinished, O_WRONLY | O_CREAT | O_TRUNC)
  }

  /// Bytes appended and not yet written.
  var backlog: Int { offsets.last! - written }

  /// Appends a frame, by reference.
  func append(_ frame: Bytes) {
    precondition(!isFinishing && !isDiscarded)
    offsets.append(offsets.last! + frame.byteCount)
    waiting.append(frame)
    writeNext()
  }

  /// Makes the file durable under its name, when everything is written.
  func finish() {
    isFinishing = true
    writeNext()
  }

  /// Gives the file up, and removes what there is of it.
  func discard() {
    if isDiscarded { return }
    isDiscarded = true
    waiting.removeAll()
    if !isBusy { close() }
  }

  private func writeNext() {
    if isBusy || isDiscarded { return }
    if waiting.isEmpty {
      guard isFinishing else { return }
      isBusy = true
      return reactor.sync(descriptor, completion: self, token: Token.sync)
    }
    let batch = Array(waiting.prefix(FrameFile.framesPerWrite))
    waiting.removeFirst(batch.count)
    inFlightBytes = batch.reduce(0) { $0 + $1.byteCount }
    isBusy = true
    reactor.write(
      batch, to: descriptor, at: Int64(written), durable: false, completion: self,
      token: Token.write)
  }

  func completed(_ token: UInt64, result: Int) {
    isBusy = false
    if isDiscarded { return close() }
    switch token {
    case Token.write:
      guard result == inFlightBytes else {
        return fail("write", result < 0 ? Int32(-result) : ENOSPC)
      }
      written += result
      writeNext()
      if !isBusy { owner.drained(self) }
    case Token.sync:
      if result < 0 { return fail("sync", Int32(-result)) }
      do {
        try Files.rename(path + SnapshotFormat.unfinished, to: path)
      } catch {
        return giveUp(error)
      }
      isBusy = true
      reactor.sync(folder.descriptor, completion: self, token: Token.folder)
    default:
      if result < 0 { return fail("sync folder of", Int32(-result)) }
      Files.close(descriptor)
      descriptor = -1
      owner.finished(self)
    }
  }

  private func fail(_ what: String, _ code: Int32) {
    giveUp(Files.failure(what, path, code))
  }

  private func giveUp(_ error: ReplicationError) {
    isDiscarded = true
    close()
    owner.failed(self, error)
  }

  private func close() {
    if descriptor < 0 { return }
    Files.close(descriptor)
    descriptor = -1
    // Gone already when it was renamed; it is complete then, and the next start will find it.
    try? Files.remove(path + SnapshotFormat.unfinished)
  }
}
