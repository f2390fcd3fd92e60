internal import CCycladesShuffle
import Glibc

/// What a finished part file is.
struct PartInfo: Hashable, Sendable {
  var byteCount: Int
  var recordCount: Int
  /// XXH3-64 of the file, as `xxhsum -H3` prints it.
  var digest: UInt64
  /// What the job's own code counted in its reduce.
  var counters: [Int] = []
}

/// Writes a part under a temporary name. Whoever elects the attempt renames it.
@safe final class PartWriter {
  let path: String
  private(set) var recordCount = 0
  private var byteCount = 0
  private var file: Int32
  private let syncs: Bool
  private let compressor: (any PartCompressor)?
  private let digest: OpaquePointer

  init(path: String, compression: OutputCompression = .none, syncs: Bool = true) throws {
    self.path = path
    self.syncs = syncs
    compressor = try compression.makeCompressor()
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

  /// Appends output of so many records.
  func write(_ text: borrowing ByteWriter, records: Int) throws {
    if text.overflowed {
      throw MapReduceError(
        .memory, "a record of output is larger than the memory there is for it")
    }
    try unsafe text.span.withUnsafeBytes { bytes in
      if let compressor {
        try unsafe compressor.compress(bytes, isLast: false) { try unsafe append($0) }
      } else {
        try unsafe append(bytes)
      }
    }
    recordCount += records
  }

  private func append(_ bytes: UnsafeRawBufferPointer) throws {
    guard let start = bytes.baseAddress else { return }
    var written = 0
    while written < bytes.count {
      let count = unsafe Glibc.write(file, start + written, bytes.count - written)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw Files.failed(.output, "write", path) }
      written += count
    }
    unsafe cyc_shuffle_digest_update(
      digest, start.assumingMemoryBound(to: UInt8.self), bytes.count)
    byteCount += bytes.count
  }

  /// Makes the file durable under its temporary name.
  func finish(counters: [Int] = []) throws -> PartInfo {
    if let compressor {
      try unsafe compressor.compress(UnsafeRawBufferPointer(start: nil, count: 0), isLast: true) {
        try unsafe append($0)
      }
    }
    guard !syncs || fsync(file) == 0 else { throw Files.failed(.output, "sync", path) }
    let result = close(file)
    file = -1
    guard result == 0 else { throw Files.failed(.output, "close", path) }
    return PartInfo(
      byteCount: byteCount, recordCount: recordCount,
      digest: unsafe cyc_shuffle_digest_value(digest), counters: counters)
  }
}
