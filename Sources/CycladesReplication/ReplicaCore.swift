import CycladesTransport

/// Told what became of a command or query, once, on the reactor's thread.
typealias ReplicaCompletion = (Result<[UInt8], ReplicationError>) -> Void

/// What a `Replica` does on its reactor's thread, whatever its machine.
protocol ReplicaOperations: AnyObject {
  var status: GroupStatus { get }
  var logStatus: LogStatus { get }
  func write(_ command: [UInt8], _ completion: @escaping ReplicaCompletion)
  func read(_ query: [UInt8], _ completion: @escaping ReplicaCompletion)
  func stop()
}

/// Hands the core from the thread that starts it to later calls on the same thread.
///
/// Unchecked because the compiler cannot see it: the reference is only ever followed on the reactor's
/// thread, by what is posted to its mailbox.
final class ReplicaCoreReference: @unchecked Sendable {
  var core: (any ReplicaOperations)?
}

/// Matches the outcomes of a host of one group with the callers that wait for them.
final class ReplicaCore: ReplicaOperations, ReplicaHostDelegate {
  private let host: ReplicaHost
  private var waiting: [UInt64: ReplicaCompletion] = [:]
  private var nextID: UInt64 = 1

  init(_ host: ReplicaHost) {
    self.host = host
    host.delegate = self
  }

  var status: GroupStatus { host.groups[0] }
  var logStatus: LogStatus { host.logStatus }

  func write(_ command: [UInt8], _ completion: @escaping ReplicaCompletion) {
    host.write(0, remember(completion), command.rawSpan)
  }

  func read(_ query: [UInt8], _ completion: @escaping ReplicaCompletion) {
    host.read(0, remember(completion), query.rawSpan)
  }

  private func remember(_ completion: @escaping ReplicaCompletion) -> RequestContext {
    defer { nextID += 1 }
    waiting[nextID] = completion
    return RequestContext(a: nextID, b: 0)
  }

  func stop() { host.stop() }

  func completed(_ context: RequestContext, _ outcome: Outcome, _ reply: RawSpan) {
    guard let completion = waiting.removeValue(forKey: context.a) else {
      preconditionFailure("an outcome came twice")
    }
    switch outcome {
    case .done: completion(.success([UInt8](copying: reply)))
    case .notDone(let refusal):
      completion(.failure(ReplicationError(.notDone, "not executed: \(refusal)")))
    case .unknown:
      completion(
        .failure(ReplicationError(.unknown, "no answer in time: it may or may not be executed")))
    }
  }
}
