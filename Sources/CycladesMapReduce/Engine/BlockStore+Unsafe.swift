internal import CycladesTransport
import Glibc

/// Where the sealed blocks of one thread are kept: in memory up to a limit, and then in one file.
///
/// The file has no name from the moment it exists, so it vanishes with the process however it ends.
final class BlockStore {
  let pool: BufferPool
  private let folder: String
  private let limit: Int
  private var residentBytes = 0
  private var file: SpillFile?
  /// Bytes that were written to the file.
  private(set) var spilledBytes = 0

  /// - Parameters:
  ///   - folder: Where the file is made when it is needed.
  ///   - limit: The most bytes of blocks in memory.
  init(pool: BufferPool, folder: String, limit: Int) {
    self.pool = pool
    self.folder = folder
    self.limit = limit
  }

  /// Keeps a block, in memory if there is room and `spilling` does not forbid it.
  func keep(_ frame: Bytes, spilling: Bool = false) throws -> StoredBlock {
    if !spilling && residentBytes + frame.byteCount <= limit {
      residentBytes += frame.byteCount
      return .resident(frame)
    }
    let file = try file ?? SpillFile(in: folder)
    self.file = file
    spilledBytes += frame.byteCount
    return .spilled(file, offset: try file.append(frame), byteCount: frame.byteCount)
  }

  /// Gives the room of a block back. Room in the file comes back with its end.
  func release(_ block: StoredBlock) {
    if case .resident(let frame) = block { residentBytes -= frame.byteCount }
  }
}

/// A sealed block, wherever it is.
enum StoredBlock {
  case resident(Bytes)
  case spilled(SpillFile, offset: Int, byteCount: Int)

  var byteCount: Int {
    switch self {
    case .resident(let frame): frame.byteCount
    case .spilled(_, _, let byteCount): byteCount
    }
  }

  /// Whether reading it takes memory that is not accounted for yet.
  var isSpilled: Bool { if case .spilled = self { true } else { false } }

  /// The block's bytes, read back if need be.
  func frame(in pool: BufferPool) throws -> Bytes {
    switch self {
    case .resident(let frame): return frame
    case .spilled(let file, let offset, let byteCount):
      return try file.read(offset: offset, byteCount: byteCount, in: pool)
    }
  }
}

/// A file without a name, appended to by one thread and read by any.
final class SpillFile {
  private let path: String
  private let file: Int32
  private var end = 0

  init(in folder: String) throws {
    path = "\(folder)/.spill-\(String(UInt64.random(in: 0...(.max)), radix: 36))"
    file = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw Files.failed(.spill, "make a spill file in", folder) }
    unsafe unlink(path)
  }

  deinit { close(file) }

  /// Appends a block and returns where it lies.
  func append(_ frame: Bytes) throws -> Int {
    let offset = end
    try unsafe frame.withUnsafeBytes { bytes in
      var written = 0
      while written < bytes.count {
        let count = unsafe pwrite(
          file, bytes.baseAddress.unsafelyUnwrapped + written, bytes.count - written,
          off_t(offset + written))
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { throw Files.failed(.spill, "spill to", path) }
        written += count
      }
    }
    end += frame.byteCount
    return offset
  }

  func read(offset: Int, byteCount: Int, in pool: BufferPool) throws -> Bytes {
    var buffer = try Buffer(minimumCapacity: byteCount, in: pool)
    var done = 0
    while done < byteCount {
      var count = 0
      unsafe buffer.appendUnsafe(atMost: byteCount - done) { start in
        count = unsafe pread(file, start, byteCount - done, off_t(offset + done))
        return max(0, count)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw Files.failed(.spill, "read back", path) }
      done += count
    }
    return buffer.freeze()
  }
}
