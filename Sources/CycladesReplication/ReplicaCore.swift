import CycladesPaxos
import CycladesTransport

/// Told what became of a command or query, once, on the reactor's thread.
typealias ReplicaCompletion = (Result<[UInt8], ReplicationError>) -> Void

/// What a `Replica` does on its reactor's thread, whatever its machine.
protocol ReplicaOperations: AnyObject {
  var status: GroupStatus { get }
  var logStatus: LogStatus { get }
  func write(_ command: [UInt8], _ completion: @escaping ReplicaCompletion)
  func read(_ query: [UInt8], _ completion: @escaping ReplicaCompletion)
  func addLearner(_ node: NodeID, at address: SocketAddress) -> ReplicationError?
  func remove(_ node: NodeID) -> ReplicationError?
  func transferLeadership(to node: NodeID) -> ReplicationError?
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

  func addLearner(_ node: NodeID, at address: SocketAddress) -> ReplicationError? {
    host.setPeer(node, address)
    return changeMembers { members in
      if !members.contains(where: { $0.id == node }) {
        members.append(Member(id: node, kind: .learner))
      }
    }
  }

  func remove(_ node: NodeID) -> ReplicationError? {
    changeMembers { members in members.removeAll { $0.id == node } }
  }

  private func changeMembers(_ body: (inout [Member]) -> Void) -> ReplicationError? {
    attempt { () throws(ReplicationError) in
      var members = host.groups[0].membership?.members ?? []
      body(&members)
      try host.propose(members: members, of: 0)
    }
  }

  func transferLeadership(to node: NodeID) -> ReplicationError? {
    attempt { () throws(ReplicationError) in
      try host.transferLeadership(of: 0, to: node)
    }
  }

  private func attempt(_ body: () throws(ReplicationError) -> Void) -> ReplicationError? {
    do {
      try body()
      return nil
    } catch {
      return error
    }
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
