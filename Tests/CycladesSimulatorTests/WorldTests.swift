import CycladesTransport
import Foundation
import Glibc
import Logging
import Testing

@Suite("A world in memory")
struct WorldTests {
  /// Two hosts that talk, driven until nothing is left to do.
  private final class Pair {
    let world: World
    let reactors: [Reactor]

    init(seed: UInt64 = 1, shortSends: Double = 0) throws {
      var options = World.Options(seed: seed, hosts: 2)
      options.shortSends = shortSends
      world = World(options)
      var reactors: [Reactor] = []
      for host in 0..<2 {
        var configuration = ReactorConfiguration()
        configuration.poolBudgetBytes = 64 << 20
        configuration.receiveBlocks = 16
        configuration.residence = Residence(world, host: host)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let reactor = try Reactor(configuration, logger: logger)
        try reactor.begin()
        reactors.append(reactor)
      }
      self.reactors = reactors
    }

    deinit { for reactor in reactors { reactor.end() } }

    func run(for duration: Duration) throws {
      let end = world.now + duration
      while world.now < end {
        while let reactor = reactors.first(where: \.isDue) { try reactor.turn() }
        let timers = reactors.compactMap(\.nextTimer)
        _ = world.advance(until: min(end, timers.min() ?? end))
      }
    }
  }

  private final class Echo: Endpoint {
    let reactor: Reactor
    init(_ reactor: Reactor) { self.reactor = reactor }
    func received(_ connection: ConnectionID, _ bytes: RawSpan) -> CycladesTransport.Progress {
      reactor.send(connection, copying: bytes)
      return CycladesTransport.Progress(consumed: bytes.byteCount)
    }
  }

  private final class Caller: Endpoint {
    let reactor: Reactor
    let request: [UInt8]
    var answer: [UInt8] = []
    var reason: CloseReason?
    init(_ reactor: Reactor, _ request: [UInt8]) {
      self.reactor = reactor
      self.request = request
    }
    func opened(_ connection: ConnectionID) { reactor.send(connection, copying: request) }
    func received(_ connection: ConnectionID, _ bytes: RawSpan) -> CycladesTransport.Progress {
      for index in 0..<bytes.byteCount { answer.append(bytes.byte(at: index)) }
      return CycladesTransport.Progress(consumed: bytes.byteCount)
    }
    func closed(_ connection: ConnectionID, _ reason: CloseReason) { self.reason = reason }
  }

  private func connect(_ pair: Pair, _ bytes: [UInt8]) throws -> Caller {
    let address = World.address(of: 0, port: 80)
    _ = try pair.reactors[0].listen(on: address, endpoint: Echo(pair.reactors[0]))
    let caller = Caller(pair.reactors[1], bytes)
    _ = pair.reactors[1].connect(to: address, endpoint: caller)
    return caller
  }

  @Test("a megabyte comes back in order, however the sends are cut", arguments: [0.0, 0.5])
  func echo(shortSends: Double) throws {
    let pair = try Pair(shortSends: shortSends)
    let bytes = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 / 7) }
    let caller = try connect(pair, bytes)
    try pair.run(for: .seconds(2))
    #expect(caller.answer == bytes)
  }

  @Test("the same world twice is the same to the byte, and another seed is another world")
  func determinism() throws {
    func digest(_ seed: UInt64) throws -> UInt64 {
      let pair = try Pair(seed: seed, shortSends: 0.3)
      let caller = try connect(pair, Array(repeating: 1, count: 100_000))
      try pair.run(for: .seconds(1))
      #expect(caller.answer.count == 100_000)
      return pair.world.digest
    }
    #expect(try digest(7) == digest(7))
    #expect(try digest(7) != digest(8))
  }

  @Test("nobody listens: refused; a blocked link: nothing, and later everything")
  func links() throws {
    let pair = try Pair()
    let refused = Caller(pair.reactors[1], [1])
    _ = pair.reactors[1].connect(
      to: World.address(of: 0, port: 81), endpoint: refused)
    try pair.run(for: .seconds(1))
    #expect(refused.reason == .refused)

    let caller = try connect(pair, [1, 2, 3])
    pair.world.block(from: 1, to: 0, true)
    try pair.run(for: .seconds(2))
    #expect(caller.answer.isEmpty)
    pair.world.block(from: 1, to: 0, false)
    try pair.run(for: .seconds(2))
    #expect(caller.answer == [1, 2, 3])
    pair.world.reset(0, 1)
    try pair.run(for: .seconds(1))
    #expect(caller.reason == .reset)
  }

  private final class Completion: FileCompletion {
    var results: [Int] = []
    func completed(_ token: UInt64, result: Int) { results.append(result) }
  }

  @Test("a crash spares what was durable or synced, and may lose what was neither")
  func crash() throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
      "cyclades-world-\(UUID().uuidString)"
    ).path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let size = 64 << 10
    try Data(count: 3 * size).write(to: URL(fileURLWithPath: path))
    var lost = 0
    for seed in 1...20 as ClosedRange<UInt64> {
      let pair = try Pair(seed: seed)
      let file = unsafe open(path, O_RDWR)
      let completion = Completion()
      func write(_ value: UInt8, at place: Int, durable: Bool) throws {
        var buffer = try Buffer(minimumCapacity: size, in: pair.reactors[0].pool)
        for _ in 0..<size / 8 {
          buffer.append(littleEndian: UInt64(value) &* 0x0101_0101_0101_0101)
        }
        pair.reactors[0].write(
          [buffer.freeze()], to: file, at: Int64(place * size), durable: durable,
          completion: completion, token: 0)
        try pair.run(for: .milliseconds(50))
      }
      let value = UInt8(seed)
      try write(value, at: 0, durable: true)
      try write(value, at: 1, durable: false)
      pair.reactors[0].sync(file, completion: completion, token: 0)
      try pair.run(for: .milliseconds(50))
      try write(value, at: 2, durable: false)
      #expect(completion.results == [size, size, 0, size])
      pair.world.crash(0, isSilent: true)
      pair.reactors[0].end()
      close(file)
      let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
      #expect(bytes[..<(2 * size)].allSatisfy { $0 == value })
      lost += bytes[(2 * size)...].contains { $0 != value } ? 1 : 0
    }
    #expect(lost > 0)
  }

  @Test("a full or failing disk says so, and a stalled one says nothing until it is well")
  func disks() throws {
    let pair = try Pair()
    let file = unsafe open("/dev/null", O_RDWR)
    defer { close(file) }
    let completion = Completion()
    func write() throws {
      var buffer = try Buffer(minimumCapacity: 8, in: pair.reactors[0].pool)
      buffer.append(littleEndian: UInt64(1))
      pair.reactors[0].write(
        [buffer.freeze()], to: file, at: 0, durable: true, completion: completion, token: 0)
      try pair.run(for: .milliseconds(50))
    }
    pair.world.setDisk(of: 0, .full)
    try write()
    pair.world.setDisk(of: 0, .failing)
    try write()
    pair.world.setDisk(of: 0, .stalled)
    try write()
    #expect(completion.results == [-Int(ENOSPC), -Int(EIO)])
    pair.world.setDisk(of: 0, .well)
    try pair.run(for: .milliseconds(50))
    #expect(completion.results == [-Int(ENOSPC), -Int(EIO), 8])
  }
}
