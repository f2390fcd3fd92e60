internal import CCycladesShuffle
import Glibc

/// A worker process as its coordinator sees it.
struct ChildProcess {
  let identifier: pid_t

  private static let variable = "CYCLADES_MAPREDUCE_WORKER"

  /// Starts a worker, which ends with the calling thread at the latest.
  ///
  /// It leads a process group of its own, so that Ctrl-C in a terminal reaches it through its
  /// coordinator alone; its standard input is empty and its output goes to standard error.
  static func start(_ launch: WorkerLaunch, bond: WorkerBond) throws -> ChildProcess {
    let words = unsafe ([launch.program] + launch.arguments).map { unsafe strdup($0) } + [nil]
    defer { unsafe words.forEach { unsafe free($0) } }
    let bondWord = unsafe strdup("\(variable)=\(bond.text)")
    defer { unsafe free(bondWord) }
    var environment: [UnsafeMutablePointer<CChar>?] = unsafe [bondWord]
    var entry = unsafe environ
    while let word = unsafe entry.pointee {
      if unsafe strncmp(word, variable, variable.utf8.count) != 0 {
        unsafe environment.append(word)
      }
      unsafe entry += 1
    }
    unsafe environment.append(nil)

    var identifier: Int32 = 0
    let result = unsafe cyc_process_start(launch.program, words, environment, &identifier)
    guard result == 0 else {
      throw MapReduceError(
        .worker, "cannot start a worker from '\(launch.program)': \(Files.reason(-result))")
    }
    return ChildProcess(identifier: identifier)
  }

  func signal(_ number: Int32) { kill(identifier, number) }

  /// How it ended, or nil while it runs.
  func ending() -> String? {
    var status: Int32 = 0
    guard unsafe waitpid(identifier, &status, WNOHANG) == identifier else { return nil }
    let signal = status & 0x7F
    return signal == 0 ? "exit code \(status >> 8 & 0xFF)" : "signal \(signal)"
  }

  /// Kills it and waits until it is gone.
  func end() {
    kill(identifier, SIGKILL)
    var status: Int32 = 0
    while unsafe waitpid(identifier, &status, 0) < 0 && errno == EINTR {}
  }

  /// The bond of this process, if it was started as a worker; a second call gives nil, as do
  /// processes that this one starts.
  static func takeBond() -> WorkerBond? {
    guard let text = unsafe getenv(variable).map({ unsafe String(cString: $0) }) else { return nil }
    unsafe unsetenv(variable)
    return WorkerBond(text: text)
  }

  /// Ends this process as a crash would.
  static func killSelf() { kill(getpid(), SIGKILL) }

  /// A digest of an executable.
  static func buildDigest(of program: String) throws -> UInt64 {
    let file = unsafe open(program, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Files.failed(.worker, "start a worker from", program) }
    defer { close(file) }
    var info = stat()
    guard unsafe fstat(file, &info) == 0, info.st_size > 0 else {
      throw Files.failed(.worker, "start a worker from", program)
    }
    let count = Int(info.st_size)
    let bytes = unsafe mmap(nil, count, PROT_READ, MAP_PRIVATE, file, 0)
    guard let bytes = unsafe bytes, unsafe bytes != MAP_FAILED else {
      throw Files.failed(.worker, "start a worker from", program)
    }
    defer { unsafe munmap(bytes, count) }
    return unsafe hash(UnsafeRawBufferPointer(start: bytes, count: count))
  }
}

/// What ties a worker to its coordinator; passed through the environment, which other users cannot
/// read.
struct WorkerBond: Hashable, Sendable {
  /// Of the coordinator, on the loopback interface.
  var port: UInt16
  var job: UInt64
  /// Known to the coordinator and its workers alone.
  var token: UInt64
  /// The memory budget of the worker.
  var memoryBytes: Int
  /// Where its spill files go.
  var spillFolder: String
}

extension WorkerBond {
  init?(text: String) {
    let parts = text.split(separator: " ", maxSplits: 4)
    guard parts.count == 5, let port = UInt16(parts[0]), let job = UInt64(parts[1], radix: 16),
      let token = UInt64(parts[2], radix: 16), let memoryBytes = Int(parts[3]), memoryBytes > 0
    else { return nil }
    self.init(
      port: port, job: job, token: token, memoryBytes: memoryBytes, spillFolder: String(parts[4]))
  }

  var text: String {
    "\(port) \(String(job, radix: 16)) \(String(token, radix: 16)) \(memoryBytes) "
      + spillFolder
  }
}
