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

/// Where the bytes of a part go.
protocol PartFile: AnyObject {
  func append(_ bytes: UnsafeRawBufferPointer) throws
  /// Makes the file durable under its temporary name, or has that begun.
  func finish(_ info: PartInfo, syncs: Bool) throws
}

/// Makes the bytes of a part, and tells what they are. Whoever elects the attempt names it.
@safe final class PartWriter {
  private(set) var recordCount = 0
  private var byteCount = 0
  private let file: any PartFile
  private let syncs: Bool
  private let compressor: (any PartCompressor)?
  private let digest: OpaquePointer

  init(
    to file: any PartFile, compression: OutputCompression = .none, syncs: Bool = true
  ) throws {
    self.file = file
    self.syncs = syncs
    compressor = try compression.makeCompressor()
    guard let digest = unsafe cyc_shuffle_digest_create() else { throw outOfMemory(1024) }
    unsafe self.digest = digest
  }

  /// A part in a file of this machine.
  convenience init(
    path: String, compression: OutputCompression = .none, syncs: Bool = true
  ) throws {
    try self.init(to: LocalPartFile(path), compression: compression, syncs: syncs)
  }

  deinit { unsafe cyc_shuffle_digest_destroy(digest) }

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

  /// Appends bytes as they are.
  func append(_ bytes: UnsafeRawBufferPointer) throws {
    guard let start = bytes.baseAddress, bytes.count > 0 else { return }
    try unsafe file.append(bytes)
    unsafe cyc_shuffle_digest_update(
      digest, start.assumingMemoryBound(to: UInt8.self), bytes.count)
    byteCount += bytes.count
  }

  /// Ends the part and has its file made durable.
  func finish(counters: [Int] = []) throws -> PartInfo {
    if let compressor {
      try unsafe compressor.compress(UnsafeRawBufferPointer(start: nil, count: 0), isLast: true) {
        try unsafe append($0)
      }
    }
    let info = PartInfo(
      byteCount: byteCount, recordCount: recordCount,
      digest: unsafe cyc_shuffle_digest_value(digest), counters: counters)
    try file.finish(info, syncs: syncs)
    return info
  }
}

/// A part in a file of this machine, which vanishes unless it is finished.
final class LocalPartFile: PartFile {
  private let path: String
  private var file: Int32

  init(_ path: String) throws {
    self.path = path
    file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard file >= 0 else { throw Files.failed(.output, "write", path) }
  }

  deinit {
    guard file >= 0 else { return }
    // Never finished: nobody will ask for it.
    close(file)
    unsafe unlink(path)
  }

  func append(_ bytes: UnsafeRawBufferPointer) throws {
    guard let start = bytes.baseAddress else { return }
    var written = 0
    while written < bytes.count {
      let count = unsafe Glibc.write(file, start + written, bytes.count - written)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw Files.failed(.output, "write", path) }
      written += count
    }
  }

  func finish(_ info: PartInfo, syncs: Bool) throws {
    guard !syncs || fsync(file) == 0 else { throw Files.failed(.output, "sync", path) }
    let result = close(file)
    file = -1
    guard result == 0 else { throw Files.failed(.output, "close", path) }
  }
}
