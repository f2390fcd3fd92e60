internal import CycladesTransport

/// The job's home was not reached, or is gone: what was asked of it has to be done once more.
struct HomeLost: Error {
  let reason: MapReduceError
}

/// A worker's connection to the home of its job, made when it is needed.
///
///   readFile (stream, offset, count, path) -> fileData (stream, offset, bytes) | homeFailed
///   partData (partition, attempt, sequence, bytes) -> partKept (of a piece)
///   partEnd (partition, attempt, what it is) -> partKept (extra 1) | homeFailed
final class HomeLink: Endpoint {
  let reactor: Reactor
  private var address: SocketAddress?
  private var job: UInt64 = 0
  private var token: UInt64 = 0
  private var connection: ConnectionID?
  /// What is to be sent once the connection is open.
  private var early: [() -> Void]?
  private var streams: [Int: Stream] = [:]
  private var parts: [Attempt: Part] = [:]
  private var nextStream = 0
  /// Called when there may be something to do.
  var wake: () -> Void = {}

  private struct Stream { weak var stream: RemoteStream? }
  private struct Part { weak var part: RemotePart? }

  init(on reactor: Reactor) { self.reactor = reactor }

  /// Belongs to a job from now on.
  func serve(_ address: SocketAddress?, job: UInt64, token: UInt64) {
    if address == self.address && job == self.job && token == self.token { return }
    self.address = address
    self.job = job
    self.token = token
    guard let connection else { return }
    reactor.close(connection, flush: false)
    // At once: what the next job asks for must not end with this connection.
    disconnect(HomeLost(reason: MapReduceError(.worker, "the job has another home")))
  }

  // MARK: What tasks ask for

  func open(_ stream: RemoteStream) -> Int {
    nextStream += 1
    streams[nextStream] = Stream(stream: stream)
    return nextStream
  }

  func forget(stream: Int) { streams[stream] = nil }

  func ask(stream: Int, path: String, offset: Int, count: Int) {
    var frame = Frame(.readFile, job: job)
    frame.map = stream
    frame.extra = UInt64(offset)
    frame.partition = count
    var writer = PayloadWriter()
    writer.put(path)
    frame.payload = writer.bytes
    send { [reactor] in reactor.send($0, frame) }
  }

  func part(_ partition: Int, attempt: Int) -> RemotePart {
    let name = Attempt(task: .reduce(partition), number: attempt)
    let part = RemotePart(self, name)
    parts[name] = Part(part: part)
    return part
  }

  func forget(_ part: Attempt, isKept: Bool) {
    parts[part] = nil
    if isKept || connection == nil { return }
    send(named: .abandon, part) { _ in }
  }

  func send(_ piece: UnsafeRawBufferPointer, of part: Attempt, sequence: Int) throws {
    var name = Frame(.partData, job: job)
    name.set(part)
    name.sequence = sequence
    let frame = try unsafe DataFrame(name, limit: piece.count, in: reactor.pool) { start in
      if let source = piece.baseAddress {
        unsafe start.copyMemory(from: source, byteCount: piece.count)
      }
      return piece.count
    }
    send { [reactor] in reactor.send($0, frame.bytes) }
  }

  func send(named kind: FrameKind, _ part: Attempt, _ fill: (inout Frame) -> Void) {
    var frame = Frame(kind, job: job)
    frame.set(part)
    fill(&frame)
    let complete = frame
    send { [reactor] in reactor.send($0, complete) }
  }

  /// Sends on the connection, which is made if need be.
  private func send(_ body: @escaping (ConnectionID) -> Void) {
    if connection == nil { connect() }
    guard let connection else { return }
    if early == nil { body(connection) } else { early?.append { body(connection) } }
  }

  private func connect() {
    guard let address else { return }
    early = []
    connection = reactor.connect(
      to: address, mode: .frames(maximumSize: Frame.maximumSize), endpoint: self)
  }

  // MARK: The connection

  func opened(_ connection: ConnectionID) {
    guard connection == self.connection else { return }
    var greeting = Frame(.greet, job: job)
    greeting.extra = token
    reactor.send(connection, greeting)
    for send in early ?? [] { send() }
    early = nil
  }

  func received(_ connection: ConnectionID, frame bytes: Bytes) {
    guard connection == self.connection else { return }
    defer { wake() }
    do {
      if Frame.kind(of: bytes) == .fileData {
        let data = try DataFrame(verifying: bytes, .fileData)
        streams[data.map]?.stream?.take(data)
        return
      }
      let frame = try Frame(verifying: bytes)
      let part = Attempt(task: .reduce(frame.partition), number: frame.attempt)
      switch frame.kind {
      case .partKept: parts[part]?.part?.kept(pieces: frame.sequence, isAll: frame.extra == 1)
      case .homeFailed:
        let error = try MapReduceError(frame.payload)
        // A stream is named by its number, and a part has none.
        if frame.map > 0 {
          streams[frame.map]?.stream?.fail(error)
        } else {
          parts[part]?.part?.fail(error)
        }
      default: throw MapReduceError(.protocolViolation, "a job's home sent what it may not send")
      }
    } catch {
      reactor.close(connection, flush: false, reason: .protocolViolation)
    }
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) {
    guard connection == self.connection else { return }
    disconnect(
      HomeLost(reason: MapReduceError(.worker, "the home of the job is not reached: \(reason)")))
    wake()
  }

  private func disconnect(_ error: HomeLost) {
    connection = nil
    early = nil
    let (streams, parts) = (streams, parts)
    self.streams = [:]
    self.parts = [:]
    for stream in streams.values { stream.stream?.fail(error) }
    for part in parts.values { part.part?.fail(error) }
  }
}

/// Input files of a job: those that are here, and the rest from its home.
final class HomeFiles: FileSource {
  private let link: HomeLink
  private let here: Bool

  /// - Parameter here: Whether the home is on this machine, so that the same file at the same path in the
  ///   same state is the home's.
  init(_ link: HomeLink, here: Bool) {
    self.link = link
    self.here = here
  }

  func open(_ segment: InputSegment) throws -> any InputStream {
    if here, let status = Files.status(segment.path), status.identity == segment.identity {
      return try PlainStream(segment.path)
    }
    return RemoteStream(link, segment)
  }
}
