import CycladesPaxos
import Glibc
import Testing

@testable import CycladesReplication

/// Every state in which a power cut can leave a recorded log.
///
/// The log is one of ten writes over two segments. Power fails while one of them is under way: the ones
/// before are on the disk, for they were synced, and of the one under way any sectors may be. For small
/// writes every subset of its sectors is tried, for larger ones every prefix, every suffix, every
/// single sector missing or there, and random subsets. The superblock knows nothing of
/// all this. `CYCLADES_CRASH_STATES` sets how many states of a write to try at most.
@Suite("Crash states", .serialized, .timeLimit(.minutes(10)))
struct CrashStateTests {
  private let fixture = LogFixture()
  private let statesMax =
    unsafe getenv("CYCLADES_CRASH_STATES").flatMap { unsafe Int(String(cString: $0)) } ?? 150

  /// The subsets of a write's sectors that are on the disk.
  private func subsets(_ sectors: Int, _ random: inout SplitMix) -> [[Bool]] {
    if sectors < 16, 1 << sectors <= statesMax {
      return (0..<1 << sectors).map { mask in (0..<sectors).map { mask >> $0 & 1 == 1 } }
    }
    var subsets: [[Bool]] = []
    for cut in 0...sectors {
      subsets.append((0..<sectors).map { $0 < cut })
      subsets.append((0..<sectors).map { $0 >= cut })
    }
    for one in 0..<sectors {
      subsets.append((0..<sectors).map { $0 != one })
      subsets.append((0..<sectors).map { $0 == one })
    }
    while subsets.count < statesMax {
      subsets.append((0..<sectors).map { _ in random.next() % 2 == 0 })
    }
    var kept: [[Bool]] = []
    let step = max(1, subsets.count / statesMax)
    for position in stride(from: 0, to: subsets.count, by: step) { kept.append(subsets[position]) }
    return kept
  }

  private func spoil(_ log: [UInt8], _ write: Range<Int>, _ there: [Bool]) -> [UInt8] {
    var state = Array(log[..<write.lowerBound]) + [UInt8](repeating: 0, count: write.count + 1024)
    for (sector, isThere) in there.enumerated() where isThere {
      let from = write.lowerBound + sector * 512
      for position in from..<from + 512 { state[position] = log[position] }
    }
    return state
  }

  /// The last slot of group 0 that each write holds.
  private let lastSlots: [Slot] = [1, 2, 4, 6, 9, 13, 14, 15, 18, 30]

  private var batches: [LogFixture.Batch] {
    var batches: [LogFixture.Batch] = []
    var slot: Slot = 1
    for (write, last) in lastSlots.enumerated() {
      var batch: LogFixture.Batch = []
      while slot <= last {
        batch.append((0, slot, 30 + 97 * write))
        slot += 1
      }
      if write % 3 == 1 { batch.append((1, 0, write + 1)) }
      batches.append(batch)
    }
    return batches
  }

  @Test(
    "whatever sectors of the last write arrived, what was acknowledged is there, and that again")
  func everyState() throws {
    try fixture.open().close()
    let oldest = try fixture.contents(fixture.path + "/" + Superblock.name)
    try fixture.write(batches, segmentBytes: 16 << 10)
    let paths = [1, 2].map { fixture.path + "/" + LogSegment.name($0) }
    let logs = try paths.map { try fixture.contents($0) }
    let writes = logs.map { fixture.writes($0) }
    #expect(writes[0].count + writes[1].count >= 10 && writes[1].count >= 2)
    var random = SplitMix(seed: 11)
    var states = 0
    var torn = 0
    var completed = 0
    for (file, segment) in writes.enumerated() {
      for write in segment {
        for there in subsets(write.count / 512, &random) {
          states += 1
          try fixture.overwrite(fixture.path + "/" + Superblock.name, oldest)
          if file == 0, try Files.names(in: fixture.path).contains(LogSegment.name(2)) {
            try Files.remove(paths[1])
          }
          if file == 1 {
            try fixture.overwrite(paths[0], Array(logs[0][..<writes[0].last!.upperBound]))
          }
          let state = spoil(logs[file], write, there)
          try fixture.overwrite(paths[file], state)
          let recovered = try fixture.recover()
          torn += Int(recovered.counts[.tornWrite])
          completed += Int(recovered.counts[.recordsRepaired])
          try check(recovered, paths, logs, file, write, isWhole: !there.contains(false))
          guard states % 7 == 0 else { continue }
          // Power fails again, after any part of what the start wrote.
          guard recovered.segments.count == file + 1 else { continue }
          let repaired = try fixture.contents(paths[file])
          var between = state
          for sector in 0..<write.count / 512 where random.next() % 2 == 0 {
            let from = write.lowerBound + sector * 512
            for position in from..<from + 512 { between[position] = repaired[position] }
          }
          try fixture.overwrite(paths[file], between)
          let again = try fixture.recover()
          try check(again, paths, logs, file, write, isWhole: false)
          let twice = try fixture.recover()
          #expect(twice.generation == again.generation && twice.counts[.tornWrite] == 0)
          #expect(twice.groups[0].index.last == again.groups[0].index.last)
        }
      }
    }
    #expect(torn > states / 4 && completed > states / 50)
    print("\(states) crash states: \(torn) torn writes cut off, \(completed) completed by parity")
  }

  /// What must be there when a write was under way, and all before it were acknowledged.
  private func check(
    _ recovered: RecoveredLog, _ paths: [String], _ logs: [[UInt8]], _ file: Int,
    _ write: Range<Int>, isWhole: Bool
  ) throws {
    var acknowledged: Slot = 0
    var under: Slot = 0
    for (position, log) in logs.enumerated() where position <= file {
      for range in fixture.writes(log) {
        let last = lastSlot(in: range, log)
        if position < file || range.lowerBound < write.lowerBound {
          acknowledged = max(acknowledged, last)
        } else if range == write {
          under = max(acknowledged, last)
        }
      }
    }
    let group = recovered.groups[0]
    #expect(group.index.last == acknowledged || group.index.last == under)
    if isWhole { #expect(group.index.last == under) }
    #expect(group.index.holes.isEmpty)
    guard group.index.last > 0 else { return }
    let contents = try recovered.segments.map { try fixture.contents($0.path) }
    for slot in 1...group.index.last {
      guard let location = group.index[slot] else {
        Issue.record("slot \(slot) is missing")
        return
      }
      #expect(fixture.slot(at: location, contents[Int(location.segment) - 1]) == slot)
    }
  }

  /// The highest slot of group 0 in a write of a log that nothing happened to.
  private func lastSlot(in write: Range<Int>, _ log: [UInt8]) -> Slot {
    var last: Slot = 0
    var offset = write.lowerBound
    while offset + 64 <= write.upperBound, log[offset + 6] == 2, log[offset + 4] != 5 {
      let size = (0..<4).reduce(0) { $0 | Int(log[offset + $1]) << (8 * $1) }
      if log[offset + 4] == 1, log[offset + 40] == 0 {
        let location = LogLocation(
          segment: 1, offset: UInt32(offset + 64), byteCount: UInt32(size - 64))
        last = max(last, fixture.slot(at: location, log) ?? 0)
      }
      offset += Log.align(size, 8)
    }
    return last
  }
}
