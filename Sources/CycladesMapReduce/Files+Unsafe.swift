import Glibc

/// The file system calls the layer makes, with errors that name the path.
enum Files {
  /// What a path is.
  struct Status {
    var isRegular: Bool
    var isDirectory: Bool
    var byteCount: Int
    /// The same for the same file in the same state, on one machine.
    var identity: UInt64
  }

  /// The reason of the last failed call, as the system words it.
  static func reason(_ number: Int32 = errno) -> String {
    unsafe String(cString: strerror(number))
  }

  /// What lies at a path, following links; nil with errno when nothing can be seen there.
  static func status(_ path: String) -> Status? {
    var info = stat()
    guard unsafe stat(path, &info) == 0 else { return nil }
    return Status(
      isRegular: info.st_mode & S_IFMT == S_IFREG, isDirectory: info.st_mode & S_IFMT == S_IFDIR,
      byteCount: Int(info.st_size),
      identity: [
        UInt64(info.st_dev), UInt64(info.st_ino), UInt64(info.st_size),
        UInt64(bitPattern: Int64(info.st_mtim.tv_sec)),
        UInt64(bitPattern: Int64(info.st_mtim.tv_nsec)),
      ].reduce(0, mix))
  }

  /// Whether a path is itself a link.
  static func isLink(_ path: String) -> Bool {
    var info = stat()
    return unsafe lstat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFLNK
  }

  /// The names in a folder in byte order, without `.` and `..`; nil with errno.
  static func names(in folder: String) -> [String]? {
    guard let stream = unsafe opendir(folder) else { return nil }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// The paths a pattern stands for, in byte order; empty when there are none.
  static func expand(_ pattern: String) -> [String] {
    var found = unsafe glob_t()
    defer { unsafe globfree(&found) }
    guard unsafe glob(pattern, 0, nil, &found) == 0 else { return [] }
    return unsafe (0..<Int(found.gl_pathc))
      .compactMap { unsafe found.gl_pathv[$0].map { unsafe String(cString: $0) } }
      .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// Makes renames and new names in a folder durable.
  static func syncFolder(_ folder: String) throws {
    let file = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard file >= 0 else { throw failed(.output, "open", folder) }
    defer { close(file) }
    guard fsync(file) == 0 else { throw failed(.output, "sync", folder) }
  }

  /// All bytes of a file.
  static func contents(_ path: String) throws -> [UInt8] {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw failed(.input, "read", path) }
    defer { close(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe read(file, &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw failed(.input, "read", path) }
      if count == 0 { return bytes }
      bytes += buffer[..<count]
    }
  }

  /// Removes the output folder of a job.
  static func removeOutput(_ folder: String) {
    guard let output = try? OutputFolder(claiming: folder, job: "removal", overwrites: true) else {
      return
    }
    output.discard()
    unsafe rmdir(folder)
  }

  static func failed(
    _ code: MapReduceError.Code, _ what: String, _ path: String
  ) -> MapReduceError {
    MapReduceError(code, "cannot \(what) '\(path)': \(reason())")
  }
}
