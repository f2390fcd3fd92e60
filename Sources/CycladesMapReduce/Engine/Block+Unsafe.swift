internal import CCycladesShuffle
internal import CycladesTransport

/// A verified block of records.
struct Block {
  let frame: Bytes
  private let header: cyc_shuffle_header

  private static let headerSize = MemoryLayout<cyc_shuffle_header>.size

  /// Verifies a frame and takes it as a block; throws when its checksum or sizes are wrong.
  init(verifying frame: Bytes) throws {
    var header = cyc_shuffle_header()
    let result = unsafe frame.withUnsafeBytes { bytes in
      unsafe cyc_shuffle_frame_open(
        bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count, &header)
    }
    guard result == 0, header.kind == FrameKind.block.rawValue, header.length >= 16,
      header.extra <= header.length - 16
    else {
      throw MapReduceError(.protocolViolation, "a shuffle block is damaged")
    }
    self.frame = frame
    self.header = header
  }

  var name: MapAttempt {
    MapAttempt(job: header.job, map: Int(header.map), attempt: Int(header.attempt))
  }
  var partition: Int { Int(header.partition) }
  var sequence: Int { Int(header.sequence) }
  var run: Int { Int(header.run) }
  var recordCount: Int { Int(header.records) }

  /// The bytes of the records; readable while the block lives, as are 16 more.
  var recordBytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(
      start: frame.unsafeStart + Block.headerSize, count: Int(header.extra))
  }
}
