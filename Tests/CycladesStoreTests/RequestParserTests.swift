import CycladesReplication
import Testing

@testable import CycladesStore

@Suite("Requests")
struct RequestParserTests {
  @Test("a pipeline is taken apart request by request")
  func pipeline() {
    let parser = RequestParser()
    let bytes = request("SET", "key", "value") + request("GET", "key") + Array("PING\r\n".utf8)
    var found: [[[UInt8]]] = []
    var consumed = 0
    while consumed < bytes.count {
      let rest = bytes.rawSpan.extracting(consumed..<bytes.count)
      guard case .request(let byteCount) = parser.parse(rest) else { break }
      let arguments = parser.arguments(of: rest)
      found.append(copy(arguments))
      consumed += byteCount
    }
    #expect(consumed == bytes.count)
    #expect(
      found
        == [["SET", "key", "value"], ["GET", "key"], ["PING"]].map { $0.map { Array($0.utf8) } })
  }

  @Test(
    "a request cut at any byte is waited for, and never for more bytes than it has",
    arguments: [
      "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$12\r\nhello\r\nworld\r\n", "*1\r\n$0\r\n\r\n",
      "*2\r\n$4\r\nECHO\r\n$1\r\n*\r\n", "*0\r\n", "*-1\r\n", "PING\r\n", "PING\n", "\r\n",
      "SET \"a b\" 'c d'\r\n", "*11\r\n" + String(repeating: "$1\r\nx\r\n", count: 11),
    ])
  func everyCut(text: String) {
    let parser = RequestParser()
    let bytes = Array(text.utf8)
    for cut in 0..<bytes.count {
      guard case .incomplete(let needs) = parser.parse(bytes.rawSpan.extracting(0..<cut)) else {
        Issue.record("cut at \(cut)")
        continue
      }
      #expect(needs > cut && needs <= bytes.count, "cut at \(cut)")
    }
    #expect(parser.parse(bytes.rawSpan) == .request(byteCount: bytes.count))
    let longer = bytes + Array("*1\r\n$4\r\nPI".utf8)
    #expect(parser.parse(longer.rawSpan) == .request(byteCount: bytes.count))
  }

  @Test("inside a large value the parser asks for its end at once")
  func needsEndOfBulk() {
    let parser = RequestParser()
    let head = Array("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nabc".utf8)
    #expect(parser.parse(head.rawSpan) == .incomplete(needs: head.count - 3 + 1_000_002))
    let middle = Array("*3\r\n$3\r\nSET\r\n$1000000\r\nabc".utf8)
    #expect(parser.parse(middle.rawSpan) == .incomplete(needs: middle.count - 3 + 1_000_002 + 6))
  }

  @Test("inline requests are split and unquoted as redis-cli would")
  func inlineForms() {
    let parser = RequestParser()
    let cases: [(String, [String])] = [
      ("  GET   key \r\n", ["GET", "key"]), ("\tGET\tkey\n", ["GET", "key"]),
      (#"SET "a \"b\" \n\x41" 'it\'s \n'"# + "\r\n", ["SET", "a \"b\" \nA", #"it's \n"#]),
      (#"ECHO """# + "\r\n", ["ECHO", ""]), (#"foo"bar""# + "\n", ["foobar"]),
      (#"ECHO "\x4" "\xzz""# + "\n", ["ECHO", "x4", "xzz"]),
    ]
    for (line, words) in cases {
      #expect(parser.whole(Array(line.utf8)) == words.map { Array($0.utf8) }, "\(line)")
    }
  }

  @Test("broken requests are refused with Redis' texts")
  func violations() {
    let parser = RequestParser()
    let cases: [(String, String)] = [
      ("*x\r\n", "Protocol error: invalid multibulk length"),
      ("*1048577\r\n", "Protocol error: invalid multibulk length"),
      ("*99999999999999999999\r\n", "Protocol error: invalid multibulk length"),
      ("*+1\r\n", "Protocol error: invalid multibulk length"),
      ("*1\r\n!3\r\n", "Protocol error: expected '$', got '!'"),
      ("*1\r\n\u{1}3\r\n", "Protocol error: expected '$', got '\u{1}'"),
      ("*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
      ("*1\r\n$1073741824\r\n", "Protocol error: invalid bulk length"),
      ("*1\r\n$03\r\nabc\r\n", "Protocol error: invalid bulk length"),
      ("*1\r\n$\r\n", "Protocol error: invalid bulk length"),
      ("GET \"key\r\n", "Protocol error: unbalanced quotes in request"),
      ("GET 'key'x\r\n", "Protocol error: unbalanced quotes in request"),
      ("*" + String(repeating: "1", count: 65537), "Protocol error: too big mbulk count string"),
      (
        "*1\r\n$" + String(repeating: "1", count: 65537),
        "Protocol error: too big bulk count string"
      ),
      (
        "*1\r\n" + String(repeating: "1", count: 65537),
        "Protocol error: too big bulk count string"
      ),
      (String(repeating: "a", count: 65537), "Protocol error: too big inline request"),
    ]
    for (text, expected) in cases {
      let bytes = Array(text.utf8)
      #expect(
        parser.parse(bytes.rawSpan) == .violation(ProtocolViolation(description: expected)),
        "\(text.prefix(20))")
    }
  }

  @Test("limits are the caller's")
  func limits() {
    var limits = RequestLimits()
    limits.argumentsMax = 2
    limits.bulkBytesMax = 4
    limits.inlineBytesMax = 8
    limits.requestBytesMax = 24
    let parser = RequestParser(limits: limits)
    func violation(_ text: String) -> String? {
      guard case .violation(let violation) = parser.parse(Array(text.utf8).rawSpan) else {
        return nil
      }
      return violation.description
    }
    #expect(violation("*2\r\n$4\r\nECHO\r\n$4\r\nabcd\r\n") == nil)
    #expect(violation("*3\r\n") == "Protocol error: invalid multibulk length")
    #expect(violation("*1\r\n$5\r\n") == "Protocol error: invalid bulk length")
    #expect(violation("12345678\n") == nil)
    #expect(violation("123456789\n") == "Protocol error: too big inline request")
    limits.requestBytesMax = 23
    let strict = RequestParser(limits: limits)
    #expect(
      strict.parse(Array("*2\r\n$4\r\nECHO\r\n$4\r\n".utf8).rawSpan)
        == .violation(
          ProtocolViolation(description: "Protocol error: request exceeds the size limit")))
  }

  @Test("a request with very many arguments is parsed once its bytes are there")
  func manyArguments() {
    let parser = RequestParser()
    let words = [[UInt8]](repeating: [UInt8(ascii: "x")], count: 100_000)
    #expect(parser.whole(request(words)) == words)
    let inline = Array((String(repeating: "y ", count: 30_000) + "\n").utf8)
    #expect(parser.whole(inline)?.count == 30_000)
  }

  @Test("random bytes never trap, and whatever is accepted lies within them", arguments: 0..<4)
  func randomBytes(seed: UInt64) {
    var random = SeededRandom(seed)
    let parser = RequestParser()
    let alphabet = Array("*$0123456789-\r\n\"'\\x abc".utf8) + [0, 255]
    var accepted = 0
    for _ in 0..<10_000 {
      var bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in
        alphabet.randomElement(using: &random)!
      }
      if Bool.random(using: &random) { bytes = Array("*2\r\n$".utf8) + bytes }
      let span = bytes.rawSpan
      switch parser.parse(span) {
      case .request(let byteCount):
        #expect(byteCount > 0 && byteCount <= bytes.count)
        let arguments = parser.arguments(of: span)
        #expect(copy(arguments).reduce(0) { $0 + $1.count } <= byteCount)
        accepted += 1
      case .incomplete(let needs):
        #expect(needs > bytes.count)
      case .violation(let violation):
        #expect(violation.description.hasPrefix("Protocol error: "))
      }
    }
    #expect(accepted > 100)
  }

  @Test("a damaged request is answered the same however it is cut", arguments: 0..<4)
  func damagedAndCut(seed: UInt64) {
    var random = SeededRandom(seed)
    let parser = RequestParser()
    for _ in 0..<500 {
      var bytes = request("MSET", "key1", "value1", "key2", "value2")
      bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(
        in: 0...255, using: &random)
      let whole = parser.parse(bytes.rawSpan)
      for cut in 0..<bytes.count {
        let part = parser.parse(bytes.rawSpan.extracting(0..<cut))
        if case .incomplete = part { continue }
        #expect(part == whole)
      }
    }
  }
}

@Suite("Packed commands")
struct PackedCommandTests {
  @Test("every request comes back from its packed form", arguments: 0..<4)
  func roundTrip(seed: UInt64) {
    var random = SeededRandom(seed)
    let parser = RequestParser()
    let list = ArgumentList()
    for _ in 0..<500 {
      let command = Command.all.randomElement(using: &random)!
      let version = Bool.random(using: &random) ? RESPVersion.v2 : .v3
      let words =
        [Array(command.name.utf8)]
        + (0..<Int.random(in: 0...20, using: &random)).map { _ in
          random.bytes(Int.random(in: 0...40, using: &random))
        }
      let bytes = request(words)
      let span = bytes.rawSpan
      guard case .request = parser.parse(span) else {
        Issue.record("not parsed")
        return
      }
      let arguments = parser.arguments(of: span)
      var packed: [UInt8] = [1, 2, 3]
      PackedCommand.append(command, arguments, version, to: &packed)
      #expect(packed.count == 3 + PackedCommand.byteCount(arguments))
      packed.removeFirst(3)
      guard let header = PackedCommand.decode(packed.rawSpan, into: list) else {
        Issue.record("not decoded")
        return
      }
      #expect(header.code == command.code && header.version == version)
      let decoded = Arguments(packed.rawSpan, list)
      #expect(copy(decoded) == Array(words.dropFirst()))
    }
  }

  @Test("a part of a command holds its keys and their values")
  func part() {
    let parser = RequestParser()
    let bytes = request("MSET", "a", "1", "b", "2", "c", "3")
    let span = bytes.rawSpan
    guard case .request = parser.parse(span) else {
      Issue.record("not parsed")
      return
    }
    let mset = Command.all.first { $0.name == "mset" }!
    let packed = PackedCommand.part(mset, parser.arguments(of: span), positions: [1, 5], .v3)
    let list = ArgumentList()
    let header = PackedCommand.decode(packed.rawSpan, into: list)
    #expect(header?.version == .v3)
    let decoded = Arguments(packed.rawSpan, list)
    #expect(copy(decoded) == ["a", "1", "c", "3"].map { Array($0.utf8) })
  }

  @Test("truncated, extended and damaged bytes are refused or stay in bounds", arguments: 0..<4)
  func hostile(seed: UInt64) {
    var random = SeededRandom(seed)
    let list = ArgumentList()
    let shard = StoreShard(seed: 1)
    var reply = Reply()
    let context = ApplyContext(group: 0, slot: 0, time: 1000)
    let parser = RequestParser()
    let bytes = request("MSET", "key", "value", "other", "")
    let span = bytes.rawSpan
    guard case .request = parser.parse(span) else {
      Issue.record("not parsed")
      return
    }
    var packed: [UInt8] = []
    PackedCommand.append(
      Command.all.first { $0.name == "mset" }!, parser.arguments(of: span), .v2, to: &packed)
    for cut in 0..<packed.count {
      #expect(PackedCommand.decode(packed.rawSpan.extracting(0..<cut), into: list) == nil)
    }
    #expect(PackedCommand.decode((packed + [0]).rawSpan, into: list) == nil)
    for _ in 0..<5_000 {
      var damaged = packed
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        damaged[Int.random(in: 0..<damaged.count, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      if PackedCommand.decode(damaged.rawSpan, into: list) != nil {
        let decoded = Arguments(damaged.rawSpan, list)
        let total = copy(decoded).reduce(8 + 4 * decoded.count) { $0 + $1.count }
        #expect(total == damaged.count)
      }
      reply.removeAll()
      shard.apply(damaged.rawSpan, context, reply: &reply)
      #expect(reply.byteCount > 0)
      shard.apply(
        random.bytes(Int.random(in: 0...40, using: &random)).rawSpan, context, reply: &reply)
    }
  }
}
