import CycladesTransport
import Testing

@testable import CycladesMapReduce

/// A home and somebody who talks to it, on one reactor.
private final class HomeTable: Endpoint {
  let reactor: Reactor
  let folder: TemporaryFolder
  let output: OutputFolder
  let home: JobHome
  let order: JobOrder
  let address: SocketAddress
  let input: String
  private(set) var answers: [Bytes] = []
  private(set) var isClosed = false
  var answered: () -> Void = {}

  init(_ text: [UInt8]) throws {
    folder = try TemporaryFolder()
    input = try folder.write("text", text)
    output = try OutputFolder(claiming: folder.file("out"), job: "job", overwrites: false)
    let setup = JobSetup(
      name: "job", version: 1, arguments: [], partitions: 2, badRecordLimit: 0)
    order = JobOrder(
      id: 5, setup: setup, splits: [], fileCount: 1, patienceMilliseconds: 1000, backups: true)
    reactor = try Reactor(ReactorConfiguration(), logger: quiet)
    home = JobHome(order, paths: [input], folder: output, token: 9, on: reactor)
    address = try reactor.listen(
      on: .loopback(), mode: .frames(maximumSize: Frame.maximumSize), endpoint: home
    ).address
  }

  var segment: InputSegment {
    let size = Files.status(input)?.byteCount ?? 0
    return InputSegment(path: input, offset: 0, byteCount: size, fileByteCount: size)
  }

  func received(_ connection: ConnectionID, frame: Bytes) {
    answers.append(frame)
    answered()
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    isClosed = true
    reactor.stop()
  }

  func greeting(token: UInt64 = 9) -> [UInt8] {
    var frame = Frame(.greet, job: order.id)
    frame.extra = token
    return frame.encoded()
  }

  /// Sends frames and runs until the home closes the connection, or until so many answers.
  func say(_ frames: [[UInt8]], until count: Int = .max) throws {
    let connection = reactor.connect(
      to: address, mode: .frames(maximumSize: Frame.maximumSize), endpoint: self)
    answered = { [unowned self] in if answers.count >= count { reactor.stop() } }
    _ = reactor.schedule(after: .milliseconds(20)) { [unowned self] in
      for frame in frames { reactor.send(connection, copying: frame) }
    }
    _ = reactor.schedule(after: .seconds(10)) { [unowned self] in reactor.stop() }
    try reactor.run()
  }

  func read(_ path: String, offset: Int = 0, count: Int = 100) -> [UInt8] {
    var frame = Frame(.readFile, job: order.id)
    frame.map = 1
    frame.extra = UInt64(offset)
    frame.partition = count
    var writer = PayloadWriter()
    writer.put(path)
    frame.payload = writer.bytes
    return frame.encoded()
  }

  func piece(_ sequence: Int, partition: Int = 0) throws -> [UInt8] {
    var name = Frame(.partData, job: order.id)
    name.set(Attempt(task: .reduce(partition), number: 3))
    name.sequence = sequence
    return try unsafe DataFrame(name, limit: 5, in: reactor.pool) { start in
      unsafe start.copyMemory(from: [1, 2, 3, 4, 5] as [UInt8], byteCount: 5)
      return 5
    }.bytes.span.copied()
  }
}

@Suite("The home of a job", .timeLimit(.minutes(5)))
struct JobHomeTests {
  @Test("it gives the files of its plan to those who know its token")
  func reads() throws {
    let table = try HomeTable(Array(0..<200))
    try table.say([table.greeting(), table.read(table.input, offset: 150)], until: 1)
    let data = try DataFrame(verifying: table.answers[0], .fileData)
    #expect(unsafe data.withPayload { unsafe Array($0) } == Array(150..<200) && data.map == 1)
  }

  @Test("whoever asks for anything else is cut off")
  func refusals() throws {
    for misdeed in 0..<8 {
      let table = try HomeTable(Array(0..<200))
      var damaged = table.read(table.input)
      damaged[70] ^= 4
      let frames: [[UInt8]] =
        switch misdeed {
        case 0: [table.greeting(token: 8), table.read(table.input)]
        case 1: [table.read(table.input)]
        case 2: [table.greeting(), table.read("/etc/passwd")]
        case 3: [table.greeting(), table.read(table.input, count: 1 << 20)]
        case 4: [table.greeting(), damaged]
        case 5: [table.greeting(), try table.piece(1)]
        case 6: [table.greeting(), try table.piece(0), try table.piece(0)]
        default: [table.greeting(), try table.piece(0, partition: 2)]
        }
      try table.say(frames)
      #expect(table.isClosed, "misdeed \(misdeed)")
      #expect(table.answers.allSatisfy { Frame.kind(of: $0) == .partKept }, "misdeed \(misdeed)")
      // What was begun vanishes with the connection.
      #expect(Files.names(in: table.folder.file("out")) == ["_JOB"], "misdeed \(misdeed)")
    }
  }

  @Test("a worker reads a file of many pieces, from any place, as if it were here")
  func stream() throws {
    var random = SplitMix(state: 4)
    let text = (0..<3_000_000).map { _ in UInt8.random(in: 0...255, using: &random) }
    for start in [0, 1, 777_777, 2_999_999] {
      let table = try HomeTable(text)
      let link = HomeLink(on: table.reactor)
      link.serve(table.address, job: table.order.id, token: 9)
      let stream = RemoteStream(link, table.segment)
      var found: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 100_000)
      try table.reactor.runUntilDone(link) {
        while true {
          let count = try unsafe buffer.withUnsafeMutableBytes {
            try unsafe stream.read(
              into: $0.baseAddress.unsafelyUnwrapped, count: $0.count, at: start + found.count)
          }
          if count == 0 { return true }
          found += buffer[..<count]
        }
      }
      #expect(found == Array(text[start...]), "from \(start)")
    }
  }

  @Test("a part is written at its home, and is what the worker has written")
  func part() throws {
    let table = try HomeTable([])
    let link = HomeLink(on: table.reactor)
    link.serve(table.address, job: table.order.id, token: 9)
    let part = link.part(1, attempt: 7)
    let writer = try PartWriter(to: part)
    let text = (0..<2_000_000).map { UInt8(truncatingIfNeeded: $0 * 31) }
    var sent = 0
    var info: PartInfo?
    try table.reactor.runUntilDone(link) {
      while sent < text.count {
        guard try part.hasRoom() else { return false }
        let piece = Array(text[sent..<min(sent + 300_000, text.count)])
        unsafe try piece.withUnsafeBytes { unsafe try writer.append($0) }
        sent += piece.count
      }
      if info == nil { info = try writer.finish() }
      return try part.isKept()
    }
    let path = table.output.temporaryPath(partition: 1, attempt: 7)
    #expect(try Files.contents(path) == text && info?.byteCount == text.count)
  }

  @Test("what the next job asks for does not end with the connection of the one before")
  func nextJob() throws {
    let table = try HomeTable(Array(0..<200))
    let link = HomeLink(on: table.reactor)
    link.serve(table.address, job: table.order.id, token: 9)
    var streams = [RemoteStream(link, table.segment)]
    var buffer = [UInt8](repeating: 0, count: 300)
    func read() throws -> Int {
      try unsafe buffer.withUnsafeMutableBytes {
        try unsafe streams[streams.count - 1].read(
          into: $0.baseAddress.unsafelyUnwrapped, count: $0.count, at: 0)
      }
    }
    try table.reactor.runUntilDone(link) {
      guard try read() == 200 else { return false }
      if streams.count == 2 { return true }
      // The job is over, and the same home has another one.
      link.serve(nil, job: 0, token: 0)
      link.serve(table.address, job: table.order.id, token: 9)
      streams.append(RemoteStream(link, table.segment))
      return try read() == 200
    }
    #expect(streams.count == 2 && Array(buffer[..<200]) == Array(0..<200))
  }

  @Test("a home that is gone is told from an error of the job")
  func gone() throws {
    let table = try HomeTable(Array(0..<200))
    let link = HomeLink(on: table.reactor)
    link.serve(.loopback(port: 1), job: table.order.id, token: 9)
    let stream = RemoteStream(link, table.segment)
    var buffer = [UInt8](repeating: 0, count: 10)
    #expect(throws: HomeLost.self) {
      try table.reactor.runUntilDone(link) {
        _ = try unsafe buffer.withUnsafeMutableBytes {
          try unsafe stream.read(into: $0.baseAddress.unsafelyUnwrapped, count: $0.count, at: 0)
        }
        return true
      }
    }
  }
}

extension Reactor {
  /// Runs until the body is true, which is asked whenever the link has news; throws what it throws.
  fileprivate func runUntilDone(_ link: HomeLink, _ body: @escaping () throws -> Bool) throws {
    var result: Result<Bool, any Error> = .success(false)
    var isAsked = false
    func ask() {
      if case .success(false) = result {
        do { result = .success(try body()) } catch is InputNotReady {} catch {
          result = .failure(error)
        }
      }
      if case .success(false) = result { return }
      if !isAsked { stop() }
      isAsked = true
    }
    link.wake = ask
    _ = schedule(after: .zero) { ask() }
    let deadline = schedule(after: .seconds(20)) { [unowned self] in stop() }
    try run()
    cancel(deadline)
    // It holds the body, which may hold the link.
    link.wake = {}
    #expect(try result.get(), "it is not done in 20 seconds")
  }
}
