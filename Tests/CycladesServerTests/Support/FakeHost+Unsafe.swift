import CycladesPaxos
import CycladesReplication
import CycladesStore
import CycladesTransport
import Logging

@testable import CycladesServer

/// A replication layer of one node in memory, as unkind as its contract allows.
///
/// It answers the groups of a turn in reverse order, and reads a turn later than writes, so that a
/// server that does not keep replies and commands in order is found out.
final class FakeHost: ShardHost {
  /// What becomes of every command.
  struct Script: Sendable {
    var outcome = Outcome.done
    var leader: NodeID? = NodeID(1)
    /// Groups that get `outcome`; the others are done.
    var groups: Set<UInt32>?
    /// How long writes are under way, instead of one turn.
    var writeDelay: Duration?
  }

  weak var delegate: (any ReplicaHostDelegate)?
  private let script: Script
  private let machines: [StoreShard]
  private let reactor: Reactor
  private let announcement: [UInt8]
  private var writes: [Submission] = []
  private var reads: [Submission] = []
  private var slot: UInt64 = 0

  private struct Submission {
    var group: UInt32
    var context: RequestContext
    var command: [UInt8]
  }

  init(_ script: Script, _ machines: [StoreShard], _ reactor: Reactor, announcement: [UInt8]) {
    self.script = script
    self.machines = machines
    self.reactor = reactor
    self.announcement = announcement
  }

  func shard(_ group: UInt32) -> StoreShard? { machines[Int(group)] }

  func start() throws { reactor.addTurnObserver(Turn(host: self)) }

  func stop() {}

  func write(
    _ group: UInt32, _ context: RequestContext, byteCount: Int,
    _ encode: (UnsafeMutableRawPointer) -> Void
  ) {
    let command = unsafe bytes(byteCount, encode)
    writes.append(Submission(group: group, context: context, command: command))
  }

  func write(_ group: UInt32, _ context: RequestContext, _ command: RawSpan) {
    writes.append(
      Submission(group: group, context: context, command: [UInt8](copying: command)))
  }

  func read(
    _ group: UInt32, _ context: RequestContext, byteCount: Int,
    _ encode: (UnsafeMutableRawPointer) -> Void
  ) {
    let command = unsafe bytes(byteCount, encode)
    reads.append(Submission(group: group, context: context, command: command))
  }

  func read(_ group: UInt32, _ context: RequestContext, _ query: RawSpan) {
    reads.append(Submission(group: group, context: context, command: [UInt8](copying: query)))
  }

  private func bytes(_ count: Int, _ encode: (UnsafeMutableRawPointer) -> Void) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    unsafe bytes.withUnsafeMutableBytes { unsafe encode($0.baseAddress!) }
    return bytes
  }

  func notify(_ notice: RawSpan) {}

  func leader(of group: UInt32) -> NodeID? { script.leader }

  var groups: [GroupStatus] {
    machines.indices.map { FakeStatus.group(UInt32($0), leader: script.leader, slot: slot) }
  }

  var peers: [PeerStatus] {
    let announced = NodeAnnouncement(host: "10.0.0.2", clusterPort: 7002, plainPort: 7102)
    return [FakeStatus.peer(NodeID(2), announced.bytes)]
  }

  var logStatus: LogStatus { FakeStatus.log }

  /// Answers what came in: the writes of the groups in reverse, the reads in the next turn.
  fileprivate func answer() {
    // Answers make the server submit more; without a further event there may be no further turn.
    for _ in 0..<8 where !(writes.isEmpty && reads.isEmpty) { answerOnce() }
  }

  private func answerOnce() {
    let (dueWrites, dueReads) = (writes, reads)
    writes = []
    reads = []
    if !dueReads.isEmpty {
      reactor.schedule(after: .milliseconds(2)) { [self] in finish(dueReads, isWrite: false) }
    }
    if let delay = script.writeDelay, !dueWrites.isEmpty {
      reactor.schedule(after: delay) { [self] in finish(dueWrites, isWrite: true) }
    } else {
      finish(dueWrites, isWrite: true)
    }
  }

  private func finish(_ submissions: [Submission], isWrite: Bool) {
    for group in Set(submissions.map(\.group)).sorted(by: >) {
      for submission in submissions where submission.group == group {
        var reply = Reply()
        let isScripted = script.groups?.contains(group) ?? true
        let outcome = isScripted ? script.outcome : .done
        if outcome == .done {
          slot += 1
          let context = ApplyContext(group: group, slot: slot, time: 1_700_000_000_000)
          let (machine, command) = (machines[Int(group)], submission.command)
          if isWrite {
            machine.apply(command.rawSpan, context, reply: &reply)
          } else {
            machine.read(command.rawSpan, context, reply: &reply)
          }
        }
        delegate?.completed(submission.context, outcome, reply.bytes.rawSpan)
      }
    }
  }
}

private final class Turn: TurnObserver {
  private weak var host: FakeHost?

  init(host: FakeHost) { self.host = host }

  func turnEnding() { host?.answer() }
}

/// A server over a `FakeHost`.
final class FakeServer {
  let ports: (cluster: UInt16, plain: UInt16)
  private let thread: ReactorThread
  private let node: Held

  private final class Held: @unchecked Sendable {
    var node: StoreNode?
    var ports: (UInt16, UInt16) = (0, 0)
  }

  init(
    _ script: FakeHost.Script = .init(),
    configure: @Sendable (inout StoreServerConfiguration) -> Void = { _ in }
  ) throws {
    var configuration = StoreServerConfiguration(
      node: NodeID(1), peers: [NodeID(1): .loopback(port: 8), NodeID(2): .loopback(port: 9)],
      directory: "none")
    configure(&configuration)
    let held = Held()
    let settings = configuration
    thread = try ReactorThread.start(
      name: "fake", configuration: settings.reactor,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    ) { reactor in
      let node = try StoreNode(
        settings, reactor: reactor, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      ) { announcement, _ in
        let machines = (0..<settings.shards).map { settings.makeShard($0) }
        return FakeHost(script, machines, reactor, announcement: announcement.bytes)
      }
      try node.start()
      held.ports = (node.addresses.cluster.port, node.addresses.plain.port)
      held.node = node
    }
    node = held
    ports = held.ports
  }

  func client() throws -> TestClient { try TestClient(port: ports.plain) }

  func clusterClient() throws -> TestClient { try TestClient(port: ports.cluster) }

  /// Drains and stops.
  func stop() {
    let node = node
    thread.mailbox.post { reactor in
      guard let store = node.node else { return }
      node.node = nil
      store.drain { withExtendedLifetime(store) { reactor.stop() } }
    }
    thread.join()
  }
}
