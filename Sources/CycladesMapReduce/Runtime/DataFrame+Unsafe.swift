internal import CCycladesShuffle
internal import CycladesTransport

/// A frame that carries raw bytes: a piece of an input file, or of a part.
///
/// It is filled in the buffer that is sent and read in the one that was received; the bytes are copied
/// once on each side, to and from a file or a window of input.
@safe struct DataFrame {
  let bytes: Bytes
  private let header: cyc_shuffle_header

  private static let headerSize = MemoryLayout<cyc_shuffle_header>.size

  /// The most bytes that one carries.
  static let pieceBytes = 256 << 10

  /// Verifies a frame of the kind; throws when it is damaged.
  init(verifying bytes: Bytes, _ kind: FrameKind) throws {
    var header = cyc_shuffle_header()
    let result = unsafe bytes.withUnsafeBytes {
      unsafe cyc_shuffle_frame_open(
        $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count, &header)
    }
    guard result == 0, header.kind == kind.rawValue, header.records <= header.length else {
      throw MapReduceError(.protocolViolation, "a peer sent a damaged frame")
    }
    self.bytes = bytes
    self.header = header
  }

  /// Makes a frame named like `name`, of at most `limit` bytes that `fill` writes; it returns how many.
  init(
    _ name: Frame, limit: Int, in pool: BufferPool,
    _ fill: (UnsafeMutableRawPointer) throws -> Int
  ) throws {
    var buffer = try Buffer(minimumCapacity: DataFrame.headerSize + limit + 8, in: pool)
    var failure: (any Error)?
    var header = cyc_shuffle_header()
    unsafe buffer.appendUnsafe(atMost: buffer.freeCapacity) { start in
      unsafe start.initializeMemory(as: UInt8.self, repeating: 0, count: DataFrame.headerSize)
      let payload = unsafe start + DataFrame.headerSize
      var count = 0
      do { count = try unsafe fill(payload) } catch { failure = error }
      let padded = (count + 7) & ~7
      unsafe (payload + count).initializeMemory(as: UInt8.self, repeating: 0, count: padded - count)
      header.kind = name.kind.rawValue
      header.job = name.job
      header.map = UInt32(name.map)
      header.attempt = UInt32(name.attempt)
      header.partition = UInt32(name.partition)
      header.sequence = UInt32(name.sequence)
      header.extra = name.extra
      header.records = UInt32(count)
      return DataFrame.headerSize + padded
    }
    if let failure { throw failure }
    unsafe buffer.withUnsafeMutableBytes {
      _ = unsafe cyc_shuffle_frame_seal(
        $0.baseAddress?.assumingMemoryBound(to: UInt8.self), header,
        $0.count - DataFrame.headerSize)
    }
    bytes = buffer.freeze()
    self.header = header
  }

  var job: UInt64 { header.job }
  var map: Int { Int(header.map) }
  var attempt: Int { Int(header.attempt) }
  var partition: Int { Int(header.partition) }
  var sequence: Int { Int(header.sequence) }
  var extra: Int { Int(clamping: header.extra) }
  var count: Int { Int(header.records) }

  func withPayload<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try unsafe body(
      UnsafeRawBufferPointer(start: bytes.unsafeStart + DataFrame.headerSize, count: count))
  }
}
