internal import CCycladesShuffle
import Glibc

/// What a finished part file is.
struct PartInfo: Hashable, Sendable {
  var byteCount: Int
  var recordCount: Int
  /// XXH3-64 of the file, as `xxhsum -H3` prints it.
  var digest: UInt64
}

/// Writes a part under a temporary name. Whoever elects the attempt renames it.
@safe final class PartWriter {
  let path: String
  private(set) var recordCount = 0
  private var byteCount = 0
  private var file: Int32
  private let digest: OpaquePointer

  init(path: String) throws {
    self.path = path
    file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard file >= 0 else { throw Files.failed(.output, "write", path) }
    guard let digest = unsafe cyc_shuffle_digest_create() else { throw outOfMemory(1024) }
    unsafe self.digest = digest
  }

  deinit {
    unsafe cyc_shuffle_digest_destroy(digest)
    if file >= 0 {
      // Never finished: nobody will ask for it.
      close(file)
      unsafe unlink(path)
    }
  }

  /// Appends text; `records` is how many lines there are in all after it.
  func write(_ text: borrowing ByteWriter, records: Int) throws {
    if text.overflowed {
      throw MapReduceError(.memory, "a line of output is larger than the memory there is for it")
    }
    try unsafe text.span.withUnsafeBytes { bytes in
      var written = 0
      while written < bytes.count {
        let count = unsafe Glibc.write(
          file, bytes.baseAddress.unsafelyUnwrapped + written, bytes.count - written)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { throw Files.failed(.output, "write", path) }
        written += count
      }
      unsafe cyc_shuffle_digest_update(
        digest, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
      byteCount += bytes.count
    }
    recordCount = records
  }

  /// Makes the file durable under its temporary name.
  func finish() throws -> PartInfo {
    guard fsync(file) == 0 else { throw Files.failed(.output, "sync", path) }
    let result = close(file)
    file = -1
    guard result == 0 else { throw Files.failed(.output, "close", path) }
    return PartInfo(
      byteCount: byteCount, recordCount: recordCount,
      digest: unsafe cyc_shuffle_digest_value(digest))
  }
}
