import CycladesReplication
import Testing

@testable import CycladesStore

@Suite("Copies of a shard")
struct ShardExportTests {
  private func read(_ copy: ShardCopy, between: () -> Void = {}) -> [[UInt8]] {
    var parts: [[UInt8]] = []
    var part = Reply()
    while true {
      part.removeAll()
      guard copy.next(into: &part, byteCountTarget: 500) else { return parts }
      parts.append(part.bytes)
      between()
    }
  }

  @Test("the commands of a copy make the same keys in another shard", arguments: 0..<4)
  func commands(seed: UInt64) throws {
    let call = Harness()
    var commands = StateCommands(seed: seed)
    for _ in 0..<3_000 { _ = call.run(commands.next()) }
    let copy = Harness()
    copy.time = call.time
    var count = 0
    call.shard.forEachKey(argumentsMax: 5) { commands in
      count += 1
      for words in commands {
        let reply = text(copy.run(words))
        #expect(!reply.hasPrefix("-"), "\(words.map { text($0) }): \(reply)")
      }
    }
    #expect(count == call.shard.keyCount && copy.shard.keyCount == count)
    var keys: [[UInt8]] = []
    call.shard.forEachKey { keys.append($0[0][1]) }
    for key in keys {
      for line in ["TYPE", "PEXPIRETIME", "GET", "HGETALL", "SMEMBERS", "LLEN"] {
        let ours = Node(parsing: call.run([Array(line.utf8), key]))
        #expect(
          ours?.sorted(by: 2) == Node(parsing: copy.run([Array(line.utf8), key]))?.sorted(by: 2)
            || line == "SMEMBERS")
      }
      for line in [["LRANGE"], ["ZRANGE", "WITHSCORES"]] {
        let words =
          [Array(line[0].utf8), key, Array("0".utf8), Array("-1".utf8)]
          + line.dropFirst().map { Array($0.utf8) }
        #expect(call.run(words) == copy.run(words))
      }
    }
  }

  @Test("a copy yields to a snapshot, and is none beside one")
  func yields() throws {
    let call = Harness()
    for number in 0..<200 { _ = call("SET", "k\(number)", "value") }
    let copy = try #require(call.shard.copy())
    #expect(copy.keyCount == 200)
    #expect(call.shard.copy() == nil)
    var part = Reply()
    #expect(copy.next(into: &part, byteCountTarget: 100))
    var snapshot = call.shard.snapshot()
    #expect(!copy.next(into: &part, byteCountTarget: 100))
    #expect(!copy.isWhole)
    #expect(call.shard.copy() == nil)
    while snapshot.next(into: &part, byteCountTarget: 1000) {}
    let second = try #require(call.shard.copy())
    let restored = StoreShard(seed: 7)
    for part in read(second, between: { _ = call("INCR", "n") }) {
      try restored.restore(part: part)
    }
    #expect(second.isWhole && restored.isRestored && restored.keyCount == 200)
    #expect(call.shard.keyCount == 201)
  }
}
