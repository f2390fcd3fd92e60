import Glibc
import Testing

@testable import CycladesStore

/// Random commands to a shard and to redis-server 7.0; the replies must be the same bytes.
///
/// Time is the one thing that cannot be shared: the shard's log time is set from the clock before
/// every batch, and replies of the commands listed in `timed` may differ by the time that a batch
/// takes. Deadlines that would pass during the test are not drawn, other than those in the past. Redis
/// counts a key that ended until somebody asks for it, so before a command that counts keys all keys
/// are asked for.
@Suite("Against redis-server", .enabled(if: RedisServer.isInstalled), .timeLimit(.minutes(5)))
struct DifferentialTests {
  private static let timed: Set<String> = ["ttl", "pttl", "expiretime", "pexpiretime"]

  @Test(
    "random commands are answered byte for byte as by Redis",
    arguments: 1...4)
  func randomCommands(seed: UInt64) throws {
    let version: RESPVersion = seed % 2 == 0 ? .v3 : .v2
    let redis = try RedisServer()
    _ = try redis.call("HELLO", "\(version.rawValue)")
    let harness = Harness()
    harness.version = version
    var commands = RandomCommands(seed: seed)
    var compared = 0
    for _ in 0..<150 {
      harness.time = clockMilliseconds()
      let batch = (0..<50).flatMap { _ -> [[[UInt8]]] in
        let command = commands.next(time: Int64(harness.time))
        return commands.counts(command) ? [RandomCommands.sweep, command] : [command]
      }
      let expected = try redis.call(batch)
      for (words, theirs) in zip(batch, expected) {
        let ours = harness.run(words)
        compared += 1
        let name = String(decoding: words[0], as: UTF8.self).lowercased()
        if ours == theirs || Self.timed.contains(name) && isClose(ours, theirs, name) { continue }
        Issue.record(
          """
          \(words.map { text($0) }.joined(separator: " "))
          ours   \(text(ours))
          theirs \(text(theirs))
          """)
        return
      }
    }
    #expect(compared >= 7_500)
  }

  @Test("COMMAND describes data commands as Redis does", arguments: [RESPVersion.v2, .v3])
  func commandInfo(version: RESPVersion) throws {
    let redis = try RedisServer()
    _ = try redis.call("HELLO", "\(version.rawValue)")
    let harness = Harness()
    harness.version = version
    // SET and GETEX have notes in Redis; MSETNX is not one that clients may split here.
    let different: Set = ["set", "getex", "msetnx"]
    for command in Command.all where command.run != nil && !different.contains(command.name) {
      let words = ["COMMAND", "INFO", command.name].map { Array($0.utf8) }
      #expect(text(harness.run(words)) == text(try redis.call([words])[0]), "\(command.name)")
    }
    for line in [
      "COMMAND GETKEYS MSET a 1 b 2", "COMMAND GETKEYS GET a b", "COMMAND GETKEYS NOSUCH a",
      "COMMAND GETKEYS DBSIZE", "COMMAND GETKEYSANDFLAGS RENAME a b", "COMMAND FOO",
      "COMMAND COUNT x", "COMMAND LIST x", "COMMAND LIST FILTERBY MODULE x",
      "COMMAND LIST FILTERBY PATTERN SETR*", "COMMAND LIST FILTERBY x y",
      "COMMAND GETKEYSANDFLAGS GET", "COMMAND INFO nosuch", "COMMAND DOCS nosuch",
    ] {
      let words = line.split(separator: " ").map { Array($0.utf8) }
      #expect(text(harness.run(words)) == text(try redis.call([words])[0]), "\(line)")
    }
  }

  @Test("broken requests get Redis' error")
  func violations() throws {
    let parser = RequestParser()
    for bytes in [
      "*x\r\n", "*2147483648\r\n", "*1\r\n!3\r\n", "*1\r\n$-1\r\n", "*1\r\n$536870913\r\n",
      "*1\r\n$x\r\n", "*1\r\n$+1\r\n", "*+1\r\n", "GET \"key\r\n", "GET 'a'b\r\n",
      "*" + String(repeating: "1", count: 70_000),
      "*1\r\n$" + String(repeating: "1", count: 70_000),
      String(repeating: "a", count: 70_000),
    ].map({ Array($0.utf8) }) {
      let redis = try RedisServer()
      guard case .violation(let violation) = parser.parse(bytes.rawSpan) else {
        Issue.record("accepted: \(text(Array(bytes.prefix(30))))")
        continue
      }
      #expect(text(try redis.answer(bytes)) == "-ERR \(violation)\\r\\n")
    }
  }

  private func isClose(_ ours: [UInt8], _ theirs: [UInt8], _ name: String) -> Bool {
    func number(_ reply: [UInt8]) -> Int? {
      guard reply.first == UInt8(ascii: ":") else { return nil }
      return Int(String(decoding: reply.dropFirst().dropLast(2), as: UTF8.self))
    }
    guard let a = number(ours), let b = number(theirs), a >= 0, b >= 0 else { return false }
    return abs(a - b) <= (name.hasPrefix("p") ? 10_000 : 10)
  }
}

/// Bytes as printable text.
private func text(_ bytes: [UInt8]) -> String {
  bytes.map { byte in
    switch byte {
    case 13: "\\r"
    case 10: "\\n"
    case 32...126: String(UnicodeScalar(byte))
    default: "\\x" + String(byte, radix: 16)
    }
  }.joined()
}

private func clockMilliseconds() -> UInt64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_REALTIME, &time)
  return UInt64(time.tv_sec) * 1000 + UInt64(time.tv_nsec) / 1_000_000
}

/// Draws commands that reach every data command, its options, its errors and its limits.
private struct RandomCommands {
  private var random: SeededRandom
  private let commands = Command.all.filter { $0.run != nil }

  init(seed: UInt64) { random = SeededRandom(seed) }

  /// Whether a command's reply depends on the number of keys.
  func counts(_ words: [[UInt8]]) -> Bool {
    String(decoding: words[0], as: UTF8.self).lowercased() == "dbsize"
  }

  private mutating func chance(_ percent: Int) -> Bool {
    Int.random(in: 0..<100, using: &random) < percent
  }

  private mutating func pick(_ values: [String]) -> String { values.randomElement(using: &random)! }

  private static let keys = [[], [0], [255, 13, 10]] + (0..<25).map { Array("key:\($0)".utf8) }

  /// A command that asks for every key.
  static let sweep = [Array("EXISTS".utf8)] + keys

  private mutating func key() -> [UInt8] {
    Self.keys[
      chance(2) ? Int.random(in: 0..<3, using: &random) : Int.random(in: 3..<28, using: &random)]
  }

  private mutating func value() -> [UInt8] {
    switch Int.random(in: 0..<10, using: &random) {
    case 0: return []
    case 1: return random.bytes(Int.random(in: 1...300, using: &random))
    case 2...5: return Array(integer().utf8)
    case 6...7: return Array(float().utf8)
    default: return Array(pick(["hello", "world", "a longer value, which is still short"]).utf8)
    }
  }

  private mutating func integer() -> String {
    if chance(75) { return "\(Int.random(in: -20...200, using: &random))" }
    return pick([
      "9223372036854775807", "-9223372036854775808", "9223372036854775808", "-0", "00", "+1",
      " 1", "1 ", "", "abc", "1.5", "18446744073709551616", "9223372036854775", "2147483648",
      "9223372036854775800", "-9223372036854775", "-9223372036854775807",
    ])
  }

  private mutating func float() -> String {
    if chance(50) { return "\(Double(Int.random(in: -9999...9999, using: &random)) / 64)" }
    return pick([
      "3.0e3", "1e400", "-1e-400", "inf", "-inf", "nan", "0x10", "1.5abc", " 1.5", "1.5 ", "",
      "0.1", "0.2", "1e17", "123456789012345678", "-0", "5e-324", "1e300", "1e4932", "1e-17",
      "99999999999999999999.5",
    ])
  }

  /// A time to live or a point in time: in the past, or so far ahead that no batch can reach it.
  private mutating func moment(_ time: Int64, isAbsolute: Bool, isSeconds: Bool) -> String {
    if chance(15) { return integer().count > 4 ? integer() : pick(["0", "-1", "-5", "x", ""]) }
    let ahead = Int64.random(in: 600...100_000, using: &random) * (isSeconds ? 1 : 1000)
    let now = isAbsolute ? (isSeconds ? time / 1000 : time) : 0
    return "\(chance(15) ? now - ahead : now + ahead)"
  }

  private mutating func anyCase(_ word: String) -> [UInt8] {
    chance(50)
      ? Array(word.utf8)
      : chance(50)
        ? Array(word.lowercased().utf8)
        : [UInt8](word.prefix(1).utf8) + Array(word.dropFirst().lowercased().utf8)
  }

  private mutating func expiry(_ time: Int64) -> [[UInt8]] {
    let form = pick(["EX", "PX", "EXAT", "PXAT"])
    if chance(3) { return [anyCase(form)] }
    let moment = moment(
      time, isAbsolute: form.hasSuffix("AT"), isSeconds: form.hasPrefix("EX"))
    return [anyCase(form), Array(moment.utf8)]
  }

  private mutating func setOptions(_ time: Int64) -> [[UInt8]] {
    var options: [[UInt8]] = []
    while chance(40) {
      switch Int.random(in: 0..<7, using: &random) {
      case 0: options.append(anyCase("NX"))
      case 1: options.append(anyCase("XX"))
      case 2: options.append(anyCase("GET"))
      case 3: options.append(anyCase("KEEPTTL"))
      case 4 where chance(20): options.append(Array(pick(["PERSIST", "foo", "", "NXX"]).utf8))
      default: options += expiry(time)
      }
    }
    return options
  }

  mutating func next(time: Int64) -> [[UInt8]] {
    let command =
      chance(25)
      ? commands.first { $0.name == "set" }! : commands.randomElement(using: &random)!
    if (command.name == "flushall" || command.name == "flushdb") && !chance(10) {
      return next(time: time)
    }
    var words = [anyCase(command.name.uppercased())] + arguments(command.name, time)
    if chance(2) { words.append(value()) }
    if chance(2), words.count > 1 { words.removeLast() }
    if chance(1) { words[0] = random.bytes(3).map { $0 % 26 + 97 } + [48] }
    return words
  }

  private mutating func arguments(_ name: String, _ time: Int64) -> [[UInt8]] {
    switch name {
    case "set":
      return [key(), value()] + setOptions(time)
    case "getex":
      return [key()]
        + (chance(30) ? [anyCase("PERSIST")] : chance(90) ? expiry(time) : setOptions(time))
    case "setex", "psetex":
      return [
        key(), Array(moment(time, isAbsolute: false, isSeconds: name == "setex").utf8), value(),
      ]
    case "expire", "pexpire", "expireat", "pexpireat":
      let moment = moment(
        time, isAbsolute: name.hasSuffix("at"), isSeconds: !name.hasPrefix("p"))
      var words = [key(), Array(moment.utf8)]
      while chance(30) { words.append(anyCase(pick(["NX", "XX", "GT", "LT", "GT", "LT", "ZZ"]))) }
      return words
    case "mget", "del", "unlink", "exists", "touch":
      return (0...Int.random(in: 0..<4, using: &random)).map { _ in key() }
    case "mset", "msetnx":
      return (0...Int.random(in: 0..<3, using: &random)).flatMap { _ in [key(), value()] }
    case "setnx", "getset", "append":
      return [key(), value()]
    case "incrby", "decrby":
      return [key(), Array(integer().utf8)]
    case "incrbyfloat":
      return [key(), Array(float().utf8)]
    case "getrange", "substr":
      return [key(), Array(integer().utf8), Array(integer().utf8)]
    case "setrange":
      let offset =
        chance(90)
        ? "\(Int.random(in: -2...400, using: &random))"
        : pick([
          "536870912", "536870911999", "9223372036854775807", "-1", "x", "9223372036854775808",
        ])
      return [key(), Array(offset.utf8), value()]
    case "rename", "renamenx":
      return [key(), key()]
    case "copy":
      var words = [key(), key()]
      while chance(30) {
        words += [
          [anyCase("REPLACE")], [anyCase("DB"), Array("0".utf8)], [anyCase("DB"), Array("1".utf8)],
          [anyCase("DB"), Array(integer().utf8)], [anyCase("DB")], [anyCase("FOO")],
        ].randomElement(using: &random)!
      }
      return words
    case "flushall", "flushdb":
      return chance(50) ? [] : [anyCase(pick(["SYNC", "ASYNC", "FOO"]))]
    case "dbsize":
      return []
    default:
      return [key()]
    }
  }
}
