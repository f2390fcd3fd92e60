import CycladesReplication
import Testing

@testable import CycladesStore

@Suite("The command table")
struct CommandTests {
  @Test("codes and names are unique, and every command is found by both, in any case")
  func lookup() {
    #expect(Set(Command.all.map(\.code)).count == Command.all.count)
    #expect(Set(Command.all.map(\.name)).count == Command.all.count)
    for command in Command.all {
      let (lower, upper) = (Array(command.name.utf8), Array(command.name.uppercased().utf8))
      #expect(Command.named(lower.rawSpan) === command)
      #expect(Command.named(upper.rawSpan) === command)
      #expect(Command.coded(command.code) === command)
      #expect((command.run == nil) == (command.scope == .server))
    }
    for name in ["", "g", "gett", "get\0", "incrbyfloatincrbyfloat", "[et"] {
      #expect(Command.named(Array(name.utf8).rawSpan) == nil)
    }
    #expect(Command.coded(0) == nil && Command.coded(.max) == nil)
  }

  @Test("codes in the log never change")
  func stableCodes() {
    let codes = Command.all.filter { $0.run != nil }.map { "\($0.code) \($0.name)" }
    #expect(
      codes.joined(separator: ", ") == """
        1 append, 2 decr, 3 decrby, 4 get, 5 getdel, 6 getex, 7 getrange, 8 getset, 9 incr, 10 \
        incrby, 11 incrbyfloat, 12 mget, 13 mset, 14 msetnx, 15 psetex, 16 set, 17 setex, 18 \
        setnx, 19 setrange, 20 strlen, 21 substr, 40 copy, 41 del, 42 exists, 43 expire, 44 \
        expireat, 45 expiretime, 46 persist, 47 pexpire, 48 pexpireat, 49 pexpiretime, 50 \
        pttl, 51 rename, 52 renamenx, 53 touch, 54 ttl, 55 type, 56 unlink, 57 dbsize, 58 \
        flushall, 59 flushdb, 60 keys, 61 randomkey, 62 scan, 63 object, 150 hdel, 151 \
        hexists, 152 hget, 153 hgetall, 154 hincrby, 155 hincrbyfloat, 156 hkeys, 157 hlen, \
        158 hmget, 159 hmset, 160 hrandfield, 161 hscan, 162 hset, 163 hsetnx, 164 hstrlen, \
        165 hvals, 170 blmove, 171 blmpop, 172 blpop, 173 brpop, 174 brpoplpush, 175 lindex, \
        176 linsert, 177 llen, 178 lmove, 179 lmpop, 180 lpop, 181 lpos, 182 lpush, 183 \
        lpushx, 184 lrange, 185 lrem, 186 lset, 187 ltrim, 188 rpop, 189 rpoplpush, 190 rpush, \
        191 rpushx, 200 sadd, 201 scard, 202 sdiff, 203 sdiffstore, 204 sinter, 205 \
        sintercard, 206 sinterstore, 207 sismember, 208 smembers, 209 smismember, 210 smove, \
        211 spop, 212 srandmember, 213 srem, 214 sscan, 215 sunion, 216 sunionstore, 220 \
        bzmpop, 221 bzpopmax, 222 bzpopmin, 223 zadd, 224 zcard, 225 zcount, 226 zdiff, 227 \
        zdiffstore, 228 zincrby, 229 zinter, 230 zintercard, 231 zinterstore, 232 zlexcount, \
        233 zmpop, 234 zmscore, 235 zpopmax, 236 zpopmin, 237 zrandmember, 238 zrange, 239 \
        zrangebylex, 240 zrangebyscore, 241 zrangestore, 242 zrank, 243 zrem, 244 \
        zremrangebylex, 245 zremrangebyrank, 246 zremrangebyscore, 247 zrevrange, 248 \
        zrevrangebylex, 249 zrevrangebyscore, 250 zrevrank, 251 zscan, 252 zscore, 253 zunion, \
        254 zunionstore
        """)
  }

  @Test("key positions follow the key specification")
  func keyPositions() {
    func positions(_ line: String) -> [Int] {
      let parser = RequestParser()
      let words = bytes(line)
      let bytes = request(words)
      let span = bytes.rawSpan
      _ = parser.parse(span)
      return Array(found(words[0])!.keyPositions(of: parser.arguments(of: span)))
    }
    #expect(positions("get a") == [1])
    #expect(positions("get a b") == [])
    #expect(positions("mget a b c") == [1, 2, 3])
    #expect(positions("mset a 1 b 2") == [1, 3])
    #expect(positions("mset a 1 b") == [])
    #expect(positions("copy a b replace x") == [1, 2])
    #expect(positions("dbsize") == [])
    #expect(positions("blpop a b 0") == [1, 2])
    #expect(positions("lmpop 2 a b left") == [2, 3])
    #expect(positions("lmpop 9 a b left") == [2, 3, 4])
    #expect(positions("zunionstore d 2 a b") == [1, 3, 4])
    #expect(positions("sintercard x a") == [])
    #expect(positions("object encoding a") == [2])
  }

  @Test("unknown commands and subcommands are answered with Redis' texts")
  func refusals() {
    let parser = RequestParser()
    func unknown(_ words: [String]) -> String {
      let bytes = request(words.map { Array($0.utf8) })
      let span = bytes.rawSpan
      _ = parser.parse(span)
      var reply = Reply()
      reply.appendUnknownCommand(parser.arguments(of: span))
      return String(decoding: reply.bytes, as: UTF8.self)
    }
    #expect(
      unknown(["foo", "bar", "b\r\nz"])
        == "-ERR unknown command 'foo', with args beginning with: 'bar' 'b  z' \r\n")
    #expect(unknown(["foo"]) == "-ERR unknown command 'foo', with args beginning with: \r\n")
    let long = unknown(["x", String(repeating: "a", count: 1_000), "b"])
    #expect(
      long == "-ERR unknown command 'x', with args beginning with: '"
        + String(repeating: "a", count: 128) + "' \r\n")
  }

  @Test("glob patterns match as Redis' do")
  func globs() {
    let cases: [(String, String, Bool)] = [
      ("*", "", true), ("*", "abc", true), ("", "", true), ("", "a", false), ("a*c", "abbc", true),
      ("a*c", "abbd", false), ("a?c", "abc", true), ("a?c", "ac", false), ("[abc]x", "bx", true),
      ("[^abc]x", "bx", false), ("[^abc]x", "dx", true), ("[a-c]x", "bx", true),
      ("[c-a]x", "bx", true), ("[a-c]x", "dx", false), ("\\*", "*", true), ("\\*", "a", false),
      ("**b*", "aabaa", true), ("*a*b*c", "xaxbxc", true), ("*a*b*c", "xaxbx", false),
      ("[\\]]", "]", true), ("[abc", "a", true), ("h*llo", "hllo", true),
    ]
    for (pattern, text, expected) in cases {
      #expect(GlobPattern(pattern).matches(text) == expected, "\(pattern) \(text)")
    }
    let hostile = GlobPattern(String(repeating: "*a", count: 500) + "b")
    #expect(!hostile.matches(String(repeating: "a", count: 2_000)))
  }
}

@Suite("Replies")
struct ReplyTests {
  private func bytes(_ build: (inout Reply) -> Void) -> String {
    var reply = Reply()
    build(&reply)
    return String(decoding: reply.bytes, as: UTF8.self)
  }

  @Test("every type is written in both versions of the protocol")
  func types() {
    for (version, expected) in [
      (
        RESPVersion.v2,
        "$-1\r\n*-1\r\n*4\r\n*2\r\n*2\r\n$3\r\n1.5\r\n$3\r\ninf\r\n:1\r\n$2\r\nhi\r\n"
      ),
      (.v3, "_\r\n_\r\n%2\r\n~2\r\n>2\r\n,1.5\r\n,inf\r\n#t\r\n=6\r\ntxt:hi\r\n"),
    ] {
      let reply = bytes {
        $0.appendNull(version)
        $0.appendNullArray(version)
        $0.appendMap(2, version)
        $0.appendSet(2, version)
        $0.appendPush(2, version)
        $0.appendDouble(1.5, version)
        $0.appendDouble(.infinity, version)
        $0.appendBoolean(true, version)
        $0.appendVerbatim("hi", version)
      }
      #expect(reply == expected)
    }
    #expect(
      bytes {
        $0.appendOK()
        $0.appendSimple("PONG")
        $0.appendInteger(.min)
        $0.appendInteger(0)
        $0.appendBulk("")
        $0.appendBulk([1, 13, 10])
        $0.appendArray(0)
      } == "+OK\r\n+PONG\r\n:-9223372036854775808\r\n:0\r\n$0\r\n\r\n$3\r\n\u{1}\r\n\r\n*0\r\n")
  }

  @Test("an error never breaks the reply's framing")
  func errors() {
    #expect(bytes { $0.appendError("ERR a\r\nb") } == "-ERR a  b\r\n")
  }

  @Test("parts are joined as one shard would have answered")
  func joins() {
    func join(_ kind: Command.Join, _ parts: [(String, [Int])], keyCount: Int = 0) -> String {
      var join = ReplyJoin(kind, .v3, keyCount: keyCount)
      for (reply, keys) in parts { join.add(Array(reply.utf8).rawSpan, keys: keys) }
      return bytes { join.finish(into: &$0) }
    }
    #expect(join(.sum, [(":2\r\n", [0, 1]), (":0\r\n", [2])]) == ":2\r\n")
    #expect(join(.allOK, [("+OK\r\n", [0]), ("+OK\r\n", [1])]) == "+OK\r\n")
    #expect(
      join(
        .gather, [("*2\r\n$1\r\nc\r\n_\r\n", [2, 0]), ("*1\r\n$2\r\n\r\n\r\n", [1])], keyCount: 3)
        == "*3\r\n_\r\n$2\r\n\r\n\r\n$1\r\nc\r\n")
    #expect(join(.sum, [(":2\r\n", [0]), ("-NO way\r\n", [2])]) == "-NO way\r\n")
    #expect(join(.allOK, [("", [])]) == "-ERR a shard gave no reply\r\n")
    #expect(join(.gather, [("*1\r\n$9\r\nc\r\n", [0])], keyCount: 1) == "*1\r\n_\r\n")
  }
}
