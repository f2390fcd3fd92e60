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

  init(keepsFolder: Bool) throws {
    self.keepsFolder = keepsFolder
    let parent = FileManager.default.temporaryDirectory.path
    folder = "\(parent)/cyclades-\(getpid())-\(monotonicNanoseconds() % 1_000_000)"
    do {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw CommandFailure("cannot create the folder \(folder): set TMPDIR to a writable place")
    }
    onInterruption { [self] number in
      writeAll("\ninterrupted, cleaning up\n", to: STDERR_FILENO)
      clear()
      _exit(128 + number)
    }
  }

  func start(_ arguments: [String], output: String) throws -> ChildProcess {
    try children.withLock { children in
      let child = try ChildProcess.start(arguments, output: output)
      children.append(child)
      return child
    }
  }

  /// Sends a signal to a child and waits for its end.
  @discardableResult
  func end(_ child: ChildProcess, _ number: Int32) -> ChildProcess.Ending {
    child.signal(number)
    return reap(child, within: .seconds(10))
  }

  /// How a child ended, if it has.
  func poll(_ child: ChildProcess) -> ChildProcess.Ending? {
    guard let ending = child.poll() else { return nil }
    forget(child)
    return ending
  }

  /// Waits for a child to end by itself; past the limit it is killed.
  @discardableResult
  func reap(_ child: ChildProcess, within limit: Duration) -> ChildProcess.Ending {
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline {
      if let ending = poll(child) { return ending }
      pause(milliseconds: 5)
    }
    child.signal(SIGKILL)
    defer { forget(child) }
    return child.wait()
  }

  private func forget(_ child: ChildProcess) {
    children.withLock { $0.removeAll { $0.identifier == child.identifier } }
  }

  /// Ends every child and removes the folder.
  func clear() {
    let left = children.withLock { children in
      defer { children = [] }
      return children
    }
    // A child may have children of its own: it gets a moment to end them.
    for child in left { child.signal(SIGTERM) }
    for child in left { reap(child, within: .seconds(2)) }
    if !keepsFolder { try? FileManager.default.removeItem(atPath: folder) }
  }
}

/// The last line of a log, for an error message.
func lastLine(ofFile path: String) -> String {
  let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
  return text.split(separator: "\n").last.map(String.init) ?? "it wrote nothing"
}
