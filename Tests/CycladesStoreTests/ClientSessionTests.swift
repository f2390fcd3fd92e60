import CycladesReplication
import Testing

@testable import CycladesStore

@Suite("Sessions of clients in a shard")
struct ClientSessionTests {
  private let call = Harness()

  private func open() -> UInt64 {
    UInt64(text(apply(PackedCommand.session())).dropFirst().dropLast(4))!
  }

  private func apply(_ packed: [UInt8]) -> [UInt8] {
    var reply = Reply()
    call.slot += 1
    let context = ApplyContext(group: 0, slot: call.slot, time: call.time)
    call.shard.apply(packed.rawSpan, context, reply: &reply)
    return reply.bytes
  }

  private func once(
    _ session: UInt64, _ sequence: UInt64, floor: UInt64 = 1, _ line: String
  ) -> String {
    let request = request(bytes(line))
    let span = request.rawSpan
    guard case .request = call.parser.parse(span) else { return "no request" }
    let numbers = [session, sequence, floor].map { Array(String($0).utf8) }
    let command = found(bytes(line)[0])!
    let arguments = call.parser.arguments(of: span)
    return text(apply(PackedCommand.once(numbers: numbers, command, arguments, .v2)))
  }

  @Test("a command that comes again is answered again, and carried out once, in any order")
  func once() {
    let session = open()
    #expect(once(session, 2, "INCR n") == ":1\\r\\n")
    #expect(once(session, 1, "INCR n") == ":2\\r\\n")
    for _ in 0..<3 {
      #expect(once(session, 2, "INCR n") == ":1\\r\\n")
      #expect(once(session, 1, "INCR n") == ":2\\r\\n")
    }
    #expect(call("GET", "n") == "$1\r\n2\r\n")
    // Errors are replies, too.
    let refusal = once(session, 3, "LPUSH n x")
    #expect(refusal.hasPrefix("-WRONGTYPE"))
    _ = call("DEL", "n")
    #expect(once(session, 3, "LPUSH n x") == refusal)
  }

  @Test("what was acknowledged is forgotten, and a late copy of it is refused")
  func floor() {
    let session = open()
    for sequence in 1...5 as ClosedRange<UInt64> { _ = once(session, sequence, "INCR n") }
    let before = call.shard.usedBytes
    #expect(once(session, 6, floor: 6, "INCR n") == ":6\\r\\n")
    #expect(call.shard.usedBytes < before)
    #expect(once(session, 5, "INCR n").hasPrefix("-STALESEQUENCE"))
    #expect(once(session, 5, floor: 5, "INCR n").hasPrefix("-STALESEQUENCE"))
    #expect(call("GET", "n") == "$1\r\n6\r\n")
  }

  @Test("a session that was never begun, or was forgotten, is refused and not begun anew")
  func forgotten() {
    #expect(once(77, 1, "INCR n").hasPrefix("-NOSESSION"))
    let first = open()
    #expect(once(first, 1, "INCR n") == ":1\\r\\n")
    let others = (0..<ClientSessions.sessionsMax).map { _ in open() }
    #expect(Set(others + [first]).count == ClientSessions.sessionsMax + 1)
    #expect(once(first, 1, "INCR n").hasPrefix("-NOSESSION"))
    #expect(once(others.last!, 1, "INCR n") == ":2\\r\\n")
  }

  @Test("unacknowledged commands have a bound, and so have the bytes of their replies")
  func bounds() {
    let session = open()
    let far = ClientSessions.windowMax + 1
    #expect(once(session, far, "INCR n").hasPrefix("-WINDOWFULL"))
    _ = call.run([Array("SET".utf8), Array("v".utf8), [UInt8](repeating: 120, count: 3 << 20)])
    var lost = 0
    for sequence in 1...8 as ClosedRange<UInt64> {
      #expect(once(session, sequence, "SET v w GET").hasPrefix("$"))
      _ = call.run([Array("SET".utf8), Array("v".utf8), [UInt8](repeating: 120, count: 3 << 20)])
    }
    for sequence in 1...8 as ClosedRange<UInt64> {
      if once(session, sequence, "SET v w GET").hasPrefix("-REPLYLOST") { lost += 1 }
    }
    #expect(lost == 3)
    #expect(call("STRLEN", "v") == ":\(3 << 20)\r\n")
    #expect(once(session, 9, floor: 9, "GETDEL none") == "$-1\\r\\n")
  }

  @Test("numbers that are none are refused")
  func malformed() {
    for numbers in [["0", "1", "1"], ["x", "1", "1"], ["1", "1", "2"], ["1", "0", "0"]] {
      let words = numbers.map { Array($0.utf8) } + [PackedCommand.session()]
      let packed = PackedCommand.pack(code: PackedCommand.onceCode, words, .v2)
      #expect(text(apply(packed)).hasPrefix("-ERR malformed"))
    }
    let short = PackedCommand.pack(code: PackedCommand.onceCode, [[49], [49]], .v2)
    #expect(text(apply(short)).hasPrefix("-ERR malformed"))
  }

  @Test("a transaction is carried out once, as one step")
  func transaction() {
    let session = open()
    var builder = TransactionBuilder()
    for line in ["INCR a", "LPUSH a x", "INCR b"] {
      let request = request(bytes(line))
      let span = request.rawSpan
      guard case .request = call.parser.parse(span) else { continue }
      builder.append(found(bytes(line)[0])!, call.parser.arguments(of: span), .v2)
    }
    let numbers = [session, 1, 1].map { Array(String($0).utf8) }
    let packed = PackedCommand.once(numbers: numbers, builder, .v2)
    let reply = text(apply(packed))
    #expect(reply.hasPrefix("*3\\r\\n:1\\r\\n-WRONGTYPE"))
    #expect(text(apply(packed)) == reply)
    #expect(call("MGET", "a", "b") == "*2\r\n$1\r\n1\r\n$1\r\n1\r\n")
  }

  @Test("a snapshot holds the sessions with the replies of those who still wait")
  func snapshot() throws {
    let session = open()
    let other = open()
    #expect(once(session, 1, "INCR n") == ":1\\r\\n")
    #expect(once(session, 3, "INCR n") == ":2\\r\\n")
    var source = call.shard.snapshot()
    let sessions = call.shard.sessions
    let copy = StoreShard(seed: 7)
    var part = Reply()
    var isFirst = true
    while true {
      part.removeAll()
      guard source.next(into: &part, byteCountTarget: 20) else { break }
      // Changes after the call are not in it.
      if isFirst { #expect(once(other, 1, "INCR n") == ":3\\r\\n") }
      isFirst = false
      try copy.restore(part.bytes.rawSpan)
    }
    #expect(copy.sessions == sessions)
    #expect(copy.usedBytes < call.shard.usedBytes)
    var (again, live) = (copy.sessions, call.shard.sessions)
    let next = again.open(slot: call.slot)
    #expect(next > other && next == live.open(slot: call.slot))
    #expect(
      again.admit(CommandNumber(session: session, sequence: 3, floor: 1), slot: 9)
        == .replay(Array(":2\r\n".utf8)))
    #expect(
      again.admit(CommandNumber(session: session, sequence: 2, floor: 1), slot: 9) == .perform)
  }
}
