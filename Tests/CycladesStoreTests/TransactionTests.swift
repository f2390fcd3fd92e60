import CycladesReplication
import CycladesRing
import Testing

@testable import CycladesStore

@Suite("Transactions, memory and waiting")
struct TransactionTests {
  /// The versions of keys, as WATCH learns them.
  private func versions(_ call: Harness, _ keys: String...) -> [Int64] {
    var reply = Reply()
    let query = PackedCommand.watch(keys.map { Array($0.utf8) })
    call.shard.read(
      query.rawSpan, ApplyContext(group: 0, slot: 0, time: call.time), reply: &reply)
    return Node(parsing: reply.bytes)!.leaves.map { Int64(String(decoding: $0, as: UTF8.self))! }
  }

  private func execute(
    _ call: Harness, watching key: String, _ version: Int64, _ lines: String...
  ) -> String {
    let reply = call.transaction(
      lines.map { bytes($0) }, watching: [(Array(key.utf8), version)])
    return String(decoding: reply, as: UTF8.self)
  }

  @Test(
    "a transaction is carried out if what it watches is as it was",
    arguments: [
      "SET k v", "SET k w", "DEL k", "EXPIRE k 100", "PERSIST k", "RPUSH l x", "LPOP l",
      "RPOPLPUSH l l", "LSET l 0 z", "HSET h f 2", "HDEL h f", "SADD s b", "ZADD z 2 m", "ZREM z m",
      "SET other x", "GET k", "FLUSHALL", "COPY k k2", "RENAME k k2",
    ])
  func watch(change: String) {
    for key in ["k", "l", "h", "s", "z", "none"] {
      let call = Harness()
      for line in [
        "SET k v PX 50", "RPUSH l a b c", "HSET h f 1", "SADD s a", "ZADD z 1 m",
      ] { _ = call.run(bytes(line)) }
      let version = versions(call, key)[0]
      #expect((version == 0) == (key == "none"))
      #expect(execute(call, watching: key, version, "STRLEN x") == "*1\r\n:0\r\n")
      let before = Dump(call)
      _ = call.run(bytes(change))
      let name = Array(key.utf8)
      let isSame = Dump(call).entries[name] == before.entries[name]
      let reply = execute(call, watching: key, version, "SET done yes")
      #expect(reply == (isSame ? "*1\r\n+OK\r\n" : "*-1\r\n"), "\(key) after \(change)")
      #expect((call("EXISTS", "done") == ":1\r\n") == isSame)
    }
  }

  @Test("a key that ends is not as it was")
  func watchExpiry() {
    let call = Harness()
    _ = call("SET", "k", "v", "PX", "50")
    let version = versions(call, "k")[0]
    call.time += 50
    #expect(execute(call, watching: "k", version, "SET k w") == "*-1\r\n")
    #expect(versions(call, "k") == [0])
  }

  @Test("a command that fails leaves the others standing, and a malformed entry changes nothing")
  func failures() {
    let call = Harness()
    let reply = call.transaction(["SET a 1", "LPUSH a x", "INCR a"].map { bytes($0) })
    #expect(
      String(decoding: reply, as: UTF8.self)
        == """
        *3\r\n+OK\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n:2\r\n
        """.replacing("\n", with: "\n"))
    let digest = call.shard.digest
    let inner = PackedCommand.pack(code: 16, [[97], [98]], .v2)
    for words in [
      [], [[]], [Array("x".utf8)], [Array("-1".utf8)], [Array("9".utf8)],
      [Array("0".utf8), inner, Array(inner.dropLast())], [Array("0".utf8), inner, []],
      [Array("0".utf8), inner, PackedCommand.pack(code: PackedCommand.transactionCode, [], .v2)],
      [Array("0".utf8), inner, PackedCommand.pack(code: 4, [], .v2)],
    ] as [[[UInt8]]] {
      var reply = Reply()
      let packed = PackedCommand.pack(code: PackedCommand.transactionCode, words, .v2)
      call.shard.apply(
        packed.rawSpan, ApplyContext(group: 0, slot: 1, time: call.time), reply: &reply)
      #expect(String(decoding: reply.bytes, as: UTF8.self) == "-ERR malformed transaction\r\n")
      #expect(call.shard.digest == digest)
    }
  }

  @Test("above the memory limit what may need more is refused, alike on all replicas")
  func memoryLimit() {
    let call = Harness(memoryBytesMax: 20_000)
    let refusal = "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
    var refusedAt: Int?
    for i in 0..<300 {
      let reply = call("SET", "key\(i)", String(repeating: "v", count: 100))
      if reply == refusal { refusedAt = refusedAt ?? i } else { #expect(refusedAt == nil) }
    }
    #expect((80..<140).contains(refusedAt ?? 0))
    #expect(call("RPUSH", "list", "x") == refusal)
    #expect(call("GET", "key0").hasPrefix("$100"))
    let before = call.shard.digest
    let execution = call.transaction(["DEL key0", "SET a b"].map { bytes($0) })
    #expect(String(decoding: execution, as: UTF8.self).hasPrefix("-EXECABORT"))
    #expect(call.shard.digest == before)
    for i in 0..<10 { #expect(call("DEL", "key\(i)") == ":1\r\n") }
    #expect(call("SET", "a", "b") == "+OK\r\n")
  }

  @Test("keys that are waited for are announced when there is something to pop")
  func ready() {
    let call = Harness()
    call.shard.await(Array("l".utf8))
    call.shard.await(Array("z".utf8))
    func ready(_ lines: String...) -> [String] {
      for line in lines { _ = call.run(bytes(line)) }
      return call.shard.takeReady().map { String(decoding: $0, as: UTF8.self) }
    }
    #expect(ready("RPUSH other x", "SET l x", "DEL l", "LPUSHX l x") == [])
    #expect(ready("RPUSH l x", "RPUSH l y", "ZADD z 1 m") == ["l", "z"])
    #expect(ready("RPOPLPUSH other l") == ["l"])
    #expect(ready("DEL l", "RPUSH m x", "RENAME m l") == ["l"])
    #expect(ready("ZUNIONSTORE z 1 z", "ZADD z XX 1 nobody") == ["z"])
    call.shard.forget(Array("l".utf8))
    #expect(ready("RPUSH l x") == [])
  }
}

@Suite("A scan of the whole keyspace")
struct KeyspaceScanTests {
  @Test(
    "goes on where it was after shards were split or joined", arguments: [(4, 16), (16, 4), (8, 8)])
  func resharding(before: Int, after: Int) throws {
    var builder = try RingBuilder()
    try builder.add(Member(id: "a"))
    let ring = try builder.build()
    let maps = try [before, after].map { try ShardMap(shardCount: $0, replicas: 1, ring: ring) }
    let keys = (0..<2_000).map { Array("key\($0)".utf8) }
    let sets = maps.map { map in
      let shards = (0..<map.shardCount).map { _ in StoreShard(seed: 7) }
      for key in keys {
        let set = PackedCommand.pack(code: 16, [key, [49]], .v2)
        var reply = Reply()
        shards[map.shard(of: key.rawSpan)].apply(
          set.rawSpan, ApplyContext(group: 0, slot: 0, time: 1), reply: &reply)
      }
      return shards
    }
    let parser = RequestParser()
    for stop in [0, 3, 17, 60] {
      var (cursor, steps) = ("0", 0)
      var seen: Set<[UInt8]> = []
      repeat {
        let version = steps < stop ? 0 : 1
        let bytes = request("SCAN", cursor, "COUNT", "20")
        let span = bytes.rawSpan
        _ = parser.parse(span)
        let scan = Command.all.first { $0.name == "scan" }!
        guard
          case .packed(let shard, let packed) = maps[version].route(
            scan, parser.arguments(of: span), .v2)
        else { fatalError("a scan goes to a shard") }
        var reply = Reply()
        sets[version][shard].read(
          packed.rawSpan, ApplyContext(group: 0, slot: 0, time: 1), reply: &reply)
        let leaves = Node(parsing: reply.bytes)!.leaves
        cursor = String(decoding: leaves[0], as: UTF8.self)
        #expect(UInt64(cursor)! < 1 << 53)
        seen.formUnion(leaves.dropFirst())
        steps += 1
      } while cursor != "0" && steps < 10_000
      #expect(seen == Set(keys))
    }
  }
}
