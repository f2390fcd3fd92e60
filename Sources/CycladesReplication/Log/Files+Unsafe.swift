import Glibc

/// The few file-system calls the replication layer makes outside the reactor: at start-up, and when
/// a segment is opened. Everything on the commit path goes through the reactor instead.
enum Files {
  /// One line for an `errno`, with the call and the path it failed on.
  static func failure(_ what: String, _ path: String, _ code: Int32 = errno) -> ReplicationError {
    let reason = unsafe String(cString: strerror(code))
    return ReplicationError(.ioFailed, "cannot \(what) \(path): \(reason)")
  }

  static func open(_ path: String, _ flags: Int32) throws(ReplicationError) -> Int32 {
    let descriptor = unsafe Glibc.open(path, flags | O_CLOEXEC, 0o644)
    if descriptor < 0 { throw failure("open", path) }
    return descriptor
  }

  static func close(_ descriptor: Int32) { _ = Glibc.close(descriptor) }

  static func size(_ descriptor: Int32, _ path: String) throws(ReplicationError) -> Int {
    var status = stat()
    if unsafe fstat(descriptor, &status) != 0 { throw failure("examine", path) }
    return Int(status.st_size)
  }

  /// Makes the folder and its missing parents.
  static func makeFolder(_ path: String) throws(ReplicationError) {
    if unsafe mkdir(path, 0o755) == 0 || errno == EEXIST { return }
    if errno == ENOENT, let cut = path.lastIndex(of: "/"), cut != path.startIndex {
      try makeFolder(String(path[..<cut]))
      if unsafe mkdir(path, 0o755) == 0 || errno == EEXIST { return }
    }
    throw failure("make folder", path)
  }

  /// The names in a folder, sorted, without `.` and `..`.
  static func names(in path: String) throws(ReplicationError) -> [String] {
    guard let folder = unsafe opendir(path) else { throw failure("list folder", path) }
    defer { _ = unsafe closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) {
          unsafe String(cString: $0)
        }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  static func remove(_ path: String) throws(ReplicationError) {
    if unsafe unlink(path) != 0 { throw failure("remove", path) }
  }

  static func rename(_ path: String, to newPath: String) throws(ReplicationError) {
    if unsafe Glibc.rename(path, newPath) != 0 { throw failure("rename", path) }
  }

  /// Makes the folder's entries durable.
  static func syncFolder(_ path: String) throws(ReplicationError) {
    let descriptor = try open(path, O_RDONLY | O_DIRECTORY)
    defer { close(descriptor) }
    if fsync(descriptor) != 0 { throw failure("sync folder", path) }
  }

  /// Takes the folder's lock file for the life of the descriptor; throws `folderBusy` when another
  /// process has it.
  static func lock(_ path: String) throws(ReplicationError) -> Int32 {
    let descriptor = try open(path, O_RDWR | O_CREAT)
    if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      close(descriptor)
      throw ReplicationError(.folderBusy, "another process works in the data folder (\(path))")
    }
    return descriptor
  }

  /// Reads `count` bytes at `offset`, fewer only at the end of the file.
  static func read(
    _ descriptor: Int32, _ path: String, at offset: Int, count: Int
  ) throws(ReplicationError) -> [UInt8] {
    var failed: Int32 = 0
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      filled = unsafe readFully(
        descriptor, UnsafeMutableRawBufferPointer(buffer), at: offset, failed: &failed)
    }
    if failed != 0 { throw failure("read", path, failed) }
    return bytes
  }

  /// Overwrites bytes of a file; durable after a `sync`.
  static func write(
    _ bytes: [UInt8], to descriptor: Int32, _ path: String, at offset: Int
  ) throws(ReplicationError) {
    let wrote = unsafe pwrite(descriptor, bytes, bytes.count, off_t(offset))
    if wrote != bytes.count { throw failure("write", path, wrote < 0 ? errno : ENOSPC) }
  }

  /// Makes what was written to a file durable.
  static func sync(_ descriptor: Int32, _ path: String) throws(ReplicationError) {
    if fdatasync(descriptor) != 0 { throw failure("sync", path) }
  }

  /// Fills `target` from `offset`; returns the bytes read, short at the end of the file or on an
  /// error, which is left in `failed`.
  static func readFully(
    _ descriptor: Int32, _ target: UnsafeMutableRawBufferPointer, at offset: Int,
    failed: inout Int32
  ) -> Int {
    var done = 0
    while done < target.count {
      let got = unsafe pread(
        descriptor, target.baseAddress! + done, target.count - done, off_t(offset + done))
      if got < 0 && errno == EINTR { continue }
      if got < 0 { failed = errno }
      if got <= 0 { break }
      done += got
    }
    return done
  }

  /// Whether all bytes are zero. Fast in every build: recovery looks at megabytes of them.
  static func areZero(_ bytes: [UInt8]) -> Bool {
    unsafe bytes.withUnsafeBytes { bytes in
      guard let start = bytes.baseAddress else { return true }
      // Every byte equals its successor, and the first is zero.
      return unsafe bytes[0] == 0 && memcmp(start, start + 1, bytes.count - 1) == 0
    }
  }

  /// Replaces a file's content durably: a reader after a power cut sees the old or the new content.
  static func replace(_ path: String, in folder: String, with content: [UInt8])
    throws(ReplicationError)
  {
    let temporary = path + ".new"
    let descriptor = try open(temporary, O_WRONLY | O_CREAT | O_TRUNC)
    var done = 0
    while done < content.count {
      let wrote = unsafe content.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress! + done, content.count - done)
      }
      if wrote < 0 && errno == EINTR { continue }
      if wrote < 0 {
        let code = errno
        close(descriptor)
        throw failure("write", temporary, code)
      }
      done += wrote
    }
    let synced = fsync(descriptor)
    let code = errno
    close(descriptor)
    if synced != 0 { throw failure("sync", temporary, code) }
    try rename(temporary, to: path)
    try syncFolder(folder)
  }
}
