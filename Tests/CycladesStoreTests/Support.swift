import CycladesReplication

@testable import CycladesStore

/// A small deterministic random source (SplitMix64), so that a failing seed can be run again.
struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func bytes(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count {
      var word = next()
      for _ in 0..<8 {
        bytes.append(UInt8(truncatingIfNeeded: word))
        word >>= 8
      }
    }
    bytes.removeLast(bytes.count - count)
    return bytes
  }
}

/// A request in RESP.
func request(_ arguments: [[UInt8]]) -> [UInt8] {
  var out = Array("*\(arguments.count)\r\n".utf8)
  for argument in arguments { out += Array("$\(argument.count)\r\n".utf8) + argument + [13, 10] }
  return out
}

func request(_ arguments: String...) -> [UInt8] { request(arguments.map { Array($0.utf8) }) }

func copy(_ span: RawSpan) -> [UInt8] { (0..<span.byteCount).map { span.byte($0) } }

func copy(_ arguments: borrowing Arguments) -> [[UInt8]] {
  var out: [[UInt8]] = []
  for index in 0..<arguments.count { out.append(copy(arguments[index])) }
  return out
}

extension RequestParser {
  /// Parses bytes that are one whole request.
  func whole(_ bytes: [UInt8]) -> [[UInt8]]? {
    let span = bytes.rawSpan
    guard case .request(let byteCount) = parse(span), byteCount == bytes.count else { return nil }
    let arguments = arguments(of: span)
    return copy(arguments)
  }
}

/// A shard with a clock, driven through the whole path: request bytes, parser, packed command, apply.
final class Harness {
  let shard: StoreShard
  let parser = RequestParser()
  var time: UInt64 = 1_700_000_000_000
  var slot: UInt64 = 0
  var version = RESPVersion.v2

  init(valueBytesMax: Int = 512 << 20, memoryBytesMax: Int = .max) {
    shard = StoreShard(
      seed: 7, valueBytesMax: valueBytesMax, memoryBytesMax: memoryBytesMax)
  }

  /// Runs a command as a server would, and returns the reply's bytes.
  func run(_ arguments: [[UInt8]]) -> [UInt8] {
    let bytes = request(arguments)
    let span = bytes.rawSpan
    var reply = Reply()
    guard case .request = parser.parse(span) else { return Array("no request".utf8) }
    let parsed = parser.arguments(of: span)
    guard let command = Command.named(parsed[0]) else {
      reply.appendUnknownCommand(parsed)
      return reply.bytes
    }
    guard command.accepts(argumentCount: parsed.count) else {
      reply.appendWrongArity(command)
      return reply.bytes
    }
    if command.name == "command" {
      CommandReplies.append(parsed, version, to: &reply)
      return reply.bytes
    }
    var packed: [UInt8] = []
    if command.scope == .scan {
      packed = PackedCommand.scan(command, parsed, from: nil, next: 0, version)
    } else {
      PackedCommand.append(command, parsed, version, to: &packed)
    }
    shard.advance(to: time)
    let context = ApplyContext(group: 0, slot: slot, time: time)
    slot += 1
    if command.isReadOnly {
      shard.read(packed.rawSpan, context, reply: &reply)
    } else {
      shard.apply(packed.rawSpan, context, reply: &reply)
    }
    return reply.bytes
  }

  /// Runs commands as one transaction, which depends on watched keys.
  func transaction(
    _ commands: [[[UInt8]]], watching watched: [(key: [UInt8], version: Int64)] = []
  ) -> [UInt8] {
    var builder = TransactionBuilder()
    for (key, version) in watched { builder.watch(key, version: version) }
    for words in commands {
      let bytes = request(words)
      let span = bytes.rawSpan
      guard case .request = parser.parse(span), let command = found(words[0])
      else { return Array("no request".utf8) }
      builder.append(command, parser.arguments(of: span), version)
    }
    var reply = Reply()
    let packed = builder.finish(version)
    shard.advance(to: time)
    shard.apply(
      packed.rawSpan, ApplyContext(group: 0, slot: slot, time: time),
      reply: &reply)
    slot += 1
    return reply.bytes
  }

  /// Runs a command given as words and returns the reply as text.
  func callAsFunction(_ words: String...) -> String {
    String(decoding: run(words.map { Array($0.utf8) }), as: UTF8.self)
  }
}

/// The command with a name.
func found(_ name: [UInt8]) -> Command? { Command.named(name.rawSpan) }
