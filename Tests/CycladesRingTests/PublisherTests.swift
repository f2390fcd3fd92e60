import CycladesRing
import Testing

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
