import CCycladesShuffle
import Testing

@testable import CycladesMapReduce

/// Keys for the core: owned bytes with the 16 readable bytes behind that the core asks for.
private struct Keys {
  private(set) var storage: [UInt8] = []
  private(set) var ranges: [Range<Int>] = []

  mutating func add(_ key: [UInt8]) {
    ranges.append(storage.count..<storage.count + key.count)
    storage += key
  }

  /// Calls `body` for batches of up to 64 keys.
  func forEachBatch(
    _ body: (UnsafePointer<UnsafePointer<UInt8>?>, UnsafePointer<UInt32>, Range<Int>) -> Void
  ) {
    let padded = storage + [UInt8](repeating: 0xee, count: 16)
    unsafe padded.withUnsafeBufferPointer { bytes in
      var first = 0
      while first < ranges.count {
        let batch = first..<min(first + 64, ranges.count)
        let pointers: [UnsafePointer<UInt8>?] = unsafe batch.map {
          unsafe bytes.baseAddress! + ranges[$0].lowerBound
        }
        let lengths = batch.map { UInt32(ranges[$0].count) }
        unsafe body(pointers, lengths, batch)
        first = batch.upperBound
      }
    }
  }
}

/// Room for records to be read into.
private func records(_ count: Int) -> [cyc_shuffle_record] {
  unsafe Array(repeating: cyc_shuffle_record(), count: count)
}

/// Keys of all lengths, many of them equal or prefixes of each other.
private func randomKey(_ random: inout SplitMix, _ variety: Int) -> [UInt8] {
  let pattern = [UInt8](
    repeating: 0x61, count: [0, 1, 7, 8, 9, 15, 16, 17, 40, 300].randomElement(using: &random)!)
  let tail = (0..<Int.random(in: 0...3, using: &random)).map { _ in
    UInt8(truncatingIfNeeded: Int.random(in: 0..<variety, using: &random))
  }
  return pattern + tail
}

@Suite("Aggregation table", .timeLimit(.minutes(5)))
struct AggregationTableTests {
  @Test("it counts like a dictionary", arguments: 0..<6)
  func counts(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    let table = try unsafe #require(cyc_shuffle_table_create(1, 1 << 26))
    defer { unsafe cyc_shuffle_table_destroy(table) }
    // The second round uses the memory of the first.
    for round in 0..<2 {
      unsafe cyc_shuffle_table_reset(table)
      var keys = Keys()
      var expected: [[UInt8]: UInt64] = [:]
      for _ in 0..<(round == 0 ? 20_000 : 3000) {
        let key = randomKey(&random, 256)
        expected[key, default: 0] += 1
        keys.add(key)
      }
      unsafe keys.forEachBatch { pointers, lengths, batch in
        var places = unsafe [UnsafeMutablePointer<UInt64>?](repeating: nil, count: 64)
        var fresh: UInt64 = 0
        let result = unsafe cyc_shuffle_table_locate(
          table, pointers, lengths, UInt32(batch.count), &places, &fresh)
        #expect(result == 0)
        for index in 0..<batch.count {
          let isNew = fresh & 1 << UInt64(index) != 0
          #expect(unsafe !isNew || places[index]!.pointee == 0)
          unsafe places[index]!.pointee += 1
        }
      }
      #expect(unsafe cyc_shuffle_table_count(table) == expected.count)
      #expect(unsafe entries(table, sorted: true).map(\.0) == expected.keys.sorted(by: before))
      #expect(
        unsafe Dictionary(uniqueKeysWithValues: entries(table, sorted: false)) == expected)
    }
  }

  private func before(_ a: [UInt8], _ b: [UInt8]) -> Bool { a.lexicographicallyPrecedes(b) }

  private func entries(_ table: OpaquePointer, sorted: Bool) -> [([UInt8], UInt64)] {
    var count: UInt64 = 0
    var bytes: UInt64 = 0
    var how = unsafe cyc_shuffle_partitioner()
    unsafe how.partitions = 1
    #expect(unsafe cyc_shuffle_table_arrange(table, &how, sorted ? 1 : 0, &count, &bytes) == 0)
    var records = unsafe records(50)
    var found: [([UInt8], UInt64)] = []
    while true {
      let read = unsafe cyc_shuffle_table_read(table, UInt64(found.count), &records, 50)
      if read == 0 { return found }
      for index in 0..<Int(read) {
        let record = unsafe records[index]
        let key = unsafe UnsafeBufferPointer(start: record.key, count: Int(record.key_length))
        let value = unsafe UnsafeRawPointer(record.value).load(as: UInt64.self)
        unsafe found.append((Array(key), value))
      }
    }
  }

  @Test("memory above its limit is refused, and what is there stays")
  func limit() throws {
    let table = try unsafe #require(cyc_shuffle_table_create(8, 1 << 21))
    defer { unsafe cyc_shuffle_table_destroy(table) }
    var keys = Keys()
    for number in 0..<40_000 { keys.add(Array("key \(number)".utf8)) }
    var refused = false
    unsafe keys.forEachBatch { pointers, lengths, batch in
      var places = unsafe [UnsafeMutablePointer<UInt64>?](repeating: nil, count: 64)
      var fresh: UInt64 = 0
      refused =
        unsafe cyc_shuffle_table_locate(
          table, pointers, lengths, UInt32(batch.count), &places, &fresh) != 0 || refused
    }
    #expect(refused)
    let count = unsafe cyc_shuffle_table_count(table)
    #expect(count > 1000)
    #expect(unsafe entries(table, sorted: true).count == count)
  }
}

@Suite("Sorting and merging", .timeLimit(.minutes(5)))
struct SortTests {
  @Test("keys are sorted by bytes, equal ones in order of arrival", arguments: 0..<6)
  func sort(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    for count in [0, 1, 2, 50, 129, 5000] {
      let log = try unsafe #require(cyc_shuffle_log_create(8, 1 << 26))
      defer { unsafe cyc_shuffle_log_destroy(log) }
      var how = unsafe cyc_shuffle_partitioner()
      unsafe how.partitions = 3
      var keys = Keys()
      var expected: [(key: [UInt8], number: UInt64)] = []
      for number in 0..<count {
        let key = randomKey(&random, seed % 2 == 0 ? 2 : 256)
        keys.add(key)
        expected.append((key, UInt64(number)))
      }
      unsafe keys.forEachBatch { pointers, lengths, batch in
        let values = batch.map { UInt64($0) }
        #expect(
          unsafe values.withUnsafeBytes {
            unsafe cyc_shuffle_log_append(
              log, &how, pointers, lengths, UInt32(batch.count),
              $0.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
          } == 0)
      }
      expected.sort {
        $0.key != $1.key ? $0.key.lexicographicallyPrecedes($1.key) : $0.number < $1.number
      }
      let sorted = unsafe partitions(log, 3, sorted: true)
      let merged = sorted.flatMap { $0 }.sorted {
        $0.key != $1.key ? $0.key.lexicographicallyPrecedes($1.key) : $0.number < $1.number
      }
      #expect(merged.map(\.number) == expected.map(\.number))
      for part in sorted {
        #expect(
          part.map(\.number)
            == expected.filter { pair in part.contains { $0.key == pair.key } }.map(\.number))
      }
    }
  }

  /// Writes a log through small blocks and reads it back.
  private func partitions(
    _ log: OpaquePointer, _ count: Int, sorted: Bool
  ) -> [[(key: [UInt8], number: UInt64)]] {
    var counts = [UInt64](repeating: 0, count: count)
    var bytes = [UInt64](repeating: 0, count: count)
    #expect(
      unsafe cyc_shuffle_log_arrange(log, UInt32(count), sorted ? 1 : 0, &counts, &bytes) == 0)
    var next: UInt64 = 0
    return (0..<count).map { partition in
      let end = next + counts[partition]
      var left = bytes[partition]
      var pairs: [(key: [UInt8], number: UInt64)] = []
      var block = [UInt8](repeating: 0, count: 1000)
      while next < end {
        var used = 0
        next += unsafe cyc_shuffle_log_write(log, next, end, &block, 1000 - 16, &used)
        left -= UInt64(used)
        pairs += read(block, used)
      }
      #expect(left == 0)
      return pairs
    }
  }

  private func read(_ block: [UInt8], _ used: Int) -> [(key: [UInt8], number: UInt64)] {
    var offset = 0
    var records = unsafe records(7)
    var pairs: [(key: [UInt8], number: UInt64)] = []
    unsafe block.withUnsafeBufferPointer { bytes in
      while true {
        let count = unsafe cyc_shuffle_block_read(
          bytes.baseAddress, used, &offset, 8, &records, 7)
        #expect(count >= 0)
        if count <= 0 { return }
        for index in 0..<Int(count) {
          let record = unsafe records[index]
          let key = unsafe Array(
            UnsafeBufferPointer(start: record.key, count: Int(record.key_length)))
          let number = unsafe UnsafeRawPointer(record.value).loadUnaligned(as: UInt64.self)
          pairs.append((key, number))
        }
      }
    }
    return pairs
  }

  @Test("a merge gives all records of all runs in order", arguments: 0..<6)
  func merge(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    let runs = [0, 1, 2, 3, 7, 20][Int(seed)]
    var blocks: [(run: Int, bytes: [UInt8])] = []
    var expected: [(key: [UInt8], run: Int)] = []
    for run in 0..<runs {
      let keys = (0..<Int.random(in: 0...200, using: &random)).map { _ in randomKey(&random, 5) }
        .sorted { $0.lexicographicallyPrecedes($1) }
      expected += keys.map { ($0, run) }
      var bytes: [UInt8] = []
      // A run may begin with an empty block and has several.
      blocks.append((run, []))
      for key in keys {
        bytes += varint(key.count) + varint(1) + key + [UInt8(run)]
        if Int.random(in: 0..<10, using: &random) == 0 {
          blocks.append((run, bytes))
          bytes = []
        }
      }
      blocks.append((run, bytes))
    }
    expected.sort { $0.key != $1.key ? $0.key.lexicographicallyPrecedes($1.key) : $0.run < $1.run }
    let memory = unsafe blocks.map { block in
      let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: block.bytes.count + 16)
      _ = unsafe copy.initialize(from: block.bytes + [UInt8](repeating: 0, count: 16))
      return unsafe copy
    }
    defer { unsafe memory.forEach { unsafe $0.deallocate() } }
    let merge = try unsafe #require(cyc_shuffle_merge_create(UInt32(runs), 0))
    defer { unsafe cyc_shuffle_merge_destroy(merge) }
    var next = [Int](repeating: 0, count: runs)
    var found: [(key: [UInt8], run: Int)] = []
    var records = unsafe records(9)
    while true {
      // Whoever is hungry gets the next piece of its run that is not empty, or its end.
      while case let run = Int(unsafe cyc_shuffle_merge_hungry(merge)), run >= 0 {
        let own = blocks.indices.filter { blocks[$0].run == run && !blocks[$0].bytes.isEmpty }
        let piece = next[run] < own.count ? own[next[run]] : nil
        next[run] += 1
        #expect(
          unsafe cyc_shuffle_merge_feed(
            merge, piece.flatMap { unsafe UnsafePointer(memory[$0].baseAddress) },
            piece.map { blocks[$0].bytes.count } ?? 0) == 0)
      }
      let count = unsafe cyc_shuffle_merge_take(merge, &records, 9)
      #expect(count >= 0)
      if unsafe count < 0 || count == 0 && cyc_shuffle_merge_hungry(merge) < 0 { break }
      for index in 0..<Int(count) {
        let record = unsafe records[index]
        let key = unsafe Array(
          UnsafeBufferPointer(start: record.key, count: Int(record.key_length)))
        found.append((key, Int(unsafe record.value[0])))
      }
    }
    #expect(found.map(\.key) == expected.map(\.key))
    #expect(found.map(\.run) == expected.map(\.run))
  }

  private func varint(_ value: Int) -> [UInt8] {
    value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7f | 0x80)] + varint(value >> 7)
  }
}

@Suite("Frames", .timeLimit(.minutes(5)))
struct FrameTests {
  private func sealed(_ payload: [UInt8]) -> [UInt8] {
    var frame = [UInt8](repeating: 0, count: 64) + payload
    var header = cyc_shuffle_header()
    header.kind = 1
    header.map = 7
    unsafe cyc_shuffle_frame_seal(&frame, header, payload.count)
    return frame
  }

  @Test("a frame with any bit flipped, or cut short, is refused")
  func damage() {
    let frame = sealed(Array("payload of a frame".utf8))
    var header = cyc_shuffle_header()
    #expect(unsafe cyc_shuffle_frame_open(frame, frame.count, &header) == 0)
    #expect(header.map == 7 && header.length == 18)
    for bit in 0..<frame.count * 8 {
      var damaged = frame
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(unsafe cyc_shuffle_frame_open(damaged, damaged.count, &header) != 0)
    }
    for count in 0..<frame.count {
      #expect(unsafe cyc_shuffle_frame_open(frame, count, &header) != 0)
    }
  }

  @Test("the payload's hash does not depend on the attempt")
  func payloadHash() {
    var first = [UInt8](repeating: 0, count: 64) + [1, 2, 3]
    var second = first
    var header = cyc_shuffle_header()
    let one = unsafe cyc_shuffle_frame_seal(&first, header, 3)
    header.attempt = 9
    let two = unsafe cyc_shuffle_frame_seal(&second, header, 3)
    #expect(one == two)
    #expect(first != second)
  }

  @Test("random bytes are no records, or records within the bytes", arguments: 0..<4)
  func malformedRecords(seed: UInt64) {
    var random = SplitMix(state: seed)
    var refused = 0
    for _ in 0..<3000 {
      let count = Int.random(in: 0...60, using: &random)
      let bytes = (0..<count).map { _ in
        UInt8.random(in: 0...255, using: &random) >> UInt8.random(in: 0...7, using: &random)
      }
      let padded = bytes + [UInt8](repeating: 0, count: 16)
      var records = unsafe records(64)
      var offset = 0
      unsafe padded.withUnsafeBufferPointer { buffer in
        let start = buffer.baseAddress!
        let valueBytes = UInt32(seed % 2 * 8)
        let read = unsafe cyc_shuffle_block_read(start, count, &offset, valueBytes, &records, 64)
        if read < 0 { refused += 1 }
        for index in 0..<max(0, Int(read)) {
          let record = unsafe records[index]
          #expect(unsafe record.key >= start && record.key <= start + count)
          let room = unsafe start + count - record.key
          #expect(unsafe Int(record.key_length) + Int(record.value_length) <= room)
        }
      }
    }
    #expect(refused > 100)
  }

  @Test("payload readers survive random bytes", arguments: 0..<4)
  func malformedPayloads(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    var refused = 0
    for _ in 0..<2000 {
      let bytes = (0..<Int.random(in: 0...80, using: &random)).map { _ in
        Int.random(in: 0..<3, using: &random) == 0
          ? UInt8.random(in: 0...255, using: &random) : 0
      }
      for read: ([UInt8]) throws -> Void in [
        { _ = try Hello($0) }, { _ = try Welcome($0) }, { _ = try InputSplit($0) },
        { _ = try ReduceOrder($0) }, { _ = try MapReport($0) }, { _ = try PartInfo($0) },
        { _ = try MapReduceError($0) }, { _ = try Submission($0) }, { _ = try Enlistment($0) },
        { _ = try WorkerHoldings($0) }, { _ = try FinishedJob($0) }, { _ = try JobProgress($0) },
      ] {
        do { try read(bytes) } catch is MapReduceError { refused += 1 }
      }
    }
    #expect(refused > 1000)
  }

  @Test("orders come out as they went in")
  func orders() throws {
    let setup = JobSetup(
      name: "job", version: 2, arguments: ["a", ""], partitions: 5, badRecordLimit: 1)
    let order = JobOrder(
      id: 8, setup: setup, splits: Array(repeating: InputSplit(segments: []), count: 9),
      fileCount: 0, patienceMilliseconds: 77, backups: true)
    let welcome = Welcome(order, worker: WorkerID(rawValue: 3), token: 6)
    let read = try Welcome(welcome.payload)
    #expect(read.setup == welcome.setup && read.worker == welcome.worker)
    #expect(read.mapCount == 9 && read.patienceMilliseconds == 77)
    let split = InputSplit(segments: [
      InputSegment(path: "/a b", offset: 5, byteCount: 6, fileByteCount: 20)
    ])
    #expect(try InputSplit(split.payload) == split)
    let error = try MapReduceError(MapReduceError(.input, "no such file").payload)
    #expect(error.code == .input && error.message == "no such file")
  }
}
