import Testing

@testable import CycladesServer

@Suite("Reply window")
struct ReplyWindowTests {
  private typealias Load = ReplyWindow.Load
  private let limits = ReplyWindow.Limits(countMax: 1024, bytesMax: 1 << 20, queuedMax: 1 << 20)

  @Test("a connection that owes nothing may always start a command")
  func idle() {
    var window = ReplyWindow(limits)
    window.answered(512 << 20)
    #expect(window.isOpen(Load(owed: 0, parkedBytes: 0, queuedBytes: 0)))
    #expect(window.mayReopen(Load(owed: 0, parkedBytes: 0, queuedBytes: 0)))
  }

  @Test("small replies let a pipeline run as deep as the count allows")
  func small() {
    var window = ReplyWindow(limits)
    for _ in 0..<100 { window.answered(5) }
    #expect(window.isOpen(Load(owed: 1023, parkedBytes: 0, queuedBytes: 0)))
    #expect(!window.isOpen(Load(owed: 1024, parkedBytes: 0, queuedBytes: 0)))
    #expect(!window.mayReopen(Load(owed: 513, parkedBytes: 0, queuedBytes: 0)))
    #expect(window.mayReopen(Load(owed: 511, parkedBytes: 0, queuedBytes: 0)))
  }

  @Test("a connection without replies yet is charged what others get")
  func usual() {
    var window = ReplyWindow(limits)
    #expect(window.isOpen(Load(owed: 60, parkedBytes: 0, queuedBytes: 0)))
    #expect(window.isOpen(Load(owed: 3, parkedBytes: 0, queuedBytes: 0), usual: 256 << 10))
    #expect(!window.isOpen(Load(owed: 4, parkedBytes: 0, queuedBytes: 0), usual: 256 << 10))
    for _ in 0..<100 { window.answered(5) }
    #expect(window.isOpen(Load(owed: 60, parkedBytes: 0, queuedBytes: 0), usual: 256 << 10))
  }

  @Test("one large reply makes the window small at once")
  func large() {
    var window = ReplyWindow(limits)
    for _ in 0..<100 { window.answered(5) }
    window.answered(400_000)
    #expect(window.isOpen(Load(owed: 2, parkedBytes: 0, queuedBytes: 0)))
    #expect(!window.isOpen(Load(owed: 3, parkedBytes: 0, queuedBytes: 0)))
  }

  @Test("a client that does not take its replies starts nothing")
  func slowConsumer() {
    let window = ReplyWindow(limits)
    #expect(!window.isOpen(Load(owed: 0, parkedBytes: 0, queuedBytes: 1 << 20)))
    #expect(window.isOpen(Load(owed: 0, parkedBytes: 0, queuedBytes: 1 << 18)))
  }

  @Test("large requests are bounded whatever their replies weigh")
  func largeRequests() {
    var window = ReplyWindow(limits)
    for _ in 0..<100 { window.answered(5) }
    let duty = ReplyQueue.Duty(group: 0, isWrite: true, byteCount: 3 << 20)
    window.began(duty)
    #expect(window.isOpen(Load(owed: 1, parkedBytes: 0, queuedBytes: 0)))
    window.began(duty)
    #expect(!window.isOpen(Load(owed: 2, parkedBytes: 0, queuedBytes: 0)))
    window.ended(duty)
    #expect(!window.mayReopen(Load(owed: 1, parkedBytes: 0, queuedBytes: 0)))
    window.ended(duty)
    #expect(window.mayReopen(Load(owed: 0, parkedBytes: 0, queuedBytes: 0)))
  }

  @Test("parked replies count")
  func parked() {
    var window = ReplyWindow(limits)
    for _ in 0..<100 { window.answered(5) }
    #expect(!window.isOpen(Load(owed: 10, parkedBytes: 1 << 20, queuedBytes: 0)))
  }
}
