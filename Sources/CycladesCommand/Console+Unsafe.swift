internal import Glibc

/// What a command needs of the terminal it runs in.
enum Console {
  /// Writes a line to standard error.
  static func complain(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
  }

  /// Whether standard output is a terminal whose user did not forbid colours (no-color.org).
  static var isColoured: Bool {
    unsafe isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR") == nil
  }
}
