internal import CycladesPaxos
public import CycladesReplication
public import CycladesTransport
public import Logging
import Synchronization

/// One node of a cluster that runs jobs: a replica of the ledger, and a coordinator while it leads.
///
/// Three nodes go on when one of them is gone: another leads within a second, homes and workers find it,
/// and it continues from the ledger and from what the workers hold. No task that was finished is
/// repeated.
///
/// ```swift
/// var replica = ReplicaConfiguration(
///   cluster: "jobs", node: NodeID(1), peers: peers, directory: "/var/lib/jobs")
/// let node = try await JobNode.start(replica, listen: address, jobs: jobs, logger: logger)
/// await node.stop()
/// ```
///
/// Nodes, workers and those who ask for jobs are the same build of one program; others are refused.
/// They trust each other: run them where nobody else can connect.
public final class JobNode: Sendable {
  /// Where homes and workers connect.
  public let address: SocketAddress
  private let replica: Replica
  private let thread: ReactorThread
  private let host: Host
  private let registering: Task<Void, Never>
  private let watching: Task<Void, Never>

  /// The host, touched on its reactor's thread alone.
  private struct Host: @unchecked Sendable { let host: NodeHost }

  private init(
    _ replica: Replica, _ thread: ReactorThread, _ host: Host, _ address: SocketAddress,
    node: NodeID
  ) {
    self.replica = replica
    self.thread = thread
    self.host = host
    self.address = address
    let mailbox = thread.mailbox
    let known = KnownNodes()
    registering = Task { await known.learn(from: replica, node, address) }
    watching = Task {
      while !Task.isCancelled, let status = await replica.status() {
        let nodes = known.addresses(leader: status.leader)
        let isLeading = status.leader == node && status.role == .leader
        mailbox.post {
          host.host.learn(
            nodes: nodes.all, isLeaderKnown: nodes.isLeaderKnown, isLeading: isLeading)
        }
        try? await Task.sleep(for: .milliseconds(50))
      }
    }
  }

  /// Starts the replica and takes jobs and workers at `listen`.
  ///
  /// - Parameters:
  ///   - configuration: The ledger's replica: peers, data folder.
  ///   - listen: An address that homes, workers and the other nodes' clients can reach; port 0 lets the
  ///     system choose.
  ///   - jobs: The jobs of this program.
  ///   - diesAtDecision: Kills this process when its coordinator has that many decisions of a job in the
  ///     ledger, before anything follows from the last: what a test does to prove that nothing is lost.
  /// - Throws: `ReplicationError` or `TransportError` when folder or address cannot be used; nothing is
  ///   left running then.
  public static func start(
    _ configuration: ReplicaConfiguration, listen: SocketAddress, jobs: JobRegistry,
    logger: Logger, diesAtDecision: Int? = nil
  ) async throws -> JobNode {
    let build = try ChildProcess.buildDigest(of: "/proc/self/exe")
    let replica = try await Replica.start(configuration, logger: logger) { JobLedger() }
    do {
      let box = StartedBox()
      let thread = try ReactorThread.start(name: "jobs-\(configuration.node)", logger: logger) {
        reactor in
        let host = NodeHost(
          on: reactor, jobs: jobs, build: build, ledger: replica, diesAtDecision: diesAtDecision)
        box.set(Host(host: host), try host.listen(on: listen))
      }
      let (host, address) = box.value
      return JobNode(replica, thread, host, address, node: configuration.node)
    } catch {
      await replica.stop()
      throw error
    }
  }

  /// Stops coordinating and taking part; jobs go on with the other nodes.
  public func stop() async {
    registering.cancel()
    watching.cancel()
    let host = host
    thread.mailbox.post { host.host.close() }
    thread.stop()
    await thread.finished()
    await replica.stop()
  }

  /// Carries what was set up from the reactor's thread.
  private final class StartedBox: Sendable {
    private let content = Mutex<(Host, SocketAddress)?>(nil)
    func set(_ host: Host, _ address: SocketAddress) { content.withLock { $0 = (host, address) } }
    var value: (Host, SocketAddress) {
      content.withLock {
        guard let content = $0 else { preconditionFailure("a started thread was set up") }
        return content
      }
    }
  }
}

/// Where the nodes of a cluster take jobs, as the ledger knows it.
private final class KnownNodes: Sendable {
  private let nodes = Mutex<[NodeID: SocketAddress]>([:])

  /// Registers a node and learns of the others, again and again.
  func learn(from replica: Replica, _ node: NodeID, _ address: SocketAddress) async {
    nodes.withLock { $0[node] = address }
    var writer = PayloadWriter()
    writer.put(JobLedger.Verb.register.rawValue)
    writer.put(UInt64(node.rawValue))
    writer.put(address)
    var isRegistered = false
    while !Task.isCancelled {
      if !isRegistered { isRegistered = (try? await replica.propose(writer.bytes)) != nil }
      if let answer = try? await replica.read([]),
        let told = try? JobLedger.contents(answer).nodes
      {
        for (other, text) in told where other != UInt64(node.rawValue) {
          guard let address = try? SocketAddress(parsing: text) else { continue }
          nodes.withLock { $0[NodeID(UInt32(clamping: other))] = address }
        }
      }
      try? await Task.sleep(for: .milliseconds(isRegistered ? 1000 : 100))
    }
  }

  /// All nodes, the leader first when it is known.
  func addresses(leader: NodeID?) -> (all: [SocketAddress], isLeaderKnown: Bool) {
    nodes.withLock { nodes in
      let first = leader.flatMap { nodes[$0] }
      let rest = nodes.sorted { $0.key < $1.key }.map(\.value).filter { $0 != first }
      return ((first.map { [$0] } ?? []) + rest, first != nil)
    }
  }
}
