import CycladesReplication
import Testing

@testable import CycladesStore

@Suite("The snapshot of a shard")
struct ShardSnapshotTests {
  /// All parts of a snapshot; `between` runs before each part is read.
  private func parts(
    of shard: StoreShard, byteCountTarget: Int, between: () -> Void = {}
  ) -> [[UInt8]] {
    var source = shard.snapshot()
    var parts: [[UInt8]] = []
    var part = Reply()
    while true {
      between()
      part.removeAll()
      guard source.next(into: &part, byteCountTarget: byteCountTarget) else { return parts }
      parts.append(part.bytes)
    }
  }

  private func restored(_ parts: [[UInt8]]) throws -> Harness {
    let harness = Harness()
    for part in parts { try harness.shard.restore(part.rawSpan) }
    return harness
  }

  @Test(
    "what is restored is the state at the call, whatever commands do meanwhile", arguments: 0..<6)
  func snapshotWhileChanging(seed: UInt64) throws {
    let call = Harness()
    var commands = StateCommands(seed: seed)
    for _ in 0..<(seed % 2 == 0 ? 4_000 : 300) { _ = call.run(commands.next()) }
    let (digest, dump) = (call.shard.digest, Dump(call))
    let parts = parts(of: call.shard, byteCountTarget: 900) {
      // Growing, shrinking, expiring, and at times everything goes.
      for _ in 0..<Int.random(in: 0..<60, using: &commands.random) {
        _ = call.run(commands.next())
        call.time += 1
      }
      if seed >= 4, Int.random(in: 0..<40, using: &commands.random) == 0 { _ = call("FLUSHALL") }
    }
    #expect(parts.count >= 5)
    #expect(call.shard.digest != digest)
    let copy = try restored(parts)
    #expect(copy.shard.digest == digest)
    #expect(Dump(copy) == dump)
    #expect(copy.shard.usedBytes == dump.usedBytes)
  }

  @Test("a replica that was restored goes on exactly as one that never failed")
  func goesOn() throws {
    let call = Harness()
    var commands = StateCommands(seed: 3)
    for _ in 0..<2_000 { _ = call.run(commands.next()) }
    let copy = try restored(parts(of: call.shard, byteCountTarget: 4_096))
    (copy.time, copy.slot) = (call.time, call.slot)
    for step in 0..<3_000 {
      let words = commands.next()
      #expect(call.run(words) == copy.run(words))
      if step % 3 == 0 { call.time += 2 }
      (copy.time, copy.slot) = (call.time, call.slot)
    }
    #expect(call.shard.digest == copy.shard.digest)
    #expect(call.shard.usedBytes == copy.shard.usedBytes)
  }

  @Test("a value longer than a part is cut, and survives its own removal between two parts")
  func longValue() throws {
    let call = Harness()
    var random = SeededRandom(5)
    let value = random.bytes(300_000)
    for (name, change) in [
      ("SET", ["k", "v"]), ("DEL", ["k"]), ("APPEND", ["k", "tail"]), ("EXPIRE", ["k", "100"]),
      ("FLUSHALL", []),
    ] {
      _ = call.run([Array("SET".utf8), [107], value])
      var count = 0
      let parts = parts(of: call.shard, byteCountTarget: 1_000) {
        if count == 150 { _ = call.run(([name] + change).map { Array($0.utf8) }) }
        count += 1
      }
      #expect(parts.count > 290)
      let copy = try restored(parts)
      #expect(copy("GET", "k").utf8.count > 0)
      #expect(copy.run([Array("GET".utf8), [107]]).dropFirst(9).dropLast(2) == value[...])
    }
  }

  @Test("an empty shard has a snapshot, and an abandoned one does not spoil the next")
  func abandoned() throws {
    let call = Harness()
    #expect(try restored(parts(of: call.shard, byteCountTarget: 1)).shard.keyCount == 0)
    var commands = StateCommands(seed: 9)
    for round in 0..<50 {
      for _ in 0..<200 { _ = call.run(commands.next()) }
      var source = call.shard.snapshot()
      var part = Reply()
      for _ in 0..<round {
        for _ in 0..<5 { _ = call.run(commands.next()) }
        _ = source.next(into: &part, byteCountTarget: 100)
      }
    }
    let digest = call.shard.digest
    #expect(try restored(parts(of: call.shard, byteCountTarget: 500)).shard.digest == digest)
  }

  @Test("damaged parts are refused with an error, or hold the very same state", arguments: 0..<8)
  func damaged(seed: UInt64) throws {
    let call = Harness()
    var commands = StateCommands(seed: seed)
    for _ in 0..<200 { _ = call.run(commands.next()) }
    let whole = parts(of: call.shard, byteCountTarget: 600)
    var random = SeededRandom(seed)
    var refused = 0
    for _ in 0..<200 {
      var parts = whole
      let index = Int.random(in: 0..<parts.count, using: &random)
      switch Int.random(in: 0..<6, using: &random) {
      case 0: parts.remove(at: index)
      case 1: parts.insert(parts[index], at: index)
      case 2: parts[index].removeLast(Int.random(in: 1...parts[index].count, using: &random))
      case 3: parts[index] += random.bytes(Int.random(in: 1...40, using: &random))
      case 4: parts.swapAt(index, Int.random(in: 0..<parts.count, using: &random))
      default:
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          let at = Int.random(in: 0..<parts[index].count, using: &random)
          parts[index][at] ^= UInt8(1) << UInt8.random(in: 0..<8, using: &random)
        }
      }
      do {
        let copy = try restored(parts)
        // A key's record may be missing only when the end is missing as well.
        #expect(copy.shard.digest == call.shard.digest || parts.last != whole.last)
      } catch let error as StoreError {
        #expect(error.code == .damagedSnapshot)
        refused += 1
      }
    }
    #expect(refused > 100)
  }
}

/// Everything a shard holds, read with commands.
struct Dump: Equatable {
  let entries: [[UInt8]: [[UInt8]]]
  let usedBytes: Int

  init(_ call: Harness) {
    var entries: [[UInt8]: [[UInt8]]] = [:]
    _ = call.shard.shard.table.scan(from: 0, count: .max) { key, _ in entries[copy(key)] = [] }
    for key in entries.keys {
      entries[key] = [
        "TYPE", "GET", "PEXPIRETIME", "HGETALL", "SMEMBERS", "LRANGE 0 -1", "OBJECT ENCODING",
        "ZRANGE 0 -1 WITHSCORES",
      ].map { line in
        let words = bytes(line)
        return call.run(
          words[0] == Array("OBJECT".utf8) ? words + [key] : [words[0], key] + words.dropFirst())
      }
    }
    self.entries = entries
    usedBytes = call.shard.usedBytes
  }
}

/// Draws commands that build, change and remove state of every kind.
struct StateCommands {
  var random: SeededRandom

  init(seed: UInt64) { random = SeededRandom(seed) }

  mutating func next() -> [[UInt8]] {
    let key = "key\(Int.random(in: 0..<2_000, using: &random))"
    let other = "key\(Int.random(in: 0..<2_000, using: &random))"
    let text = String(repeating: "v", count: Int.random(in: 0..<60, using: &random))
    let life = "\(Int.random(in: 1..<3_000, using: &random))"
    let choices: [[String]] = [
      ["SET", key, text], ["SET", key, text, "PX", life], ["APPEND", key, text], ["DEL", key],
      ["PEXPIRE", key, life], ["PERSIST", key], ["RENAME", key, other],
      ["COPY", key, other, "REPLACE"], ["SETRANGE", key, "\(text.count)", "xyz"],
      ["INCRBYFLOAT", key, "1.5"], ["MSET", key, text, other, text], ["GETDEL", key],
      ["SET", key, text, "EX", "100000"],
    ]
    if Bool.random(using: &random) { return collectionCommand(text, life) }
    return choices.randomElement(using: &random)!.map { Array($0.utf8) }
  }

  /// A command about a collection; a few of them grow large.
  private mutating func collectionCommand(_ text: String, _ life: String) -> [[UInt8]] {
    let number = Int.random(in: 0..<(Bool.random(using: &random) ? 4 : 300), using: &random)
    let (hash, list) = ("hash\(number)", "list\(number)")
    let (set, zset) = ("set\(number)", "zset\(number)")
    let item = "\(Int.random(in: 0..<2_000, using: &random))"
    let other = "\(Int.random(in: 0..<300, using: &random))"
    let choices: [[String]] = [
      ["HSET", hash, item, text, other, "x"], ["HSET", hash, item, text],
      ["HDEL", hash, item, other],
      ["HINCRBY", hash, "n", "3"], ["RPUSH", list, text, item], ["LPUSH", list, item],
      ["LPOP", list], ["LINSERT", list, "BEFORE", item, other], ["LREM", list, "1", other],
      ["LSET", list, "0", item], ["RPOPLPUSH", list, "list1"], ["SADD", set, item, "m" + other],
      ["SREM", set, item], ["SPOP", set], ["SUNIONSTORE", "set0", set, "set1"],
      ["ZADD", zset, other, item], ["ZINCRBY", zset, "1.5", item], ["ZREM", zset, item],
      ["ZPOPMIN", zset], ["ZADD", zset, other, "m" + other], ["COPY", zset, "zset0", "REPLACE"],
      ["COPY", hash, "hash1", "REPLACE"], ["PEXPIRE", hash, life], ["RENAME", list, "list2"],
      ["DEL", [hash, list, set, zset].randomElement(using: &random)!],
      ["LTRIM", list, "2", "200"], ["ZREMRANGEBYRANK", zset, "0", "1"],
    ]
    return choices.randomElement(using: &random)!.map { Array($0.utf8) }
  }
}
