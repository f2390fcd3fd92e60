public import CycladesPaxos

/// Two words that travel with a request and come back with its outcome; opaque to the host.
public struct RequestContext: Sendable, Hashable {
  /// The first word.
  public var a: UInt64
  /// The second word.
  public var b: UInt64

  /// Makes a context.
  public init(a: UInt64, b: UInt64) {
    self.a = a
    self.b = b
  }
}

/// Why a command was definitely not executed.
public enum Refusal: Sendable, Hashable {
  /// No leader was known for the group for as long as the caller is willing to wait.
  case noLeader
  /// Too many bytes wait for the group.
  case overloaded
  /// The command exceeds the size limit.
  case tooLarge
  /// This node is shutting down.
  case stopping
  /// The group does not exist.
  case noSuchGroup
}

/// What became of a command: done, definitely not done, or nobody can say.
public enum Outcome: Sendable, Hashable {
  /// Decided by a quorum, durable there, and applied; the reply is the machine's.
  case done
  /// Not executed, and never will be.
  case notDone(Refusal)
  /// It may have been executed, or may be later: the answer did not arrive in time.
  case unknown
}

/// Receives the outcomes of what was submitted to a host, on the reactor's thread.
public protocol ReplicaHostDelegate: AnyObject {
  /// Called exactly once per submitted command, never from inside `write` or `read`.
  ///
  /// `reply` holds what the state machine appended; it is empty unless the outcome is `done`, and is
  /// valid only during the call.
  func completed(_ context: RequestContext, _ outcome: Outcome, _ reply: RawSpan)

  /// The host's belief about who leads the group changed.
  func leadershipChanged(_ group: UInt32)

  /// A peer's layer above passed bytes on, with `ReplicaHost.notify`; they are valid only during the
  /// call, and whatever a peer of this cluster may say.
  func noticed(_ notice: RawSpan, from peer: NodeID)

  /// The host can no longer write its log and has stopped; nothing will be completed any more.
  func failed(_ error: ReplicationError)
}

/// A delegate that takes the replies to all commands of a request at once.
package protocol BatchDelegate: ReplicaHostDelegate {
  /// Called in place of `completed(_:_:_:)` for each when all are done: `replies` holds
  /// `{ u32 size, bytes }` per context, in order.
  func completed(_ contexts: [RequestContext], _ replies: RawSpan)
}

extension ReplicaHostDelegate {
  /// Leadership changes are of no interest by default.
  public func leadershipChanged(_ group: UInt32) {}

  /// Notices are of no interest by default.
  public func noticed(_ notice: RawSpan, from peer: NodeID) {}

  /// The failure is logged by the host; by default nothing else happens.
  public func failed(_ error: ReplicationError) {}
}
