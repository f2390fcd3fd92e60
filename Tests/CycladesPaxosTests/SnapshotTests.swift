import CycladesPaxos
import CycladesSimulator
import Testing

@Suite struct SnapshotTests {
  /// A leader that has decided ten slots, all of them durable.
  private func leader() throws -> Driver {
    var node = try Driver()
    node.lead()
    for number in 1...9 as ClosedRange<UInt64> { _ = node.propose(number) }
    _ = node.sync()
    for peer in 2...3 as ClosedRange<UInt32> {
      _ = node.receive(.accepted(ballot(1, 1), through: 10), from: peer)
    }
    #expect(node.core.commit == 10)
    return node
  }

  @Test("a fetch from before the beginning of the log is answered with a snapshot, others are not")
  func offer() throws {
    var node = try leader()
    #expect(node.receive(.fetch(from: 4), from: 2) == ["provide 4...10 to 2"])
    #expect(node.step(.compacted(through: 6)) == [])
    #expect(node.receive(.fetch(from: 6), from: 2) == ["provide a snapshot to 2"])
    #expect(node.receive(.fetch(from: 7), from: 2) == ["provide 7...10 to 2"])
  }

  @Test("one peer is offered one snapshot per heartbeat interval, however often it asks")
  func offerRate() throws {
    var node = try leader()
    _ = node.step(.compacted(through: 6))
    #expect(node.receive(.fetch(from: 1), from: 2) == ["provide a snapshot to 2"])
    #expect(node.receive(.fetch(from: 1), from: 2) == [])
    #expect(node.receive(.fetch(from: 1), from: 3) == ["provide a snapshot to 3"])
    _ = node.wait(Driver.heartbeat)
    #expect(node.receive(.fetch(from: 1), from: 2) == ["provide a snapshot to 2"])
  }

  @Test("behind a snapshot a replica goes on: it tells the leader, and fetches the rest")
  func goOn() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    #expect(
      node.receive(.heartbeat(ballot(1, 1), commit: 60, last: 60, round: 1), from: 1)
        .contains("to 1: fetch from 1 after #1"))
    _ = node.sync()
    #expect(node.core.canInstall(through: 50))
    #expect(
      node.step(.installed(through: 50)) == [
        "to 1: fetch from 51", "to 1: accepted 1.1 through 50",
      ])
    #expect(node.core.commit == 50)
    #expect(node.core.last == 50)
    #expect(
      node.receive(.learn([entry(51, ballot(1, 1))]), from: 1).contains("apply 51@1.1"))
  }

  @Test("what was accepted behind a snapshot stays and is told to candidates")
  func acceptedStays() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    for slot in 1...8 as ClosedRange<Slot> {
      _ = node.receive(.accept(entry(slot, ballot(1, 1))), from: 1)
    }
    _ = node.sync()
    _ = node.step(.installed(through: 6))
    #expect(node.core.last == 8)
    #expect(
      node.receive(.prepare(ballot(2, 3), from: 7), from: 3)
        .contains("to 3: promise 2.3 commit 6 [7@1.1 8@1.1] after #10"))
  }

  @Test("a snapshot of what is applied already, or for a leader, changes nothing")
  func uselessSnapshots() throws {
    var node = try leader()
    #expect(!node.core.canInstall(through: 20))
    #expect(node.step(.installed(through: 20)) == [])
    #expect(node.core.commit == 10)
    var follower = try Driver(node: 2)
    _ = follower.start()
    _ = follower.step(.installed(through: 10))
    #expect(!follower.core.canInstall(through: 10))
    #expect(follower.step(.installed(through: 9)) == [])
    #expect(follower.core.commit == 10)
  }

  @Test("a replica starts from a snapshot alone, and from one with a log behind it")
  func recovery() throws {
    var empty = try Driver(
      recovered: Recovered(promised: ballot(3, 1), commit: 40, applied: 40, entries: []))
    #expect(empty.start() == [])
    #expect(empty.core.commit == 40)
    #expect(empty.core.last == 40)
    var more = try Driver(
      recovered: Recovered(
        promised: ballot(3, 1), commit: 41, applied: 40,
        entries: [entry(41, ballot(3, 1)), entry(42, ballot(3, 1))]))
    #expect(more.start() == ["apply 41@3.1"])
    #expect(more.core.last == 42)
  }

  @Test("under faults logs are compacted, snapshots are installed, and sources change on the way")
  func isExercised() {
    var installs = 0
    var changes = 0
    for seed in 1...200 as ClosedRange<UInt64> {
      let report = Simulation(seed: seed, options: SimulationOptions(nodes: 3...5)).run()
      #expect(report.failure == nil, "\(report)")
      installs += report.statistics.installs
      changes += report.statistics.sourceChanges
    }
    #expect(installs > 20)
    #expect(changes > 0)
  }
}
