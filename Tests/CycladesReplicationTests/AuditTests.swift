import CycladesPaxos
import CycladesTransport
import Synchronization
import Testing

@testable import CycladesReplication

/// Real replicas, one of which has a machine that does not do what those of the others do.
@Suite(.serialized) struct AuditTests {
  /// A counter that adds one too many to a certain value, once.
  private struct Faulty: StateMachine {
    var counter = Counter()
    let isFaulty: @Sendable () -> Bool
    let saysDigest: Bool

    mutating func apply(_ command: RawSpan, _ context: ApplyContext, reply: inout Reply) {
      counter.apply(command, context, reply: &reply)
      if counter.value == 50, isFaulty() {
        var ignored = Reply()
        counter.apply(bytes(1).rawSpan, context, reply: &ignored)
      }
    }

    func read(_ query: RawSpan, _ context: ApplyContext, reply: inout Reply) {
      counter.read(query, context, reply: &reply)
    }

    func snapshot() -> any SnapshotSource { counter.snapshot() }
    mutating func restore(_ part: RawSpan) throws { try counter.restore(part) }
    var stateDigest: UInt64? { saysDigest ? counter.value : nil }
  }

  private final class Switch: Sendable {
    let isOn = Atomic(true)
  }

  private func start(
    _ cluster: CounterCluster, _ position: Int, _ faulty: Switch?, saysDigest: Bool
  ) async throws -> Replica {
    try await Replica.start(cluster.configurations[position], logger: quietLogger()) {
      Faulty(
        isFaulty: { faulty?.isOn.exchange(false, ordering: .relaxed) ?? false },
        saysDigest: saysDigest)
    }
  }

  /// Writes through one replica until another has been begun anew and has caught up.
  private func run(faulty position: Int, saysDigest: Bool) async throws {
    let cluster = try CounterCluster()
    let fault = Switch()
    var replicas: [Replica] = []
    for other in 0..<3 {
      replicas.append(
        try await start(
          cluster, other, other == position ? fault : nil, saysDigest: saysDigest))
    }
    let writer = replicas[(position + 1) % 3]
    for value in UInt64(1)...50 {
      #expect(integer(try await writer.propose(bytes(1))) == value)
    }
    // Without a digest only what is replied from now on shows the difference.
    if !saysDigest { #expect(try await writer.propose(bytes(0)).count == 8) }
    let faulty = replicas[position]
    for _ in 0..<500 where await faulty.logStatus()?.audits.begunAnew == 0 {
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(await faulty.logStatus()?.audits.begunAnew == 1)
    for _ in 0..<10 { _ = try await writer.propose(bytes(1)) }
    for _ in 0..<500 where await faulty.status()?.applied != writer.status()?.applied {
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(await faulty.status()?.applied == writer.status()?.applied)
    #expect(integer(try await faulty.read([])) == 60)
    for other in 0..<3 where other != position {
      #expect(await replicas[other].logStatus()?.audits == AuditCounts())
    }
    // The one that was begun anew has its vote again: with it and one other the group goes on.
    await replicas[(position + 1) % 3].stop()
    #expect(integer(try await faulty.propose(bytes(1))) == 61)
    for replica in replicas { await replica.stop() }
  }

  @Test(
    "a replica with another state is begun anew, and all agree again", .timeLimit(.minutes(1)),
    arguments: [0, 2], [true, false])
  func wrongState(faulty: Int, saysDigest: Bool) async throws {
    try await run(faulty: faulty, saysDigest: saysDigest)
  }

  @Test("restarts and snapshots keep the digest", .timeLimit(.minutes(1)))
  func restart() async throws {
    let cluster = try CounterCluster()
    var replicas = try await cluster.startAll()
    for _ in 0..<20 { _ = try await replicas[0].propose(bytes(1)) }
    for position in 0..<3 {
      await replicas[position].stop()
      replicas[position] = try await cluster.start(position)
      for _ in 0..<20 { _ = try await replicas[position].propose(bytes(1)) }
    }
    try await Task.sleep(for: .milliseconds(300))
    for replica in replicas {
      #expect(await replica.logStatus()?.audits == AuditCounts())
      await replica.stop()
    }
  }
}
