import Glibc

/// The standard input as a file that any process of this user can open by path.
///
/// A redirected file is used as it is. What comes through a pipe is first copied to a temporary file
/// without a name, which vanishes with this process however it ends.
final class StandardInput: Sendable {
  private let file: Int32

  /// The path under `/proc`, valid while `self` lives.
  var path: String { "/proc/\(getpid())/fd/\(file)" }

  init() throws {
    var info = stat()
    guard unsafe fstat(STDIN_FILENO, &info) == 0 else {
      throw Files.failed(.input, "read", "the standard input")
    }
    if info.st_mode & S_IFMT == S_IFREG {
      file = dup(STDIN_FILENO)
      return
    }
    let folder = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
    var template = Array("\(folder)/cyclades-stdin-XXXXXX".utf8CString)
    file = unsafe mkstemp(&template)
    guard file >= 0 else { throw Files.failed(.input, "make a temporary file in", folder) }
    unsafe unlink(template)
    try copyInput()
  }

  deinit { close(file) }

  private func copyInput() throws {
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = unsafe read(STDIN_FILENO, &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw Files.failed(.input, "read", "the standard input") }
      if count == 0 { return }
      var written = 0
      while written < count {
        let result = unsafe buffer.withUnsafeBytes {
          unsafe write(file, $0.baseAddress.unsafelyUnwrapped + written, count - written)
        }
        guard result > 0 else { throw Files.failed(.input, "copy", "the standard input") }
        written += result
      }
    }
  }
}
