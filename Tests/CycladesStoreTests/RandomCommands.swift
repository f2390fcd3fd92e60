import Testing

@testable import CycladesStore

/// Draws commands that reach every data command, its options, its errors and its limits.
///
/// Keys are drawn from a pool per type, so that commands usually find what they work on, and now and
/// then from another pool.
struct RandomCommands {
  var random: SeededRandom
  private let commands = Command.all.filter { $0.run != nil && $0.name != "spop" }

  init(seed: UInt64) { random = SeededRandom(seed) }

  /// Whether a command's reply depends on the number of keys.
  func counts(_ words: [[UInt8]]) -> Bool {
    ["dbsize", "keys", "scan"].contains(String(decoding: words[0], as: UTF8.self).lowercased())
  }

  mutating func chance(_ percent: Int) -> Bool {
    Int.random(in: 0..<100, using: &random) < percent
  }

  mutating func pick(_ values: [String]) -> String { values.randomElement(using: &random)! }

  private static let oddKeys: [[UInt8]] = [[], [0], [255, 13, 10]]
  static let pools = ["key:", "hash:", "list:", "set:", "ints:", "zset:", "lex:", "big:"]
  private static let keys =
    oddKeys + pools.flatMap { pool in (0..<7).map { Array("\(pool)\($0)".utf8) } }

  /// A command that asks for every key.
  static let sweep = [Array("EXISTS".utf8)] + keys

  mutating func key(_ pool: String = "key:") -> [UInt8] {
    if chance(1) { return Self.oddKeys.randomElement(using: &random)! }
    let pool = chance(3) ? pick(Self.pools) : pool
    return Array("\(pool)\(Int.random(in: 0..<7, using: &random))".utf8)
  }

  mutating func value() -> [UInt8] {
    switch Int.random(in: 0..<10, using: &random) {
    case 0: return []
    case 1: return random.bytes(Int.random(in: 1...300, using: &random))
    case 2...5: return Array(integer().utf8)
    case 6...7: return Array(float().utf8)
    default: return Array(pick(["hello", "world", "a longer value, which is still short"]).utf8)
    }
  }

  mutating func integer() -> String {
    if chance(75) { return "\(Int.random(in: -20...200, using: &random))" }
    return pick([
      "9223372036854775807", "-9223372036854775808", "9223372036854775808", "-0", "00", "+1",
      " 1", "1 ", "", "abc", "1.5", "18446744073709551616", "9223372036854775", "2147483648",
      "9223372036854775800", "-9223372036854775", "-9223372036854775807",
    ])
  }

  mutating func float() -> String {
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

  mutating func anyCase(_ word: String) -> [UInt8] {
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
    // Redis looks for timeouts ten times a second, so each one that waits costs a tenth.
    if command.isBlocking && !chance(5) { return next(time: time) }
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
      return Self.templates[name].map { fill($0) } ?? [key()]
    }
  }
}

extension RandomCommands {
  /// The arguments of commands: a word in upper case stands for itself, one in lower case for
  /// something drawn; `[...]` is there or not, `...*` comes once or more often, `a|b` is either.
  private static let templates: [String: String] = [
    "hset": "hash (field value)*", "hmset": "hash (field value)*", "hsetnx": "hash field value",
    "hget": "hash field", "hmget": "hash field*", "hdel": "hash field*", "hlen": "hash",
    "hstrlen": "hash field", "hexists": "hash field", "hgetall": "hash", "hkeys": "hash",
    "hvals": "hash", "hincrby": "hash field integer", "hincrbyfloat": "hash field float",
    "hrandfield": "hash [count [WITHVALUES]]", "hscan": "hash 0 [MATCH glob] [COUNT count]",
    "lpush": "list value*", "rpush": "list value*", "lpushx": "list value*",
    "rpushx": "list value*", "lpop": "list [count]", "rpop": "list [count]", "llen": "list",
    "lindex": "list index", "lset": "list index value", "lrange": "list index index",
    "ltrim": "list index index", "lrem": "list index value",
    "linsert": "list BEFORE|AFTER value value",
    "lpos": "list value [RANK index] [COUNT index] [MAXLEN index]", "rpoplpush": "list list",
    "lmove": "list list LEFT|RIGHT LEFT|RIGHT",
    "lmpop": "numkeys list* LEFT|RIGHT [COUNT count]",
    "blmpop": "wait numkeys list* LEFT|RIGHT [COUNT count]", "blpop": "list* wait",
    "brpop": "list* wait", "brpoplpush": "list list wait",
    "blmove": "list list LEFT|RIGHT LEFT|RIGHT wait",
    "sadd": "set member*", "srem": "set member*", "scard": "set", "sismember": "set member",
    "smismember": "set member*", "smembers": "set", "smove": "set set member",
    "srandmember": "set [count]", "sinter": "set*", "sunion": "set*", "sdiff": "set*",
    "sinterstore": "set set*", "sunionstore": "set set*", "sdiffstore": "set set*",
    "sintercard": "numkeys set* [LIMIT index]", "sscan": "set 0 [MATCH glob] [COUNT count]",
    "zadd": "zset [NX|XX] [GT|LT] [CH] [INCR] (score member)*", "zincrby": "zset score member",
    "zrem": "zset member*", "zcard": "zset", "zscore": "zset member", "zmscore": "zset member*",
    "zrank": "zset member", "zrevrank": "zset member", "zcount": "zset bound bound",
    "zlexcount": "lex lexbound lexbound",
    "zrange":
      "zset index index [REV] [WITHSCORES] [LIMIT index index]",
    "zrevrange": "zset index index [WITHSCORES]",
    "zrangebyscore": "zset bound bound [WITHSCORES] [LIMIT index index]",
    "zrevrangebyscore": "zset bound bound [WITHSCORES] [LIMIT index index]",
    "zrangebylex": "lex lexbound lexbound [LIMIT index index]",
    "zrevrangebylex": "lex lexbound lexbound [LIMIT index index]",
    "zrangestore": "zset zset bound bound BYSCORE [REV] [LIMIT index index]",
    "zremrangebyrank": "zset index index", "zremrangebyscore": "zset bound bound",
    "zremrangebylex": "lex lexbound lexbound", "zpopmin": "zset [count]", "zpopmax": "zset [count]",
    "zmpop": "numkeys zset* MIN|MAX [COUNT count]",
    "bzmpop": "wait numkeys zset* MIN|MAX [COUNT count]", "bzpopmin": "zset* wait",
    "bzpopmax": "zset* wait", "zrandmember": "zset [count [WITHSCORES]]",
    "zunion": "numkeys scored* [WEIGHTS weight weight] [AGGREGATE SUM|MIN|MAX|FOO] [WITHSCORES]",
    "zinter": "numkeys scored* [WEIGHTS weight weight] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]",
    "zdiff": "numkeys scored* [WITHSCORES]",
    "zunionstore": "zset numkeys scored* [WEIGHTS weight weight] [AGGREGATE SUM|MIN|MAX]",
    "zinterstore": "zset numkeys scored* [WEIGHTS weight weight] [AGGREGATE SUM|MIN|MAX]",
    "zdiffstore": "zset numkeys scored*", "zintercard": "numkeys scored* [LIMIT index]",
    "zscan": "zset 0 [MATCH glob] [COUNT count]", "keys": "glob",
    "randomkey": "", "object": "ENCODING|REFCOUNT|HELP|FOO collection",
    "scan": "99999999999999999999 [COUNT count]",
    "type": "any", "persist": "any", "ttl": "any", "get": "key", "rename": "any any",
  ]

  private mutating func fill(_ template: String) -> [[UInt8]] {
    var parser = TemplateParser(template)
    let items = parser.items()
    return items.flatMap { expand($0) }
  }

  private mutating func expand(_ item: TemplateItem) -> [[UInt8]] {
    switch item {
    case .word(let word): return words(word)
    case .group(let items): return items.flatMap { expand($0) }
    case .optional(let items): return chance(30) ? items.flatMap { expand($0) } : []
    case .many(let item):
      var words = expand(item)
      while chance(45) { words += expand(item) }
      // Now and then enough to leave the compact encodings.
      if chance(1) { for _ in 0..<40 { words += expand(item) } }
      return words
    }
  }

  private mutating func words(_ word: String) -> [[UInt8]] {
    let choices = word.split(separator: "|").map(String.init)
    let choice = chance(1) ? "foo" : choices.randomElement(using: &random)!
    if choice.first!.isUppercase { return [anyCase(choice)] }
    return [drawn(choice)]
  }

  private mutating func drawn(_ kind: String) -> [UInt8] {
    switch kind {
    case "hash": return key("hash:")
    case "list": return key("list:")
    case "set": return key(chance(70) ? "set:" : "ints:")
    case "zset": return key("zset:")
    case "lex": return key("lex:")
    case "scored": return key(chance(80) ? "zset:" : "set:")
    case "collection":
      return key(["hash:", "list:", "set:", "zset:"].randomElement(using: &random)!)
    case "any": return key(Self.pools.randomElement(using: &random)!)
    case "key": return key()
    case "field", "member":
      if chance(2) { return random.bytes(Int.random(in: 0...100, using: &random)) }
      return Array(
        "\(chance(50) ? "" : "m")\(Int.random(in: 0..<(chance(10) ? 400 : 20), using: &random))"
          .utf8)
    case "value":
      return chance(80) ? Array("\(Int.random(in: 0..<12, using: &random))".utf8) : value()
    case "integer": return Array(integer().utf8)
    case "float": return Array(float().utf8)
    case "index":
      return Array((chance(92) ? "\(Int.random(in: -6...8, using: &random))" : integer()).utf8)
    case "count":
      // A count drawn below zero asks for that many elements: not millions of them.
      let odd = [
        "x", "", "0", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
      ]
      return Array((chance(92) ? "\(Int.random(in: -4...9, using: &random))" : pick(odd)).utf8)
    case "score", "weight":
      return Array((chance(85) ? "\(Int.random(in: -5...9, using: &random))" : float()).utf8)
    case "bound":
      let bound = chance(80) ? "\(Int.random(in: -6...10, using: &random))" : float()
      return Array(((chance(25) ? "(" : "") + bound).utf8)
    case "lexbound":
      return Array(
        pick(["-", "+", "[m1", "(m1", "[m15", "(m5", "[", "(", "[9", "(1", "x", ""]).utf8)
    case "glob":
      return Array(pick(["*", "m*", "*1*", "[a-m]*", "?", "hash:*", "key:?", "\\*"]).utf8)
    case "numkeys": return Array(pick(["1", "2", "1", "2", "1", "2", "3", "0", "-1", "x"]).utf8)
    case "wait": return Array(pick(["0.001", "0.001", "0.002", "x", "-1", "1e400"]).utf8)
    default: return Array(kind.utf8)
    }
  }

  /// Commands that fill the pools, of which some hold more than the compact encodings take.
  static var foundation: [[[UInt8]]] {
    var commands: [[[UInt8]]] = []
    for number in 0..<7 {
      for i in 0..<(number < 2 ? 150 : 6) {
        commands += [
          bytes("HSET hash:\(number) m\(i) \(i)"), bytes("RPUSH list:\(number) \(i % 12)"),
          bytes("SADD set:\(number) m\(i)"), bytes("SADD ints:\(number) \(i * 5)"),
          bytes("ZADD zset:\(number) \(i % 9) m\(i)"), bytes("ZADD lex:\(number) 0 m\(i)"),
        ]
      }
    }
    return commands
  }
}

/// A part of a template.
private indirect enum TemplateItem {
  case word(String)
  case group([TemplateItem])
  case optional([TemplateItem])
  case many(TemplateItem)
}

private struct TemplateParser {
  private var text: Substring

  init(_ template: String) { text = template[...] }

  mutating func items() -> [TemplateItem] {
    var items: [TemplateItem] = []
    while let first = text.first, first != "]", first != ")" {
      if first == " " {
        text.removeFirst()
      } else if first == "[" || first == "(" {
        text.removeFirst()
        let inner = self.items()
        text.removeFirst()
        items.append(first == "[" ? .optional(inner) : .group(inner))
      } else if first == "*" {
        text.removeFirst()
        items.append(.many(items.removeLast()))
      } else {
        let word = text.prefix { !" []()*".contains($0) }
        items.append(.word(String(word)))
        text.removeFirst(word.count)
      }
    }
    return items
  }
}
