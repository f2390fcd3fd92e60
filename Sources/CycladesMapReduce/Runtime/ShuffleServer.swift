internal import CycladesTransport

/// The map outputs of a worker, and the answers to those who pull them.
///
/// A pull names (map, attempt, partition), the block to begin with and how many bytes the puller has
/// room for. The answer is blocks, as they were sealed, until that room is used, and then one
/// `pulled` that says how many blocks there are in all; or `gone`. The server keeps nothing about its
/// pullers, so there is nothing to repair when one of them dies.
final class ShuffleServer: Endpoint {
  private let reactor: Reactor
  private var job: UInt64 = 0
  private var token: UInt64 = 0
  private var outputs: [Int: MapOutput] = [:]
  private var greeted: Set<ConnectionID> = []

  init(on reactor: Reactor) { self.reactor = reactor }

  /// Serves a job from now on; another one's outputs are forgotten.
  func serve(job: UInt64, token: UInt64) {
    if job != self.job { outputs = [:] }
    self.job = job
    self.token = token
  }

  /// The outputs that are here, in order.
  var kept: [MapAttempt] { outputs.values.map(\.name).sorted { $0.map < $1.map } }

  /// Keeps a sealed output until it is forgotten or replaced by another attempt's.
  func keep(_ output: MapOutput) { outputs[output.name.map] = output }

  func forget(map: Int, attempt: Int) {
    if outputs[map]?.name.attempt == attempt { outputs[map] = nil }
  }

  /// The blocks of a partition, when the output is here.
  func blocks(map: Int, attempt: Int, partition: Int) -> [StoredBlock]? {
    guard let output = outputs[map], output.name.attempt == attempt,
      output.blocks.indices.contains(partition)
    else { return nil }
    return output.blocks[partition]
  }

  func received(_ connection: ConnectionID, frame bytes: Bytes) {
    guard let frame = try? Frame(verifying: bytes), frame.job == job else {
      return reactor.close(connection, flush: false, reason: .protocolViolation)
    }
    switch frame.kind {
    case .greet where frame.extra == token: greeted.insert(connection)
    case .pull where greeted.contains(connection): answer(frame, connection)
    default: reactor.close(connection, flush: false, reason: .protocolViolation)
    }
  }

  func closed(_ connection: ConnectionID, _ reason: CloseReason) { greeted.remove(connection) }

  private func answer(_ pull: Frame, _ connection: ConnectionID) {
    var end = pull
    let blocks = blocks(map: pull.map, attempt: pull.attempt, partition: pull.partition)
    guard let blocks, pull.sequence <= blocks.count else {
      end.kind = .gone
      return reactor.send(connection, end)
    }
    var room = Int(clamping: pull.extra)
    var next = pull.sequence
    // One block at least, or a large one would never leave.
    while next < blocks.count, next == pull.sequence || blocks[next].byteCount <= room {
      guard let frame = try? blocks[next].frame(in: reactor.pool) else {
        // A spill file that cannot be read back: the map has to be done again.
        end.kind = .gone
        return reactor.send(connection, end)
      }
      reactor.send(connection, frame)
      room -= blocks[next].byteCount
      next += 1
    }
    end.kind = .pulled
    end.sequence = next
    end.extra = UInt64(blocks.count)
    reactor.send(connection, end)
  }
}
