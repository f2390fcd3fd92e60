import ArgumentParser
import FoundationEssentials
import Glibc
import Synchronization

/// Everything a run leaves behind if nobody cleans up: child processes and a temporary folder.
///
/// `clear` ends the processes and removes the folder; it runs at the end, after a failure, and on
/// Ctrl-C.
final class DemoStage: Sendable {
  /// The temporary folder of the run.
  let folder: String
  private let keepsFolder: Bool
  private let children = Mutex<[ChildProcess]>([])
  private let isInterrupted = Atomic<Bool>(false)

  init(keepsFolder: Bool) throws {
    self.keepsFolder = keepsFolder
    let parent = FileManager.default.temporaryDirectory.path
    folder = "\(parent)/cyclades-\(getpid())-\(monotonicNanoseconds() % 1_000_000)"
    do {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    } catch {
      throw CommandFailure("cannot create the folder \(folder): set TMPDIR to a writable place")
    }
    onInterruption { [self] number in
      isInterrupted.store(true, ordering: .sequentiallyConsistent)
      clear()
      writeAll("\ncyclades: interrupted; all processes are ended\n", to: STDERR_FILENO)
      _exit(128 + number)
    }
  }

  /// Starts this executable with other arguments, its output appended to a file.
  func start(_ arguments: [String], output: String) throws -> ChildProcess {
    let child = try children.withLock { children -> ChildProcess? in
      if isInterrupted.load(ordering: .sequentiallyConsistent) { return nil }
      children.append(try ChildProcess.start(arguments, output: output))
      return children.last
    }
    if let child { return child }
    standStillIfInterrupted()
    throw CommandFailure("interrupted")
  }

  /// How a child ended, if it has.
  func poll(_ child: ChildProcess) -> ChildProcess.Ending? {
    standStillIfInterrupted()
    return reapNow(child)
  }

  /// Waits for a child to end by itself; past the limit it is killed.
  @discardableResult
  func reap(_ child: ChildProcess, within limit: Duration) -> ChildProcess.Ending {
    let ending = awaitEnd(child, limit)
    standStillIfInterrupted()
    return ending
  }

  /// Ends every child and removes the folder.
  func clear() {
    let left = children.withLock { $0 }
    // A child may have children of its own: it gets a moment to end them.
    for child in left { child.signal(SIGTERM) }
    for child in left { _ = awaitEnd(child, .seconds(2)) }
    if !keepsFolder { try? FileManager.default.removeItem(atPath: folder) }
  }

  private func awaitEnd(_ child: ChildProcess, _ limit: Duration) -> ChildProcess.Ending {
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline {
      if let ending = reapNow(child) { return ending }
      pause(milliseconds: 5)
    }
    child.signal(SIGKILL)
    while true {
      if let ending = reapNow(child) { return ending }
      pause(milliseconds: 1)
    }
  }

  private func reapNow(_ child: ChildProcess) -> ChildProcess.Ending? {
    children.withLock { children in
      guard let index = children.firstIndex(where: { $0.identifier == child.identifier }) else {
        return .signalled(0)
      }
      guard let ending = child.poll() else { return nil }
      children.remove(at: index)
      return ending
    }
  }

  /// Once the run is interrupted, the end of a child is no news: the process is about to exit.
  private func standStillIfInterrupted() {
    while isInterrupted.load(ordering: .sequentiallyConsistent) { pause(milliseconds: 100) }
  }
}

/// The last line of a child's log, for an error message.
func lastLine(ofFile path: String) -> String {
  let log = FileManager.default.contents(atPath: path) ?? Data()
  guard let line = String(decoding: log, as: UTF8.self).split(separator: "\n").last else {
    return "it wrote nothing to \(path)"
  }
  let prefix = "cyclades: "
  return String(line.hasPrefix(prefix) ? line.dropFirst(prefix.count) : line)
}

/// What all runs on a stage may be asked.
struct StageOptions: ParsableArguments {
  @Flag(name: .long, help: "Keep the data folders and logs.")
  var keep = false

  /// Makes the stage; when it is to stay, `say` hears where it is.
  func open(_ say: (String) -> Void) throws -> DemoStage {
    let stage = try DemoStage(keepsFolder: keep)
    if keep { say("data and logs are in \(stage.folder)") }
    return stage
  }
}
