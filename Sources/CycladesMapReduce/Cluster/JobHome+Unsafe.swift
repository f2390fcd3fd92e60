internal import CycladesTransport
import Glibc

/// The home of a job: hands its input to workers that do not have the files, and writes the parts that
/// they make into the output folder.
///
/// It serves the files of the job's plan and no others, to those who know the job's token. What a worker
/// did not finish vanishes with its connection.
final class JobHome: Endpoint {
  private let reactor: Reactor
  private let job: UInt64
  private let partitions: Int
  private let syncs: Bool
  private let folder: OutputFolder
  private let token: UInt64
  private let paths: Set<String>
  private var files: [String: Int32] = [:]
  private var workers: [ConnectionID: [Attempt: OpenPart]] = [:]

  private struct OpenPart {
    let writer: PartWriter
    var pieces = 0
  }

  /// Files that are kept open.
  private static let fileLimit = 64

  init(
    _ order: JobOrder, paths: [String], folder: OutputFolder, token: UInt64, on reactor: Reactor
  ) {
    self.reactor = reactor
    self.folder = folder
    self.token = token
    self.paths = Set(paths)
    job = order.id
    partitions = order.setup.partitions
    syncs = order.setup.syncs
  }

  deinit { for file in files.values { close(file) } }

  /// How many workers are connected.
  var workerCount: Int { workers.count }

  func received(_ connection: ConnectionID, frame bytes: Bytes) {
    do {
      if Frame.kind(of: bytes) == .partData, workers[connection] != nil {
        return try take(DataFrame(verifying: bytes, .partData), connection)
      }
      let frame = try Frame(verifying: bytes)
      guard frame.job == job else { throw refusal }
      switch frame.kind {
      case .greet where frame.extra == token: workers[connection] = [:]
      case .readFile where workers[connection] != nil: try answer(frame, connection)
      case .partEnd where workers[connection] != nil: try finish(frame, connection)
      case .abandon where workers[connection] != nil:
        workers[connection]?[frame.namedAttempt] = nil
      default: throw refusal
      }
    } catch {
      reactor.close(connection, flush: false, reason: .protocolViolation)
    }
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) { workers[connection] = nil }

  private var refusal: MapReduceError {
    MapReduceError(.protocolViolation, "a worker sent what it may not send")
  }

  // MARK: Input

  private func answer(_ request: Frame, _ connection: ConnectionID) throws {
    var reader = PayloadReader(request.payload)
    let path = try reader.text()
    let (offset, count) = (Int(clamping: request.extra), request.partition)
    guard paths.contains(path), count <= DataFrame.pieceBytes else { throw refusal }
    do {
      let file = try open(path)
      var name = Frame(.fileData, job: job)
      name.map = request.map
      name.extra = request.extra
      let data = try unsafe DataFrame(name, limit: count, in: reactor.pool) { start in
        var done = 0
        while done < count {
          let read = unsafe pread(file, start + done, count - done, off_t(offset + done))
          if read < 0 && errno == EINTR { continue }
          guard read >= 0 else { throw Files.failed(.input, "read input", path) }
          if read == 0 { break }
          done += read
        }
        return done
      }
      reactor.send(connection, data.bytes)
    } catch {
      fail(connection, error) { $0.map = request.map }
    }
  }

  private func open(_ path: String) throws -> Int32 {
    if let file = files[path] { return file }
    if files.count >= JobHome.fileLimit {
      for file in files.values { close(file) }
      files = [:]
    }
    let file = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Files.failed(.input, "read input", path) }
    files[path] = file
    return file
  }

  // MARK: Output

  private func part(
    _ name: Attempt, pieces: Int, _ connection: ConnectionID
  ) throws -> OpenPart {
    if let part = workers[connection]?[name] {
      guard part.pieces == pieces else { throw refusal }
      return part
    }
    guard pieces == 0, case .reduce(let partition) = name.task,
      (0..<partitions).contains(partition)
    else { throw refusal }
    let path = folder.temporaryPath(partition: partition, attempt: name.number)
    return OpenPart(writer: try PartWriter(path: path, syncs: syncs))
  }

  private func take(_ data: DataFrame, _ connection: ConnectionID) throws {
    let name = Attempt(task: .reduce(data.partition), number: data.attempt)
    guard data.job == job else { throw refusal }
    do {
      var part = try part(name, pieces: data.sequence, connection)
      try unsafe data.withPayload { try unsafe part.writer.append($0) }
      part.pieces += 1
      workers[connection]?[name] = part
      acknowledge(connection, name) { $0.sequence = part.pieces }
    } catch let error as MapReduceError where error.code != .protocolViolation {
      workers[connection]?[name] = nil
      fail(connection, error) { $0.set(name) }
    }
  }

  private func finish(_ end: Frame, _ connection: ConnectionID) throws {
    let name = end.namedAttempt
    let expected = try PartInfo(end.payload)
    do {
      let part = try part(name, pieces: end.sequence, connection)
      workers[connection]?[name] = nil
      let info = try part.writer.finish()
      guard info.byteCount == expected.byteCount, info.digest == expected.digest else {
        throw MapReduceError(.output, "a part is not what its worker has written")
      }
      acknowledge(connection, name) {
        $0.sequence = end.sequence
        $0.extra = 1
      }
    } catch let error as MapReduceError where error.code != .protocolViolation {
      fail(connection, error) { $0.set(name) }
    }
  }

  private func acknowledge(
    _ connection: ConnectionID, _ name: Attempt, _ fill: (inout Frame) -> Void
  ) {
    var frame = Frame(.partKept, job: job)
    frame.set(name)
    frame.extra = 0
    fill(&frame)
    reactor.send(connection, frame)
  }

  private func fail(
    _ connection: ConnectionID, _ error: any Error, _ fill: (inout Frame) -> Void
  ) {
    var frame = Frame(.homeFailed, job: job)
    fill(&frame)
    frame.payload = MapReduceError(wrapping: error).payload
    reactor.send(connection, frame)
  }
}
