public import CycladesPaxos
public import CycladesTransport
public import Logging

/// What an app says to replicate a state machine of its own: one group on all the peers.
public struct ReplicaConfiguration: Sendable {
  /// The cluster's name; all replicas must give the same.
  public var cluster: String
  /// This replica, a key of `peers`.
  public var node: NodeID
  /// Where each replica listens for the others.
  public var peers: [NodeID: SocketAddress]
  /// The replicas that the group began with, the same on all of them; by default all of `peers`. One
  /// that joins later is not among them.
  public var founders: [NodeID]
  /// The data folder of this replica, and of it alone.
  public var directory: String
  /// Election and heartbeat times.
  public var timing = Timing()
  /// Memory and batch bounds.
  public var limits = HostLimits()
  /// Lets the leader answer queries by its clock; see ``HostConfiguration/lease``.
  public var lease: Lease?

  /// Makes a configuration with default timing and limits.
  public init(cluster: String, node: NodeID, peers: [NodeID: SocketAddress], directory: String) {
    self.cluster = cluster
    self.node = node
    self.peers = peers
    self.directory = directory
    founders = peers.keys.sorted()
  }
}

/// A replica of an app's own state machine, on a thread of its own.
///
/// Every replica takes commands: one that does not lead forwards them. A command is applied exactly
/// once, however often leaders change on its way.
///
/// Replicas compare digests of their states as they go on, by what was replied and by
/// ``StateMachine/stateDigest``. One whose state is not what a quorum has logs that, gives its state up
/// and gets it from a peer; ``AuditCounts`` counts it.
///
/// ```swift
/// let replica = try await Replica.start(configuration, logger: logger) { Counter() }
/// let reply = try await replica.propose(command)
/// await replica.stop()
/// ```
public final class Replica: Sendable {
  private let thread: ReactorThread
  private let core: ReplicaCoreReference
  private let patience: Duration

  private init(_ thread: ReactorThread, _ core: ReplicaCoreReference, patience: Duration) {
    self.thread = thread
    self.core = core
    self.patience = patience
  }

  /// Recovers the machine from the data folder and takes part in the group.
  ///
  /// Returns when the log is replayed and this replica listens; a leader may not be elected yet.
  /// `machine` makes the initial state. Throws when the folder, the address or the configuration is
  /// not usable; nothing is left running then.
  public static func start(
    _ configuration: ReplicaConfiguration, logger: Logger,
    machine: @escaping @Sendable () -> any StateMachine
  ) async throws(ReplicationError) -> Replica {
    guard let listen = configuration.peers[configuration.node] else {
      throw ReplicationError(
        .badConfiguration, "node \(configuration.node) is not in the list of peers")
    }
    var host = HostConfiguration(
      cluster: configuration.cluster, node: configuration.node, peers: configuration.peers,
      peerListen: listen, directory: configuration.directory,
      groups: [GroupConfiguration(id: 0, members: configuration.founders)])
    host.timing = configuration.timing
    host.limits = configuration.limits
    host.lease = configuration.lease
    let complete = host
    let reference = ReplicaCoreReference()
    do {
      let thread = try ReactorThread.start(name: "replica-\(configuration.node)", logger: logger) {
        reactor in
        let host = try ReplicaHost(complete, reactor: reactor, logger: logger) { _ in machine() }
        try host.start()
        reference.core = ReplicaCore(host)
      }
      return Replica(
        thread, reference,
        patience: .nanoseconds(Int64(complete.limits.patienceNanoseconds)))
    } catch let error as ReplicationError {
      throw error
    } catch {
      throw ReplicationError(.ioFailed, "\(error)")
    }
  }

  /// Has the group decide a command, and returns what the machine replied to it.
  ///
  /// Throws `notDone` when it was not and will not be executed, `unknown` when nobody can say. Waits
  /// as long as `HostLimits.patienceNanoseconds`.
  public func propose(_ command: [UInt8]) async throws(ReplicationError) -> [UInt8] {
    try await submit { $0.write(command, $1) }
  }

  /// Has the machine answer a query, linearizably: the answer reflects every command that was
  /// answered before the query was submitted, anywhere.
  public func read(_ query: [UInt8]) async throws(ReplicationError) -> [UInt8] {
    try await submit { $0.read(query, $1) }
  }

  private func submit(
    _ body: @escaping @Sendable (any ReplicaOperations, @escaping ReplicaCompletion) -> Void
  ) async throws(ReplicationError) -> [UInt8] {
    let (core, mailbox) = (core, thread.mailbox)
    let result: Result<[UInt8], ReplicationError> = await withCheckedContinuation { continuation in
      let posted = mailbox.post {
        guard let core = core.core else { preconditionFailure("a started replica has a core") }
        body(core) { continuation.resume(returning: $0) }
      }
      if !posted {
        continuation.resume(
          returning: .failure(ReplicationError(.notDone, "the replica has stopped")))
      }
    }
    return try result.get()
  }

  /// The group as this replica sees it; `nil` when the replica has stopped.
  public func status() async -> GroupStatus? { await look { $0.status } }

  /// The log and the snapshots of this replica; `nil` when the replica has stopped.
  public func logStatus() async -> LogStatus? { await look { $0.logStatus } }

  private func look<T: Sendable>(
    _ body: @escaping @Sendable (any ReplicaOperations) -> T
  ) async -> T? {
    let (core, mailbox) = (core, thread.mailbox)
    return await withCheckedContinuation { continuation in
      let posted = mailbox.post { continuation.resume(returning: core.core.map(body)) }
      if !posted { continuation.resume(returning: nil) }
    }
  }

  /// Makes a node a member, to be asked of the leader. The node must run, with the founders that the
  /// others have; it is given all there is, and then becomes a voter by itself.
  ///
  /// Returns when the change is in force. Throws `notDone` when this replica does not lead, or cannot
  /// do it now, and `unknown` when it was proposed and nobody can say what became of it.
  public func addLearner(
    _ node: NodeID, at address: SocketAddress
  ) async throws(ReplicationError) {
    try await change(until: { $0.members.contains { $0.id == node } }) {
      $0.addLearner(node, at: address)
    }
  }

  /// Ends the membership of a node, to be asked of the leader, which may be the node itself.
  ///
  /// Returns and throws as `addLearner` does.
  public func remove(_ node: NodeID) async throws(ReplicationError) {
    try await change(until: { !$0.members.contains { $0.id == node } }) { $0.remove(node) }
  }

  /// Starts to hand leadership over to another voter, to be asked of the leader. It is done when
  /// `status` names the other; if the other cannot take over, this replica goes on leading.
  public func transferLeadership(to node: NodeID) async throws(ReplicationError) {
    let refusal = await look { $0.transferLeadership(to: node) }
    if let error = refusal ?? Self.stopped { throw error }
  }

  private static let stopped = ReplicationError(.notDone, "the replica has stopped")

  private func change(
    until isDone: (Membership) -> Bool,
    _ body: @escaping @Sendable (any ReplicaOperations) -> ReplicationError?
  ) async throws(ReplicationError) {
    let refusal = await look(body)
    if let error = refusal ?? Self.stopped { throw error }
    let deadline = ContinuousClock.now + patience
    while let membership = await status()?.membership, !isDone(membership) {
      if ContinuousClock.now > deadline {
        throw ReplicationError(.unknown, "not in force in time: it may or may not take effect")
      }
      try? await Task.sleep(for: .milliseconds(10))
    }
  }

  /// Stops taking part, and returns when everything is closed. Callers that wait are told.
  public func stop() async {
    let core = core
    thread.mailbox.post { core.core?.stop() }
    thread.stop()
    await thread.finished()
  }
}
