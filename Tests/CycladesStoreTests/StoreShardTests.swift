import CycladesReplication
import Testing

@testable import CycladesStore

@Suite("A shard")
struct StoreShardTests {
  @Test("a key ends when log time reaches its deadline, and not before")
  func logTime() {
    let call = Harness()
    #expect(call("SET", "k", "v", "PX", "100") == "+OK\r\n")
    #expect(call.shard.nextDeadline == call.time + 100)
    call.time += 99
    #expect(call("GET", "k") == "$1\r\nv\r\n")
    #expect(call("PTTL", "k") == ":1\r\n")
    call.time += 1
    #expect(call("GET", "k") == "$-1\r\n")
    #expect(call("TTL", "k") == ":-2\r\n")
    #expect(call("DBSIZE") == ":0\r\n")
    #expect(call.shard.nextDeadline == nil)
  }

  @Test("relative times count from log time, so replicas agree whatever their clocks say")
  func relativeTimes() {
    let call = Harness()
    call.time = 5_000_000
    _ = call("SET", "k", "v", "EX", "10")
    #expect(call("PEXPIRETIME", "k") == ":5010000\r\n")
    call.time += 1_499
    #expect(call("TTL", "k") == ":9\r\n")
    _ = call("EXPIRE", "k", "100")
    #expect(call("EXPIRETIME", "k") == ":5101\r\n")
  }

  @Test("what a batch will touch is fetched before, whatever its bytes are, and nothing changes")
  func warming() {
    let call = Harness()
    for number in 0..<500 { _ = call("SET", "key:\(number)", "value") }
    _ = call("RPUSH", "list", "item")
    let digest = call.shard.digest
    let get = found(Array("get".utf8))!.code
    var batch: [UInt8] = []
    for number in 0..<300 {
      let packed = PackedCommand.pack(code: get, [Array("key:\(number * 2)".utf8)], .v2)
      batch += [UInt8(packed.count), 0, 0, 0] + packed
    }
    call.shard.warm(batch.rawSpan)
    var random = SeededRandom(17)
    for _ in 0..<2000 {
      var broken = batch
      for _ in 0..<4 { broken[Int.random(in: 0..<400, using: &random)] = 0xff }
      broken.removeLast(Int.random(in: 0..<broken.count, using: &random))
      call.shard.warm(broken.rawSpan)
    }
    #expect(call.shard.digest == digest)
    #expect(call("GET", "key:499") == "$5\r\nvalue\r\n")
  }

  @Test("GET and SET in their plainest form are refused where any other would be")
  func plainForms() {
    let call = Harness(valueBytesMax: 100)
    #expect(call("SET", "k", String(repeating: "v", count: 100)) == "+OK\r\n")
    #expect(
      call("SET", "k", String(repeating: "v", count: 101))
        == "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n")
    _ = call("RPUSH", "list", "item")
    #expect(call("GET", "list").hasPrefix("-WRONGTYPE"))
    #expect(call("SET", "list", "v") == "+OK\r\n")
    #expect(call("SET", "gone", "v", "PX", "10") == "+OK\r\n")
    #expect(call("SET", "gone", "w") == "+OK\r\n")
    call.time += 20
    #expect(call("GET", "gone") == "$1\r\nw\r\n")
    let set = found(Array("set".utf8))!.code
    let packed = PackedCommand.pack(code: set, [[1], [2]], .v2)
    var reply = Reply()
    call.shard.read(packed.rawSpan, ApplyContext(group: 0, slot: 1, time: 1), reply: &reply)
    #expect(String(decoding: reply.bytes, as: UTF8.self) == "-ERR a write was sent as a read\r\n")
  }

  @Test("a read sees the time it is given and changes nothing")
  func reads() {
    let call = Harness()
    _ = call("SET", "k", "v", "PX", "100")
    let digest = call.shard.digest
    let bytes = PackedCommand.bare(Command.all.first { $0.name == "dbsize" }!, .v2)
    var reply = Reply()
    let late = ApplyContext(group: 0, slot: 9, time: call.time + 1_000)
    call.shard.read(bytes.rawSpan, late, reply: &reply)
    #expect(reply.bytes == Array(":1\r\n".utf8))
    #expect(call.shard.digest == digest)
  }

  @Test("a write sent as a read is refused and has no effect")
  func writeAsRead() {
    let call = Harness()
    _ = call("SET", "k", "v")
    let flush = PackedCommand.bare(Command.all.first { $0.name == "flushall" }!, .v2)
    var reply = Reply()
    call.shard.read(
      flush.rawSpan, ApplyContext(group: 0, slot: 1, time: call.time), reply: &reply)
    #expect(reply.bytes == Array("-ERR a write was sent as a read\r\n".utf8))
    #expect(call.shard.keyCount == 1)
  }

  @Test("a command of a later version, or with too few arguments, is answered and not trapped on")
  func unknownCode() {
    let call = Harness()
    var reply = Reply()
    var packed = PackedCommand.bare(Command.all.first { $0.name == "get" }!, .v2)
    let context = ApplyContext(group: 0, slot: 1, time: call.time)
    call.shard.apply(packed.rawSpan, context, reply: &reply)
    #expect(reply.bytes == Array("-ERR wrong number of arguments for 'get' command\r\n".utf8))
    packed[0] = 99
    reply.removeAll()
    call.shard.apply(packed.rawSpan, context, reply: &reply)
    #expect(reply.bytes == Array("-ERR command 99 is not known to this version\r\n".utf8))
  }

  @Test("a value above the limit is refused and not cut short")
  func valueLimit() {
    let call = Harness(valueBytesMax: 10)
    let refusal = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"
    let eleven = "01234567890"
    #expect(call("SET", "k", "0123456789") == "+OK\r\n")
    for words in [
      ["SET", "k", eleven], ["SETNX", "new", eleven], ["SETEX", "k", "9", eleven],
      ["GETSET", "k", eleven], ["MSET", "a", "1", "k", eleven], ["MSETNX", "a", "1", "b", eleven],
      ["APPEND", "k", "x"], ["APPEND", "new", eleven], ["SETRANGE", "k", "10", "x"],
      ["SETRANGE", "k", "9223372036854775807", "x"],
    ] {
      #expect(call.run(words.map { Array($0.utf8) }) == Array(refusal.utf8), "\(words)")
    }
    #expect(call("GET", "k") == "$10\r\n0123456789\r\n")
    #expect(call.shard.keyCount == 1)
  }

  @Test("replies follow the protocol version in the command")
  func versions() {
    let call = Harness()
    #expect(call("MGET", "a", "b") == "*2\r\n$-1\r\n$-1\r\n")
    call.version = .v3
    #expect(call("MGET", "a", "b") == "*2\r\n_\r\n_\r\n")
    #expect(call("SET", "a", "1", "GET") == "_\r\n")
  }

  @Test("replicas that apply the same commands have the same digest at every step")
  func replicasAgree() {
    let (a, b) = (Harness(), Harness())
    var random = SeededRandom(11)
    for step in 0..<2_000 {
      let key = "k\(Int.random(in: 0..<50, using: &random))"
      let words: [String] = [
        ["SET", key, "\(step)", "PX", "\(step % 50 + 1)"], ["APPEND", key, "x"], ["DEL", key],
        ["INCR", key], ["PERSIST", key], ["RENAME", key, "other"], ["COPY", key, "c", "REPLACE"],
      ].randomElement(using: &random)!
      let arguments = words.map { Array($0.utf8) }
      #expect(a.run(arguments) == b.run(arguments))
      #expect(a.shard.digest == b.shard.digest)
      a.time += 3
      b.time = a.time
    }
    #expect(a.shard.keyCount > 0)
    _ = a("SET", "k1", "different")
    #expect(a.shard.digest != b.shard.digest)
  }

  @Test("RENAME takes the expiry along, and COPY gives it to the copy")
  func expiryMoves() {
    let call = Harness()
    _ = call("SET", "a", "v", "PX", "500")
    _ = call("SET", "b", "w")
    #expect(call("RENAME", "a", "b") == "+OK\r\n")
    #expect(call("PTTL", "b") == ":500\r\n")
    #expect(call("COPY", "b", "c") == ":1\r\n")
    #expect(call("PTTL", "c") == ":500\r\n")
    call.time += 500
    #expect(call("EXISTS", "a", "b", "c") == ":0\r\n")
  }
}
