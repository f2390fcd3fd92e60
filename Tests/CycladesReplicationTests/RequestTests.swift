import CycladesTransport
import Testing

@testable import CycladesReplication

@Suite("Requests")
struct RequestTests {
  @Test("items are walked in order, and a cut one is noticed")
  func items() {
    var reply = Reply()
    for size in [0, 1, 5, 300] {
      Applier.sized(&reply) { reply in
        for byte in 0..<size { reply.append(UInt8(truncatingIfNeeded: byte)) }
      }
    }
    #expect(SizedItems.count(reply.bytes.rawSpan) == 4)
    var sizes: [Int] = []
    #expect(SizedItems.forEach(reply.bytes.rawSpan) { sizes.append($0.byteCount) })
    #expect(sizes == [0, 1, 5, 300])
    let cut = Array(reply.bytes.dropLast())
    #expect(SizedItems.count(cut.rawSpan) == nil)
    #expect(!SizedItems.forEach(cut.rawSpan) { _ in })
  }

  @Test("items are copied once when their size was foreseen, and again when they outgrow a block")
  func copies() throws {
    let pool = BufferPool(budgetBytes: 8 << 20)
    for (capacity, copied) in [(80_000, 64_000), (0, 64_000 + 4096)] {
      var builder = try RequestBuilder(prefix: 92, capacity: capacity, pool: pool)
      for size in [4000, 60_000] {
        unsafe _ = try builder.append(size) { target in
          unsafe target.initializeMemory(as: UInt8.self, repeating: 7, count: size)
        }
      }
      #expect(builder.copiedBytes == copied)
      #expect(builder.count == 2)
      let frame = unsafe builder.finish { _ in }
      #expect(SizedItems.count(frame.span.extracting(92..<frame.byteCount)) == 2)
    }
  }

  @Test("random bytes are never a request that reaches beyond them")
  func randomBytes() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<2000 {
      let count = Int.random(in: 0..<200, using: &generator)
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...3, using: &generator) }
      if let header = RequestHeader(bytes.rawSpan) {
        #expect(Int(header.size) <= bytes.count && header.size >= 40)
      }
      _ = SizedItems.count(bytes.rawSpan)
    }
  }

  @Test("a malformed body applies what stands before the fault, and never traps")
  func malformedBody() {
    var counter: any StateMachine = Counter()
    var sessions = SessionTable()
    var chain: UInt64 = 0
    var reply = Reply()
    var generator = SystemRandomNumberGenerator()
    for slot in UInt64(1)...500 {
      let body = (0..<Int.random(in: 0..<400, using: &generator)).map { _ in
        UInt8.random(in: 0...2, using: &generator)
      }
      Applier.apply(
        body.rawSpan, ApplyContext(group: 0, slot: slot, time: 0), &counter, nil, &sessions, &chain,
        &reply
      ) { _, _ in }
    }
    #expect(sessions.count <= sessions.sessionsMax)
  }
}
