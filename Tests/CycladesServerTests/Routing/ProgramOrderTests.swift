import Testing

@testable import CycladesServer

@Suite("Program order")
struct ProgramOrderTests {
  private func duty(_ group: UInt32, _ isWrite: Bool) -> ReplyQueue.Duty {
    ReplyQueue.Duty(group: group, isWrite: isWrite, byteCount: 10)
  }

  @Test("reads and writes of an idle group go their own ways")
  func idle() {
    let order = ProgramOrder(groups: 2)
    #expect(order.passage(for: 1, isReadOnly: true) == .read)
    #expect(order.passage(for: 1, isReadOnly: false) == .write)
  }

  @Test("a read behind an unfinished write is sent as a write")
  func readBehindWrite() {
    var order = ProgramOrder(groups: 2)
    order.began(duty(0, true))
    #expect(order.passage(for: 0, isReadOnly: true) == .write)
    #expect(order.passage(for: 1, isReadOnly: true) == .read)
    order.ended(duty(0, true))
    #expect(order.passage(for: 0, isReadOnly: true) == .read)
  }

  @Test("a write behind unfinished reads waits for all of them")
  func writeBehindReads() {
    var order = ProgramOrder(groups: 2)
    order.began(duty(0, false))
    order.began(duty(0, false))
    #expect(order.passage(for: 0, isReadOnly: false) == .hold)
    #expect(order.passage(for: 0, isReadOnly: true) == .read)
    order.ended(duty(0, false))
    #expect(order.passage(for: 0, isReadOnly: false) == .hold)
    order.ended(duty(0, false))
    #expect(order.passage(for: 0, isReadOnly: false) == .write)
  }
}
