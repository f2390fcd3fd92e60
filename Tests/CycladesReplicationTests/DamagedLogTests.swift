import CycladesPaxos
import Glibc
import Testing

@testable import CycladesReplication

/// What rots in a log, and what is made of it.
@Suite("Damaged log", .serialized, .timeLimit(.minutes(5)))
struct DamagedLogTests {
  private let fixture = LogFixture()

  /// A log of small and large writes; small files make a start cheap.
  private func smallLog() throws -> (content: [UInt8], writes: [Range<Int>]) {
    var batches = fixture.tenWrites
    batches.append([(0, 31, 9000), (1, 1, 100), (1, 2, 3000)])
    batches.append([(0, 32, 40)])
    try fixture.write(batches)
    let content = try fixture.contents(fixture.segment)
    let writes = fixture.writes(content)
    #expect(writes.count == 12)
    let small = Array(content[..<(writes.last!.upperBound + 1024)])
    try fixture.overwrite(fixture.segment, small)
    return (small, writes)
  }

  private func expectWhole(_ recovered: RecoveredLog, _ what: String) {
    #expect(recovered.groups[0].index.last == 32, "\(what)")
    #expect(recovered.groups[1].index.last == 2, "\(what)")
    #expect(recovered.groups.allSatisfy { $0.index.holes.isEmpty }, "\(what)")
    #expect(recovered.groups[1].promised == Ballot(round: 10, node: 1), "\(what)")
    #expect(recovered.generation == 12, "\(what)")
  }

  @Test("any damaged sector is given back, the last write's included, and written back in place")
  func everySector() throws {
    let (content, writes) = try smallLog()
    for sector in stride(from: 0, to: writes.last!.upperBound, by: 512) {
      for kind in 0..<3 {
        var damaged = content
        for position in sector..<sector + 512 {
          switch kind {
          case 0: damaged[position] = 0
          case 1: damaged[position] ^= 0x40
          default: damaged[position] = UInt8(truncatingIfNeeded: position &* 31)
          }
        }
        try fixture.overwrite(fixture.segment, damaged)
        let recovered = try fixture.recover()
        expectWhole(recovered, "sector \(sector), kind \(kind)")
        #expect(recovered.counts.isClean == false)
        #expect(try fixture.contents(fixture.segment) == content)
        #expect(try fixture.recover().counts.isClean)
      }
    }
  }

  @Test("any run as long as a write's parity is given back, wherever it begins")
  func everyRun() throws {
    let (content, writes) = try smallLog()
    for write in writes {
      let length = min(4096, write.count / 2)
      for start in stride(from: write.lowerBound - length + 512, to: write.upperBound, by: 512) {
        var damaged = content
        for position in max(write.lowerBound, start)..<min(start + length, write.upperBound) {
          damaged[position] = 0xEE
        }
        try fixture.overwrite(fixture.segment, damaged)
        expectWhole(try fixture.recover(), "run from \(start)")
        #expect(try fixture.contents(fixture.segment) == content)
      }
    }
  }

  @Test("single flipped bits are given back")
  func everyBit() throws {
    let (content, writes) = try smallLog()
    for position in stride(from: 0, to: writes.last!.upperBound, by: 13) {
      var damaged = content
      damaged[position] ^= UInt8(1 << (position % 8))
      try fixture.overwrite(fixture.segment, damaged)
      expectWhole(try fixture.recover(), "bit at \(position)")
      #expect(try fixture.contents(fixture.segment) == content)
    }
  }

  @Test("beyond repair, what is lost is unknown and nothing else, and no wrong value shows")
  func beyondRepair() throws {
    let (content, writes) = try smallLog()
    var random = SplitMix(seed: 7)
    var unknown = 0
    for round in 0..<400 {
      var damaged = content
      // Two to four stretches anywhere; the superblock was written when the log was closed.
      for _ in 0..<2 + round % 3 {
        let start = Int(random.next() % UInt64(writes.last!.upperBound / 512)) * 512
        let end = min(writes.last!.upperBound, start + Int(random.next() % 12 + 1) * 512)
        for position in start..<end { damaged[position] = round % 2 == 0 ? 0 : 0xA5 }
      }
      try fixture.overwrite(fixture.segment, damaged)
      let recovered = try fixture.recover()
      let after = try fixture.contents(fixture.segment)
      #expect(recovered.groups[0].index.last == 32, "the superblock knows the last slot")
      #expect(recovered.groups[1].index.last == 2)
      #expect(recovered.groups[1].promised == Ballot(round: 10, node: 1))
      for group in recovered.groups {
        for slot in 1...group.index.last {
          guard let location = group.index[slot] else { continue }
          #expect(fixture.slot(at: location, after) == slot)
        }
        unknown += group.index.holes.count
      }
      // A start that looks again sees the same.
      let again = try fixture.recover()
      #expect(again.groups.map(\.index.holes) == recovered.groups.map(\.index.holes))
      #expect(again.head == recovered.head && again.generation == recovered.generation)
    }
    #expect(unknown > 500)
  }

  @Test("an older record does not show where a newer one was lost")
  func lostOverwrite() throws {
    // Slot 2 is accepted twice, and nothing later says that it is decided.
    try fixture.write([[(0, 1, 40), (0, 2, 41)], [(0, 2, 5000)], [(1, 1, 9)]])
    let content = try fixture.contents(fixture.segment)
    let writes = fixture.writes(content)
    var damaged = content
    for position in writes[1] { damaged[position] = 0 }
    try fixture.overwrite(fixture.segment, damaged)
    let group = try fixture.recover().groups[0]
    #expect(group.index.holes.contains(2))
    #expect(group.index.last == 2)
    // Of a decided slot the older record says the same.
    try fixture.overwrite(fixture.segment, content)
    try fixture.write([[(0, 3, 5), (0, 4, 5)]])
    damaged = try fixture.contents(fixture.segment)
    for position in writes[1] { damaged[position] = 0 }
    try fixture.overwrite(fixture.segment, damaged)
    #expect(try fixture.recover().groups[0].index.holes == [2])
    #expect(try fixture.recover().groups[0].commit == 3)
  }

  @Test("a body that rots beyond repair costs its slot alone")
  func damagedBody() throws {
    try fixture.write([[(0, 1, 40)], [(0, 2, 20000), (0, 3, 40)], [(0, 4, 40)]])
    var damaged = try fixture.contents(fixture.segment)
    let write = fixture.writes(damaged)[1]
    for sector in [write.lowerBound + 2048, write.lowerBound + 10240] { damaged[sector] ^= 1 }
    damaged[write.lowerBound + 2048 + 4096 * 3] ^= 2
    try fixture.overwrite(fixture.segment, damaged)
    let recovered = try fixture.recover()
    #expect(recovered.groups[0].index.holes == [2])
    #expect(recovered.counts[.entryDamaged] == 1 && recovered.counts[.recordSalvaged] == 1)
  }

  @Test("the end of the log lost after it was durable is unknown, not torn")
  func lostTail() throws {
    let (content, writes) = try smallLog()
    try fixture.overwrite(fixture.segment, Array(content[..<writes[10].lowerBound]))
    let recovered = try fixture.recover()
    #expect(recovered.counts[.tornWrite] == 0 && recovered.counts[.bytesLost] > 0)
    #expect(recovered.groups[0].index.holes.contains(31))
    #expect(recovered.groups[0].index.last == 32 && recovered.groups[1].index.last == 2)
    #expect(recovered.generation == 12, "numbers are not used again")
    // The log goes on behind it.
    try fixture.write([[(0, 31, 7), (0, 32, 7)]])
    #expect(try fixture.recover().groups[0].index[32] != nil)
  }
}
