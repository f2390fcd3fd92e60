import Testing

@testable import CycladesClient

@Suite("Replies, as a client reads them")
struct ReplyParserTests {
  private func items(_ text: String, cutAt step: Int) throws -> [ReplyParser.Item] {
    var parser = ReplyParser()
    let bytes = Array(text.utf8)
    var items: [ReplyParser.Item] = []
    for start in stride(from: 0, to: bytes.count, by: step) {
      let part = Array(bytes[start..<min(start + step, bytes.count)])
      items += try unsafe parser.take(part.span.bytes)
    }
    return items
  }

  @Test("every type of RESP3 is read, however the bytes are cut", arguments: [1, 2, 3, 7, 1000])
  func types(step: Int) throws {
    let text =
      "+OK\r\n:-12\r\n$5\r\nhe\r\no\r\n$-1\r\n_\r\n*-1\r\n,1.5\r\n#t\r\n=7\r\ntxt:abc\r\n"
      + "*2\r\n:1\r\n*2\r\n$1\r\na\r\n-WRONGTYPE no\r\n%1\r\n+k\r\n~1\r\n:2\r\n*0\r\n"
      + "|1\r\n+ttl\r\n:1\r\n:3\r\n>2\r\n+message\r\n+x\r\n-ERR all wrong\r\n(123456789012345678901\r\n"
    let expected: [ReplyParser.Item] = [
      .reply(.status("OK")), .reply(.integer(-12)), .reply(.bytes(Array("he\r\no".utf8))),
      .reply(.null), .reply(.null), .reply(.null), .reply(.double(1.5)), .reply(.boolean(true)),
      .reply(.bytes(Array("abc".utf8))),
      .reply(
        .array([
          .integer(1),
          .array([.bytes(Array("a".utf8)), .error(StoreServerError("WRONGTYPE no"))]),
        ])),
      .reply(.map([.init(key: .status("k"), value: .array([.integer(2)]))])),
      .reply(.array([])), .reply(.integer(3)),
      .push(.array([.status("message"), .status("x")])),
      .failure(StoreServerError("ERR all wrong")),
      .reply(.bytes(Array("123456789012345678901".utf8))),
    ]
    #expect(try items(text, cutAt: step) == expected)
  }

  @Test(
    "what is no reply is refused",
    arguments: [
      "?\r\n", ":x\r\n", "$-2\r\n", "$2\r\nabc\r\n", "*x\r\n", "#y\r\n", ",z\r\n", "+a\rb\r\n",
      "$99999999999\r\n", "*99999999999\r\n", "*1\r\n>1\r\n+x\r\n",
    ])
  func violations(text: String) {
    #expect(throws: ReplyParser.Violation.self) { try items(text, cutAt: 1000) }
  }

  @Test("nesting and lines have bounds")
  func bounds() {
    let deep = String(repeating: "*1\r\n", count: ReplyParser.depthMax + 1)
    #expect(throws: ReplyParser.Violation.self) { try items(deep, cutAt: 1000) }
    let long = "+" + String(repeating: "a", count: ReplyParser.lineBytesMax + 2)
    #expect(throws: ReplyParser.Violation.self) { try items(long, cutAt: 1000) }
  }

  @Test("any bytes are a list of replies, too few, or a violation", arguments: 0..<300)
  func noise(seed: UInt64) {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    let alphabet = Array("+-:$*~%>|#_,=(!0123456789\r\n\r\n\r\nab".utf8)
    var parser = ReplyParser()
    for _ in 0..<200 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let byte = alphabet[Int(state >> 33) % alphabet.count]
      guard (try? unsafe parser.take([byte].span.bytes)) != nil else { return }
    }
  }
}
