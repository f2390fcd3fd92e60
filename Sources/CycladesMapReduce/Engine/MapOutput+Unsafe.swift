internal import CCycladesShuffle
internal import CycladesTransport

/// What names a map output: one attempt at one map task of one job.
struct MapAttempt: Hashable, Sendable {
  var job: UInt64
  var map: Int
  var attempt: Int
}

/// The sealed blocks of a map task, per partition in order, ready to be sent as they are.
final class MapOutput {
  let name: MapAttempt
  let partitionCount: Int
  private(set) var blocks: [[Bytes]]
  private(set) var recordCount = 0
  private(set) var byteCount = 0
  /// A hash of all payloads in order: the same for every attempt of a deterministic job.
  private(set) var digest: UInt64 = 0
  private let pool: BufferPool
  private var runs = 0

  /// Room behind the records of a block: 16 bytes for readers, and what makes a frame a multiple of 8.
  private static let tail = 16 + 7
  private static let headerSize = MemoryLayout<cyc_shuffle_header>.size
  private static let blockSize = 256 << 10

  init(_ name: MapAttempt, partitions: Int, pool: BufferPool) {
    self.name = name
    self.pool = pool
    partitionCount = partitions
    blocks = Array(repeating: [], count: partitions)
  }

  /// Writes arranged records as one run, in blocks of up to 256 KiB; a larger record has a block of
  /// its own.
  func write(_ source: some RecordSource, _ arrangement: Arrangement) throws {
    var next = 0
    for partition in 0..<partitionCount {
      let end = next + Int(arrangement.counts[partition])
      var left = Int(arrangement.byteCounts[partition])
      while next < end {
        let written = try writeBlock(source, next..<end, bytesLeft: left, partition)
        next += written.count
        left -= written.byteCount
      }
    }
    runs += 1
  }

  /// Gives away the blocks of a partition.
  func takeBlocks(of partition: Int) -> [Bytes] {
    defer { blocks[partition] = [] }
    return blocks[partition]
  }

  private func writeBlock(
    _ source: some RecordSource, _ range: Range<Int>, bytesLeft: Int, _ partition: Int
  ) throws -> WrittenRecords {
    let around = MapOutput.headerSize + MapOutput.tail
    let first = source.byteCount(ofRecord: range.lowerBound)
    let capacity = max(min(bytesLeft + around, MapOutput.blockSize), first + around)
    var buffer = try Buffer(minimumCapacity: capacity, in: pool)
    unsafe buffer.appendUnsafe(atMost: MapOutput.headerSize) { start in
      unsafe start.initializeMemory(as: UInt8.self, repeating: 0, count: MapOutput.headerSize)
      return MapOutput.headerSize
    }
    var written = WrittenRecords(count: 0, byteCount: 0)
    unsafe buffer.appendUnsafe(atMost: buffer.freeCapacity) { start in
      let room = capacity - around
      written = unsafe source.write(range, to: start, capacity: room)
      let padded = (written.byteCount + 16 + 7) & ~7
      unsafe (start + written.byteCount).initializeMemory(
        as: UInt8.self, repeating: 0, count: padded - written.byteCount)
      return padded
    }
    seal(&buffer, written, partition)
    blocks[partition].append(buffer.freeze())
    return written
  }

  private func seal(_ buffer: inout Buffer, _ written: WrittenRecords, _ partition: Int) {
    var header = cyc_shuffle_header()
    header.kind = FrameKind.block.rawValue
    header.job = name.job
    header.map = UInt32(name.map)
    header.attempt = UInt32(name.attempt)
    header.partition = UInt32(partition)
    header.sequence = UInt32(blocks[partition].count)
    header.run = UInt32(runs)
    header.records = UInt32(written.count)
    header.extra = UInt64(written.byteCount)
    let hash = unsafe buffer.withUnsafeMutableBytes { frame in
      unsafe cyc_shuffle_frame_seal(
        frame.baseAddress?.assumingMemoryBound(to: UInt8.self), header,
        frame.count - MapOutput.headerSize)
    }
    digest = mix(digest, hash)
    recordCount += written.count
    byteCount += buffer.byteCount
  }
}

/// Folds a hash into an ordered digest.
func mix(_ digest: UInt64, _ hash: UInt64) -> UInt64 {
  (digest &* 0x9E37_79B9_7F4A_7C15 ^ hash) &* 0xC2B2_AE3D_27D4_EB4F
}
