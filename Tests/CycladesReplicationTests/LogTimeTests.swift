import CycladesTransport
import Testing

@testable import CycladesReplication

/// Holds one value for as many milliseconds as the command says; a query answers what is left.
private struct Fuse: StateMachine {
  var deadline: UInt64?

  mutating func apply(_ command: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    deadline = context.time + (command.littleEndianInteger(as: UInt64.self) ?? 0)
  }

  func read(_ query: RawSpan, _ context: ApplyContext, reply: inout Reply) {
    if let deadline { precondition(deadline > context.time, "an overdue value was still there") }
    reply.append(littleEndian: deadline.map { $0 - context.time } ?? 0)
  }

  func snapshot() -> any SnapshotSource { WholeSnapshot(bytes(deadline ?? 0)) }

  mutating func restore(_ part: RawSpan) throws {
    deadline = part.littleEndianInteger().flatMap { $0 == 0 ? nil : $0 }
  }

  var nextDeadline: UInt64? { deadline }

  mutating func advance(to time: UInt64) {
    if let deadline, deadline <= time { self.deadline = nil }
  }
}

@Suite("Log time", .serialized, .timeLimit(.minutes(1)))
struct LogTimeTests {
  @Test("a lifetime runs down and ends, though nothing is written")
  func runsDown() async throws {
    let cluster = try CounterCluster()
    var replicas: [Replica] = []
    for configuration in cluster.configurations {
      replicas.append(
        try await Replica.start(configuration, logger: quietLogger()) { Fuse() })
    }
    _ = try await replicas[0].propose(bytes(4000))
    let early = integer(try await replicas[1].read([]))
    #expect(early > 0 && early <= 4000)
    try await Task.sleep(for: .milliseconds(200))
    let later = integer(try await replicas[2].read([]))
    #expect(later + 150 <= early)
    // The machine may be slow, but what has ended has ended for everybody.
    var left = later
    while left > 0 {
      try await Task.sleep(for: .milliseconds(100))
      let now = integer(try await replicas[0].read([]))
      #expect(now < left)
      left = now
    }
    for replica in replicas { #expect(integer(try await replica.read([])) == 0) }
    for replica in replicas { await replica.stop() }
  }
}
