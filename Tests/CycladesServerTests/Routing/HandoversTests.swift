import CycladesTransport
import Testing

@testable import CycladesServer

@Suite("Handovers")
struct HandoversTests {
  private func instant(_ milliseconds: UInt64) -> Instant {
    Instant(nanoseconds: 1_000_000_000 + milliseconds * 1_000_000)
  }

  @Test("a shard that just lost its leader is under way for a moment, however often that is told")
  func moment() {
    var handovers = Handovers()
    #expect(!handovers.isUnderWay(3, instant(0)), "it never had one")
    handovers.changed(3, hasLeader: false, instant(0))
    #expect(handovers.isUnderWay(3, instant(250)))
    #expect(!handovers.isUnderWay(4, instant(0)))
    handovers.changed(3, hasLeader: false, instant(200))
    #expect(!handovers.isUnderWay(3, instant(251)), "the moment began with the loss")
  }

  @Test("with a leader the moment is over, and the next loss begins another")
  func again() {
    var handovers = Handovers()
    handovers.changed(3, hasLeader: false, instant(0))
    handovers.changed(3, hasLeader: true, instant(100))
    #expect(!handovers.isUnderWay(3, instant(100)))
    handovers.changed(3, hasLeader: false, instant(1000))
    #expect(handovers.isUnderWay(3, instant(1250)))
  }
}
