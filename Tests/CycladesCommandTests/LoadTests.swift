import Testing

@testable import CycladesCommand

@Suite("Latency histogram")
struct LoadHistogramTests {
  @Test("every value falls into a bucket whose upper bound is at most 1.6 % above it")
  func precision() {
    var random = SplitMix(seed: 1)
    for shift in 0..<64 {
      for _ in 0..<200 {
        let value = random.next() >> UInt64(shift)
        let bound = LoadHistogram.upperBound(of: LoadHistogram.bucket(of: value))
        #expect(bound >= value)
        #expect(Double(bound - value) <= 0.016 * Double(value))
      }
    }
  }

  @Test("quantiles are those of the sorted values")
  func quantiles() {
    var histogram = LoadHistogram()
    for value in (1...10_000).reversed() { histogram.record(UInt64(value)) }
    for quantile in [0.001, 0.5, 0.99, 1] {
      let exact = quantile * 10_000
      let found = Double(histogram.value(atQuantile: quantile))
      #expect(found >= exact && found <= exact * 1.016)
    }
    #expect(histogram.maximum == 10_000)
    #expect(histogram.count == 10_000)
  }

  @Test("an empty histogram answers zero")
  func empty() {
    #expect(LoadHistogram().value(atQuantile: 0.99) == 0)
  }
}

@Suite("Reply parser")
struct LoadReplyTests {
  private let stream = Array("+OK\r\n-ERR no\r\n:42\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n".utf8)

  @Test("replies are found one after the other, line ends inside a bulk included")
  func sequence() throws {
    var offset = 0
    var found: [String] = []
    while let frame = try LoadReplyFrame.parse(stream, from: offset) {
      found.append("\(frame.kind) " + String(decoding: stream[frame.payload], as: UTF8.self))
      offset = frame.end
    }
    #expect(
      found == ["simple OK", "error ERR no", "integer 42", "bulk a\r\nbc", "bulk ", "null "])
    #expect(offset == stream.count)
  }

  @Test("a reply that is cut anywhere is not there yet")
  func cut() throws {
    var starts: [Int] = []
    var offset = 0
    while let frame = try LoadReplyFrame.parse(stream, from: offset) {
      starts.append(offset)
      offset = frame.end
    }
    for (start, end) in zip(starts, starts.dropFirst() + [stream.count]) {
      for length in start..<end {
        #expect(try LoadReplyFrame.parse(Array(stream[..<length]), from: start) == nil)
      }
    }
  }

  @Test(
    "what is no reply is refused", arguments: ["?x\r\n", "$x\r\n", "$-2\r\n", "$9999999999\r\n"])
  func garbage(_ text: String) {
    #expect(throws: CommandFailure.self) { try LoadReplyFrame.parse(Array(text.utf8), from: 0) }
  }
}

@Suite("Verification of acknowledged writes")
struct LoadVerificationTests {
  /// Reads key 0 of a ledger and answers with the value of a write, or with nothing.
  private func verify(_ ledger: LoadLedger, finding sequence: UInt32?) -> LoadVerification {
    var verification = LoadVerification(ledger, lanes: 1, progress: LoadProgress())
    var output: [UInt8] = []
    let key = verification.next(lane: 0, into: &output)
    #expect(key == 0)
    let value = sequence.map { LoadWrite(key: 0, sequence: $0).value } ?? []
    let reply = LoadReply(kind: sequence == nil ? .null : .bulk, payload: value.span)
    _ = verification.answered(0, lane: 0, reply, sent: 0, now: 0)
    return verification
  }

  /// One key, written three times: 1 and 3 acknowledged, 2 never answered.
  private var ledger: LoadLedger {
    var ledger = LoadLedger(keyCount: 1)
    let writes = (0..<3).map { _ in LoadWrite(key: 0, sequence: ledger.issue(0)) }
    ledger.acknowledge(writes[0])
    ledger.doubt(writes[1])
    ledger.acknowledge(writes[2])
    return ledger
  }

  @Test("the last acknowledged value is right")
  func acknowledged() {
    let found = verify(ledger, finding: 3)
    #expect(found.lostCount == 0)
    #expect(found.happenedCount == 0)
    #expect(found.checkedCount == 1)
  }

  @Test("a write without an answer may have happened, however late")
  func uncertain() {
    let found = verify(ledger, finding: 2)
    #expect(found.lostCount == 0)
    #expect(found.happenedCount == 1)
  }

  @Test("an older value, a value never written and no value are losses", arguments: [1, 4, nil])
  func loss(_ sequence: UInt32?) {
    let found = verify(ledger, finding: sequence)
    #expect(found.lostCount == 1)
    #expect(found.findings.count == 1)
  }

  @Test("a key without an acknowledged write may be absent, but not hold a refused one")
  func unacknowledged() {
    var ledger = LoadLedger(keyCount: 1)
    _ = ledger.issue(0)
    #expect(verify(ledger, finding: nil).lostCount == 0)
    #expect(verify(ledger, finding: 1).lostCount == 1)
  }

  @Test("values differ between keys and between writes, and are 64 bytes")
  func values() {
    let values = (0..<20).flatMap { key in
      (1...20).map { LoadWrite(key: key, sequence: $0).value }
    }
    #expect(Set(values).count == 400)
    #expect(values.allSatisfy { $0.count == 64 })
  }
}

@Suite("Writes of a load run")
struct LoadWritesTests {
  private func answer(
    _ writes: inout LoadWrites, _ write: LoadWrite, _ kind: LoadReply.Kind, _ text: String
  ) -> LoadPace {
    let bytes = Array(text.utf8)
    let now = monotonicNanoseconds()
    return writes.answered(
      write, lane: 0, LoadReply(kind: kind, payload: bytes.span), sent: now - 1, now: now)
  }

  @Test("a refused write is sent again under a new number; only its second answer counts")
  func refusal() throws {
    var writes = LoadWrites(
      LoadLedger(keyCount: 1), lanes: 1, isEndless: false, progress: LoadProgress())
    var output: [UInt8] = []
    let first = try #require(writes.next(lane: 0, into: &output))
    #expect(answer(&writes, first, .error, "CLUSTERDOWN no leader") == .holdBack)
    #expect(writes.refusedCount == 1)
    #expect(writes.ledger.uncertain.isEmpty)
    let second = try #require(writes.next(lane: 0, into: &output))
    #expect(second.key == first.key && second.sequence > first.sequence)
    #expect(answer(&writes, second, .simple, "OK") == .proceed)
    #expect(writes.ledger.acknowledged == [second.sequence])
    #expect(writes.next(lane: 0, into: &output) == nil)
  }

  @Test("an error that leaves the outcome open is no refusal")
  func doubt() throws {
    var writes = LoadWrites(
      LoadLedger(keyCount: 1), lanes: 1, isEndless: false, progress: LoadProgress())
    var output: [UInt8] = []
    let write = try #require(writes.next(lane: 0, into: &output))
    _ = answer(&writes, write, .error, "UNKNOWNOUTCOME contact was lost")
    #expect(writes.refusedCount == 0)
    #expect(writes.uncertainCount == 1)
    #expect(writes.ledger.uncertain == [0: [write.sequence]])
  }
}

@Suite("Words for people")
struct TerminalTests {
  @Test("numbers are grouped, durations have three digits and a unit")
  func numbers() {
    #expect(1_234_567.grouped == "1,234,567")
    #expect(12.grouped == "12")
    #expect((-1000).grouped == "-1,000")
    #expect(readable(nanoseconds: 1_500) == "1.50 us")
    #expect(readable(nanoseconds: 45_600_000) == "45.6 ms")
    #expect(readable(nanoseconds: 2_000_000_000) == "2.00 s")
    #expect(decimal(0.05, places: 1) == "0.1")
    #expect(decimal(-2.5, places: 2) == "-2.50")
  }
}
