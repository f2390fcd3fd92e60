import CycladesReplication
import CycladesStore
import Testing

@testable import CycladesServer

@Suite("Commands over several shards")
struct GatherTests {
  /// Answers the parts of a command and returns the reply to the whole.
  private func whole(
    _ join: Command.Join, isWrite: Bool, keys: [[Int]], _ answers: [(Outcome, String)]
  ) -> String {
    let parts = keys.enumerated().map { group, keys in
      Gather.Part(
        duty: ReplyQueue.Duty(group: UInt32(group), isWrite: isWrite, byteCount: 10), keys: keys)
    }
    let count = keys.reduce(0) { $0 + $1.count }
    let gather = Gather(ReplyJoin(join, .v2, keyCount: count), parts: parts)
    for (part, answer) in answers.enumerated() {
      let bytes = [UInt8](answer.1.utf8)
      let isLast = gather.receive(part: part, answer.0, bytes.rawSpan)
      #expect(isLast == (part == answers.count - 1))
    }
    var reply = Reply()
    gather.finish(into: &reply)
    return String(decoding: reply.bytes, as: UTF8.self)
  }

  @Test("counts are added up")
  func sum() {
    let reply = whole(
      .sum, isWrite: true, keys: [[0], [1]], [(.done, ":2\r\n"), (.done, ":3\r\n")])
    #expect(reply == ":5\r\n")
  }

  @Test("values stand where their keys stood")
  func elements() {
    let reply = whole(
      .gather, isWrite: false, keys: [[0, 2], [1]],
      [(.done, "*2\r\n$1\r\na\r\n$-1\r\n"), (.done, "*1\r\n$1\r\nb\r\n")])
    #expect(reply == "*3\r\n$1\r\na\r\n$1\r\nb\r\n$-1\r\n")
  }

  @Test("a write that every shard refused was definitely not executed")
  func refused() {
    let reply = whole(
      .allOK, isWrite: true, keys: [[0], [1]],
      [(.notDone(.noLeader), ""), (.notDone(.overloaded), "")])
    #expect(reply.hasPrefix("-CLUSTERDOWN "))
  }

  @Test("a write that only some shards executed is not called undone")
  func executedInPart() {
    let reply = whole(
      .allOK, isWrite: true, keys: [[0], [1]],
      [(.done, "+OK\r\n"), (.notDone(.noLeader), "")])
    #expect(reply.hasPrefix("-UNKNOWNOUTCOME "))
  }

  @Test("a write with a part of unknown outcome is unknown")
  func unknown() {
    let reply = whole(
      .sum, isWrite: true, keys: [[0], [1]], [(.notDone(.noLeader), ""), (.unknown, "")])
    #expect(reply.hasPrefix("-UNKNOWNOUTCOME "))
  }

  @Test("a read with a part refused is refused whole")
  func readRefused() {
    let reply = whole(
      .gather, isWrite: false, keys: [[0], [1]],
      [(.done, "*1\r\n$1\r\na\r\n"), (.notDone(.noLeader), "")])
    #expect(reply.hasPrefix("-CLUSTERDOWN "))
  }
}
