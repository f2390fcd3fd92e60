import CycladesPaxos
import CycladesSimulator
import Testing

/// Records that were there and cannot be read: neither accepted nor "nothing accepted".
@Suite struct DamageTests {
  private let damaged = Recovered(
    promised: ballot(3, 3), commit: 0, applied: 0,
    entries: [entry(1, ballot(3, 3)), entry(3, ballot(3, 3))], damaged: [2])

  @Test("a promise says which slots it cannot vouch for")
  func promise() throws {
    var node = try Driver(node: 2, recovered: damaged)
    _ = node.start()
    #expect(
      node.receive(.prepare(ballot(4, 1), from: 1), from: 1)
        .contains("to 1: promise 4.1 commit 0 [1@3.3 3@3.3] unknown 2...2 after #1"))
  }

  @Test("a candidate waits until a quorum has told what it accepted in every slot")
  func quorumOfDefiniteAnswers() throws {
    var node = try Driver(recovered: damaged)
    _ = node.start()
    _ = node.wait(Driver.aeon)
    _ = node.receive(.canvassReply(granted: true, promised: .zero, commit: 0, token: 1), from: 2)
    _ = node.sync()
    let ballot = node.core.ballot
    _ = node.receive(.promise(ballot, from: 1, commit: 0, entries: []), from: 2)
    #expect(node.core.role == .candidate, "of slot 2 only one node has told anything")
    _ = node.receive(
      .promise(
        ballot, from: 1, commit: 0,
        entries: [
          entry(1, CycladesPaxosTests.ballot(3, 3)), entry(2, CycladesPaxosTests.ballot(3, 3), 22),
        ]),
      from: 3)
    #expect(node.core.role == .leader)
    #expect(node.persisted.first { $0.slot == 2 }?.payload.checksum.low == 22)
  }

  @Test("a damaged slot that is decided is fetched, and what stands behind it is not written again")
  func repair() throws {
    let recovered = Recovered(
      promised: ballot(3, 3), commit: 2, applied: 0,
      entries: [entry(1, ballot(3, 3)), entry(3, ballot(3, 3))], damaged: [2])
    var node = try Driver(node: 2, recovered: recovered)
    #expect(node.start() == ["apply 1@3.3"])
    #expect(
      node.receive(.heartbeat(ballot(3, 3), commit: 3, last: 3, round: 1), from: 3)
        .contains("to 3: fetch from 2"))
    #expect(
      node.receive(.learn([entry(2, ballot(3, 3)), entry(3, ballot(3, 3))]), from: 3).prefix(3)
        == ["write 2@3.3 #1", "apply 2@3.3", "apply 3@3.3"])
    #expect(node.sync().contains("to 3: accepted 3.3 through 3"))
  }

  @Test("a gap in the log that is not reported as damage is refused")
  func gaps() {
    func error(_ entries: [Entry], _ damaged: [Slot]) -> PaxosError? {
      do {
        _ = try Driver(
          recovered: Recovered(
            promised: .zero, commit: 0, applied: 0, entries: entries, damaged: damaged))
        return nil
      } catch { return error as? PaxosError }
    }
    #expect(error([entry(1, ballot(1, 1)), entry(3, ballot(1, 1))], []) != nil)
    #expect(error([entry(1, ballot(1, 1)), entry(3, ballot(1, 1))], [2]) == nil)
    #expect(error([entry(1, ballot(1, 1))], [2, 3]) == nil)
    #expect(error([entry(1, ballot(1, 1))], [3]) != nil)
    #expect(error([entry(1, ballot(1, 1))], [1]) != nil)
  }

  @Test("damage under faults is repaired from the others")
  func isExercised() {
    var damaged = 0
    for seed in 1...120 as ClosedRange<UInt64> {
      let report = Simulation(
        seed: seed, options: SimulationOptions(scenario: .disks, nodes: 3...5)
      ).run()
      #expect(report.failure == nil, "\(report)")
      damaged += report.statistics.damaged
    }
    #expect(damaged > 20)
  }
}
