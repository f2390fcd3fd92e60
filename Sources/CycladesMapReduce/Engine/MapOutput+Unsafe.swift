internal import CCycladesShuffle
internal import CycladesTransport

/// What names a map output: one attempt at one map task of one job.
struct MapAttempt: Hashable, Sendable {
  var job: UInt64
  var map: Int
  var attempt: Int
}

/// The sealed blocks of a task, per partition in order, ready to be sent as they are.
///
/// A reduce that has more than fits into memory writes its sorted runs as such an output too, of one
/// partition and straight to disk: one format, and checksums wherever bytes were out of sight.
final class MapOutput {
  let name: MapAttempt
  let partitionCount: Int
  private(set) var blocks: [[StoredBlock]]
  /// Where each run of each partition begins.
  private var runStarts: [[Int]]
  private(set) var recordCount = 0
  private(set) var byteCount = 0
  /// A hash of all payloads in order: the same for every attempt of a deterministic job.
  private(set) var digest: UInt64 = 0
  private let store: BlockStore
  private let blockSize: Int
  private let spilling: Bool
  private var runs = 0

  /// Room behind the records of a block: 16 bytes for readers, and what makes a frame a multiple of 8.
  private static let tail = 16 + 7
  private static let headerSize = MemoryLayout<cyc_shuffle_header>.size

  init(_ name: MapAttempt, partitions: Int, memory: TaskMemory, spilling: Bool = false) {
    self.name = name
    store = memory.store
    blockSize = memory.share.blockSize
    self.spilling = spilling
    partitionCount = partitions
    blocks = Array(repeating: [], count: partitions)
    runStarts = Array(repeating: [], count: partitions)
  }

  deinit {
    for partition in blocks { for block in partition { store.release(block) } }
  }

  /// Writes arranged records as one run; a record larger than a block has one of its own.
  func write(_ source: some RecordSource, _ arrangement: Arrangement) throws {
    var next = 0
    for partition in 0..<partitionCount {
      let end = next + Int(arrangement.counts[partition])
      if next < end { runStarts[partition].append(blocks[partition].count) }
      var left = Int(arrangement.byteCounts[partition])
      while next < end {
        let written = try writeBlock(source, next..<end, bytesLeft: left, partition)
        next += written.count
        left -= written.byteCount
      }
    }
    runs += 1
  }

  /// Begins a run of partition 0 that `append` fills.
  func beginRun() {
    runStarts[0].append(blocks[0].count)
    runs += 1
  }

  /// Appends a block to the run that `beginRun` began.
  func append(_ staged: StagedRecords) throws {
    _ = try writeBlock(staged, 0..<staged.count, bytesLeft: staged.byteCount, 0)
  }

  /// The blocks of a partition, one list per run, in order of runs.
  func runs(of partition: Int) -> [[StoredBlock]] {
    let starts = runStarts[partition]
    return starts.indices.map { index in
      let end = index + 1 < starts.count ? starts[index + 1] : blocks[partition].count
      return Array(blocks[partition][starts[index]..<end])
    }
  }

  private func writeBlock(
    _ source: some RecordSource, _ range: Range<Int>, bytesLeft: Int, _ partition: Int
  ) throws -> WrittenRecords {
    let around = MapOutput.headerSize + MapOutput.tail
    let first = source.byteCount(ofRecord: range.lowerBound)
    let capacity = max(min(bytesLeft + around, blockSize), first + around)
    var buffer = try Buffer(minimumCapacity: capacity, in: store.pool)
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
    blocks[partition].append(try store.keep(buffer.freeze(), spilling: spilling))
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
