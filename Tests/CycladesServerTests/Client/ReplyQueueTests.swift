import CycladesStore
import Testing

@testable import CycladesServer

@Suite("Reply order")
struct ReplyQueueTests {
  private let duty = ReplyQueue.Duty(group: 0, isWrite: true, byteCount: 10)

  /// Fulfils in a given order and returns what was emitted.
  private func emitted(
    _ queue: inout ReplyQueue, _ replies: [(UInt64, String)]
  ) -> [String] {
    var out: [String] = []
    for (sequence, text) in replies {
      let bytes = [UInt8](text.utf8)
      queue.fulfil(sequence, bytes.rawSpan) { out.append(String(decoding: $0)) }
    }
    return out
  }

  @Test("a reply for the oldest command leaves at once")
  func headLeavesAtOnce() {
    var queue = ReplyQueue()
    let sequence = queue.expect(duty)
    #expect(emitted(&queue, [(sequence, "+OK\r\n")]) == ["+OK\r\n"])
    #expect(queue.isEmpty)
    #expect(queue.parkedBytes == 0)
  }

  @Test("replies that come in any order leave in the order of the commands", arguments: 0..<50)
  func anyOrder(seed: Int) {
    var generator = Generator(seed: UInt64(seed))
    var queue = ReplyQueue()
    var expected: [String] = []
    var out: [String] = []
    var open: [UInt64] = []
    for _ in 0..<300 {
      if open.isEmpty || Bool.random(using: &generator) {
        open.append(queue.expect(duty))
        // Some fit into their cell, some do not.
        let length = Int.random(in: 0...60, using: &generator)
        expected.append("\(open.last!):" + String(repeating: "x", count: length))
      } else {
        let sequence = open.remove(at: Int.random(in: 0..<open.count, using: &generator))
        out += emitted(&queue, [(sequence, expected[Int(sequence)])])
      }
    }
    for sequence in open.shuffled(using: &generator) {
      out += emitted(&queue, [(sequence, expected[Int(sequence)])])
    }
    #expect(out == expected)
    #expect(queue.isEmpty)
    #expect(queue.parkedBytes == 0)
  }

  @Test("an immediate reply waits behind what is owed")
  func immediateWaits() {
    var queue = ReplyQueue()
    let sequence = queue.expect(duty)
    var out: [String] = []
    queue.append([UInt8]("+PONG\r\n".utf8).rawSpan) { out.append(String(decoding: $0)) }
    #expect(out.isEmpty)
    #expect(queue.parkedBytes == 7)
    out += emitted(&queue, [(sequence, "$1\r\na\r\n")])
    #expect(out == ["$1\r\na\r\n", "+PONG\r\n"])
    #expect(queue.parkedBytes == 0)
  }

  @Test("a cell says what it waits for, and nothing once it is answered")
  func expectation() {
    var queue = ReplyQueue()
    let first = queue.expect(ReplyQueue.Duty(group: 7, isWrite: false, byteCount: 10))
    let second = queue.expect(duty)
    guard case .one(let duty) = queue.expectation(of: first) else {
      Issue.record("the cell waits for one group")
      return
    }
    #expect(duty.group == 7)
    #expect(!duty.isWrite)
    _ = emitted(&queue, [(second, "+OK\r\n")])
    guard case .nothing = queue.expectation(of: second) else {
      Issue.record("an answered cell waits for nothing")
      return
    }
    guard case .nothing = queue.expectation(of: 99) else {
      Issue.record("a cell that never was waits for nothing")
      return
    }
  }
}

/// SplitMix64: the same numbers for the same seed.
struct Generator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
