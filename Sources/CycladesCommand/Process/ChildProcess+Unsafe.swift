import Glibc

/// A child process: this same executable with other arguments, its output in a file.
struct ChildProcess: Sendable {
  let identifier: pid_t

  /// Starts this executable with other arguments.
  ///
  /// The child leads a process group of its own, so that Ctrl-C in the terminal reaches it only
  /// through its parent. Its standard input is the lifeline: should the parent be killed without
  /// a chance to clean up, the child sees it end and follows.
  static func start(_ arguments: [String], output: String) throws(CommandFailure) -> ChildProcess {
    guard let lifeline else { throw CommandFailure("cannot make a pipe: error \(errno)") }
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, lifeline.readEnd, STDIN_FILENO)
    unsafe posix_spawn_file_actions_addopen(
      &actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    unsafe posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)

    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    var noSignals = sigset_t()
    unsafe sigemptyset(&noSignals)
    unsafe posix_spawnattr_setsigmask(&attributes, &noSignals)
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    unsafe posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP))

    let words = unsafe (["cyclades"] + arguments).map { unsafe strdup($0) } + [nil]
    defer { unsafe words.forEach { unsafe free($0) } }
    unsafe setenv(diesWithParentVariable, "1", 1)
    defer { unsafe unsetenv(diesWithParentVariable) }
    var identifier: pid_t = 0
    let result = unsafe posix_spawn(
      &identifier, "/proc/self/exe", &actions, &attributes, words, environ)
    guard result == 0 else {
      throw CommandFailure("cannot start 'cyclades \(arguments.first ?? "")': error \(result)")
    }
    return ChildProcess(identifier: identifier)
  }

  func signal(_ number: Int32) { kill(identifier, number) }

  enum Ending: Equatable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)

    var description: String {
      switch self {
      case .exited(let code): "ended with code \(code)"
      case .signalled(let number): "was killed by signal \(number)"
      }
    }
  }

  /// How the process ended, if it has; that is told once.
  func poll() -> Ending? {
    var status: Int32 = 0
    let result = unsafe waitpid(identifier, &status, WNOHANG)
    if result == 0 || (result < 0 && errno == EINTR) { return nil }
    if result < 0 { return .signalled(0) }
    let signal = status & 0x7F
    return signal == 0 ? .exited((status >> 8) & 0xFF) : .signalled(signal)
  }
}

/// A pipe that nobody writes to: its end of file says that the process that made it is gone.
private let lifeline: (readEnd: Int32, writeEnd: Int32)? = {
  var ends: [Int32] = [-1, -1]
  guard unsafe pipe(&ends) == 0 else { return nil }
  for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  return (ends[0], ends[1])
}()

private let diesWithParentVariable = "CYCLADES_DIES_WITH_PARENT"

/// Ends this process with its parent, when the parent wished so: first politely, then for sure.
func dieWithParentIfAsked() {
  guard environmentValue(diesWithParentVariable) != nil else { return }
  unsafe unsetenv(diesWithParentVariable)
  startThread {
    var byte: UInt8 = 0
    while unsafe read(STDIN_FILENO, &byte, 1) != 0 && errno == EINTR {}
    kill(getpid(), SIGTERM)
    sleep(3)
    _exit(EXIT_FAILURE)
  }
}
