import Synchronization
import Testing

@testable import CycladesRing

@Suite("Publishing")
struct PublisherTests {
  private func ring(epoch: UInt64) throws -> Ring {
    var builder = try RingBuilder(epoch: epoch, pointsPerUnit: 16)
    for number in 0...epoch % 5 { try builder.add(Member(id: "\(number)")) }
    return try builder.build()
  }

  @Test("a reader sees the newest ring, and older news change nothing")
  func newest() throws {
    let publisher = RingPublisher(try ring(epoch: 3))
    var reader = publisher.makeReader()
    #expect(reader.ring.epoch == 3)
    #expect(publisher.publish(try ring(epoch: 5)))
    #expect(reader.ring.epoch == 5)
    #expect(!publisher.publish(try ring(epoch: 4)))
    #expect(!publisher.publish(try ring(epoch: 5)))
    #expect(reader.ring.epoch == 5)
    var late = publisher.makeReader()
    #expect(late.ring.epoch == 5)
  }

  @Test("a reader's lookups are those of the newest ring")
  func lookups() throws {
    let publisher = RingPublisher(try ring(epoch: 1))
    var reader = publisher.makeReader()
    let positions = (0..<64).map { UInt64($0) << 58 }
    let keys = Array("abcdefgh".utf8)
    let ends = (1...8).map { UInt32($0) }
    for epoch in 2...9 as ClosedRange<UInt64> {
      let newest = try ring(epoch: epoch)
      let expected = positions.map { newest.ownerIndex(ofPosition: $0) }
      var owners = [UInt16](repeating: .max, count: positions.count)
      var keyOwners = [UInt16](repeating: .max, count: keys.count)
      var span = owners.mutableSpan
      var keySpan = keyOwners.mutableSpan
      // By turns each kind of lookup is the one that notices the new ring.
      publisher.publish(newest)
      if epoch % 3 == 0 {
        reader.owners(ofPositions: positions.span, into: &span)
        reader.owners(ofKeys: keys.span, endingAt: ends.span, into: &keySpan)
      } else if epoch % 3 == 1 {
        reader.owners(ofKeys: keys.span, endingAt: ends.span, into: &keySpan)
        reader.owners(ofPositions: positions.span, into: &span)
      }
      #expect(positions.map { reader.ownerIndex(ofPosition: $0) } == expected)
      reader.owners(ofPositions: positions.span, into: &span)
      reader.owners(ofKeys: keys.span, endingAt: ends.span, into: &keySpan)
      #expect(owners.map(Int.init) == expected)
      for (key, owner) in zip(keys, keyOwners) {
        #expect(newest.members[Int(owner)] == newest.owner(of: [key]))
      }
    }
  }

  @Test("a reader goes on with its ring while another thread has the lock, and then catches up")
  func neverWaits() throws {
    let publisher = RingPublisher(try ring(epoch: 1))
    var reader = publisher.makeReader()
    #expect(publisher.publish(try ring(epoch: 2)))
    publisher.state.withLock { _ in
      #expect(reader.ring.epoch == 1)
      #expect(reader.ownerIndex(ofPosition: 7) == reader.ring.ownerIndex(ofPosition: 7))
      #expect(reader.ring.epoch == 1)
    }
    #expect(reader.ring.epoch == 2)
  }

  @Test("a replaced ring lives until nobody reads it and another is published, never less")
  func frees() throws {
    weak var first: Ring?
    weak var second: Ring?
    let publisher = try {
      let ring = try ring(epoch: 1)
      first = ring
      return RingPublisher(ring)
    }()
    var reader = publisher.makeReader()
    let idle = publisher.makeReader()
    try {
      let ring = try ring(epoch: 2)
      second = ring
      publisher.publish(ring)
    }()
    _ = reader.ownerIndex(ofPosition: 0)
    publisher.publish(try ring(epoch: 3))
    #expect(first != nil, "the idle reader has it")
    #expect(second != nil, "the other reader has it")
    _ = reader.ownerIndex(ofPosition: 0)
    #expect(second != nil, "the reader does not free what it leaves")
    publisher.publish(try ring(epoch: 4))
    #expect(second == nil)
    var late = idle
    #expect(first != nil)
    #expect(late.ring.epoch == 4)
    #expect(first != nil)
    publisher.publish(try ring(epoch: 5))
    #expect(first == nil)
  }

  @Test("readers on other threads see rings in order and whole", .timeLimit(.minutes(1)))
  func concurrentReaders() async throws {
    let last: UInt64 = 2000
    let rings = try (0...last).map { try ring(epoch: $0) }
    let publisher = RingPublisher(rings[0])
    try await withThrowingTaskGroup(of: Void.self) { group in
      for seed in 0..<3 {
        group.addTask {
          var random = SeededGenerator(seed: seed)
          var reader = publisher.makeReader()
          var seen: UInt64 = 0
          while seen < last {
            let ring = reader.ring
            #expect(ring.epoch >= seen)
            seen = ring.epoch
            #expect(ring.ownerIndex(ofPosition: random.next()) < ring.members.count)
            await Task.yield()
          }
        }
      }
      group.addTask {
        for ring in rings.dropFirst() {
          #expect(publisher.publish(ring))
          await Task.yield()
        }
      }
      try await group.waitForAll()
    }
  }
}
