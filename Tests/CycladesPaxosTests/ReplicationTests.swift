import CycladesPaxos
import Testing

@Suite struct ProposalTests {
  @Test("entries are sent at once, and counted only when they are durable")
  func pipeline() throws {
    var node = try Driver()
    node.lead()
    #expect(
      node.propose(1).effects == [
        "write 2@1.1 #3", "to 2: accept 2@1.1 commit 0", "to 3: accept 2@1.1 commit 0",
      ])
    #expect(
      node.receive(.accepted(ballot(1, 1), through: 2), from: 2) == ["apply 1@1.1"],
      "slot 2 is on one disk of three")
    #expect(node.sync() == ["apply 2@1.1"])
    #expect(node.core.commit == 2)
  }

  @Test("the window bounds what is proposed and undecided")
  func windowIsBounded() throws {
    var node = try Driver(window: 4)
    node.lead()
    for number in 2...4 as ClosedRange<Slot> { #expect(node.propose(number).slot == number) }
    #expect(!node.core.canPropose)
    let (slot, effects) = node.propose(5)
    #expect(slot == nil)
    #expect(effects == [])
    _ = node.sync()
    _ = node.receive(.accepted(ballot(1, 1), through: 2), from: 3)
    #expect(node.propose(5).slot == 5)
  }

  @Test(
    "a follower accepts in order, acknowledges what is durable in one message, and asks for gaps")
  func follower() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    #expect(
      node.receive(.accept(entry(1, ballot(1, 1))), from: 1) == [
        "write promise 1.1 #1", "write 1@1.1 #2", "follower in 1.1, leader 1",
      ])
    #expect(node.receive(.accept(entry(2, ballot(1, 1))), from: 1) == ["write 2@1.1 #3"])
    #expect(
      node.receive(.accept(entry(4, ballot(1, 1))), from: 1) == ["to 1: fetch from 3 after #1"])
    #expect(node.step(.persisted(token: 2)) == ["to 1: accepted 1.1 through 1"])
    #expect(node.step(.persisted(token: 3)) == ["to 1: accepted 1.1 through 2"])
  }

  @Test("a follower refuses a leader of a lower ballot than it promised")
  func promiseIsKept() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    _ = node.receive(.prepare(ballot(5, 3), from: 1), from: 3)
    #expect(
      node.receive(.accept(entry(1, ballot(1, 1))), from: 1)
        == ["to 1: reject round 1 promised 5.3 commit 0 after #1"])
    #expect(
      node.receive(.heartbeat(ballot(1, 1), commit: 0, last: 0, round: 1), from: 1)
        == ["to 1: reject round 1 promised 5.3 commit 0 after #1"])
  }

  @Test("an entry that is sent again is acknowledged again and not written again")
  func repetition() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    _ = node.receive(.accept(entry(1, ballot(1, 1))), from: 1)
    _ = node.sync()
    #expect(
      node.receive(.accept(entry(1, ballot(1, 1))), from: 1) == ["to 1: accepted 1.1 through 1"])
  }

  @Test("a follower asks for what a heartbeat shows to have been proposed, but never came")
  func lostEntry() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    _ = node.receive(.accept(entry(1, ballot(1, 1))), from: 1)
    _ = node.sync()
    #expect(
      node.receive(.heartbeat(ballot(1, 1), commit: 0, last: 3, round: 1), from: 1)
        == ["to 1: fetch from 2", "to 1: heartbeat reply 1.1 through 1 round 1"])
    #expect(
      node.receive(.heartbeat(ballot(1, 1), commit: 0, last: 3, round: 2), from: 1)
        == ["to 1: heartbeat reply 1.1 through 1 round 2"], "it does not ask twice at once")
  }

  @Test("what a silent peer did not acknowledge goes again when it is connected")
  func reconnection() throws {
    var node = try Driver()
    node.lead()
    _ = node.propose(1)
    #expect(
      node.step(.connected(NodeID(2))) == [
        "to 2: heartbeat 1.1 commit 0 last 2 round 1", "to 2: accept 1@1.1 commit 0",
        "to 2: accept 2@1.1 commit 0",
      ])
  }
}

@Suite struct DecisionTests {
  @Test("a follower decides what its leader decided, as far as it accepted it in that ballot")
  func commitByHeartbeat() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    _ = node.receive(.accept(entry(1, ballot(1, 1))), from: 1)
    _ = node.receive(.accept(entry(2, ballot(1, 1))), from: 1)
    #expect(
      node.receive(.heartbeat(ballot(1, 1), commit: 1, last: 1, round: 1), from: 1)
        == ["apply 1@1.1", "to 1: heartbeat reply 1.1 through 0 round 1 after #1"])
  }

  @Test("an entry of a lower ballot is not decided by a new leader's word; it is fetched")
  func oldBallotIsNotTrusted() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    _ = node.receive(.accept(entry(1, ballot(1, 1))), from: 1)
    _ = node.sync()
    let effects = node.receive(.heartbeat(ballot(2, 3), commit: 1, last: 1, round: 1), from: 3)
    #expect(effects.contains("to 3: fetch from 1 after #3"))
    #expect(node.core.commit == 0)
    #expect(
      node.receive(.learn([entry(1, ballot(2, 3), 9)]), from: 3)
        == ["write 1@2.3 #4", "apply 1@2.3"])
  }

  @Test("a learned entry that is there already is not written again")
  func learnWhatIsThere() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    _ = node.receive(.accept(entry(1, ballot(1, 1))), from: 1)
    _ = node.sync()
    #expect(node.receive(.learn([entry(1, ballot(1, 1))]), from: 3) == ["apply 1@1.1"])
  }

  @Test("a leader serves a laggard from its window, or from the log")
  func catchUp() throws {
    var node = try Driver(members: [1, 2, 3], window: 4)
    node.lead()
    for number in 1...9 as ClosedRange<Slot> {
      _ = node.propose(number)
      _ = node.sync()
      _ = node.receive(.accepted(ballot(1, 1), through: number + 1), from: 2)
    }
    #expect(node.core.commit == 10)
    #expect(node.receive(.fetch(from: 1), from: 3) == ["provide 1...10 to 3"])
    #expect(
      node.receive(.fetch(from: 9), from: 3)
        == ["to 3: accept 9@1.1 commit 8", "to 3: accept 10@1.1 commit 9"])
  }

  @Test("what is decided but not durable here is not given to others out of the log")
  func provideOnlyDurable() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    _ = node.receive(.accept(entry(1, ballot(1, 1))), from: 1)
    _ = node.sync()
    // The log holds slot 1 of ballot 1.1; the entry that is decided there is on its way.
    _ = node.receive(.accept(entry(1, ballot(2, 3), 9)), from: 3)
    _ = node.receive(.heartbeat(ballot(2, 3), commit: 1, last: 1, round: 1), from: 3)
    #expect(node.core.commit == 1)
    #expect(node.receive(.fetch(from: 1), from: 1) == [])
    _ = node.sync()
    #expect(node.receive(.fetch(from: 1), from: 1) == ["provide 1...1 to 1"])
  }

  @Test("a laggard asks another peer when the first one does not answer")
  func fetchElsewhere() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    #expect(
      node.receive(.heartbeat(ballot(1, 1), commit: 3, last: 3, round: 1), from: 1)
        .contains("to 1: fetch from 1 after #1"))
    _ = node.sync()
    _ = node.wait(Driver.heartbeat)
    #expect(
      node.receive(.heartbeat(ballot(1, 1), commit: 3, last: 3, round: 2), from: 1)
        .contains("to 3: fetch from 1"))
  }

  @Test("a quorum's progress is the number that a majority has reached")
  func quorumAgainstNaive() {
    var random = SplitMix(seed: 3)
    for _ in 0..<5_000 {
      let count = Int(random.next() % 7) + 1
      let reached = (0..<count).map { _ in random.next() % 6 }
      let quorum = count / 2 + 1
      let naive = reached.sorted(by: >)[quorum - 1]
      #expect(reached.highest(by: quorum) { $0 } == naive)
    }
  }
}

@Suite struct ReadTests {
  private func decided() throws -> Driver {
    var node = try Driver()
    node.lead()
    _ = node.receive(.accepted(ballot(1, 1), through: 1), from: 2)
    _ = node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: 1), from: 2)
    return node
  }

  @Test("a read waits for a round of heartbeats that began after it")
  func roundAfterRead() throws {
    var node = try decided()
    #expect(
      node.step(.read(id: 1)) == [
        "to 2: heartbeat 1.1 commit 1 last 1 round 2",
        "to 3: heartbeat 1.1 commit 1 last 1 round 2",
      ])
    #expect(node.step(.read(id: 2)) == [], "it shares the next round")
    #expect(
      node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: 1), from: 3) == [],
      "an answer to an earlier round confirms no later read")
    #expect(
      node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: 2), from: 3) == [
        "read 1 ready", "to 2: heartbeat 1.1 commit 1 last 1 round 3",
        "to 3: heartbeat 1.1 commit 1 last 1 round 3",
      ])
    #expect(
      node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: 3), from: 3)
        == ["read 2 ready"])
  }

  @Test("no read is served before an entry of the own ballot is decided")
  func readWaitsForNoop() throws {
    var node = try Driver()
    node.lead()
    _ = node.receive(.heartbeatReply(ballot(1, 1), through: 0, round: 1), from: 2)
    _ = node.step(.read(id: 1))
    #expect(node.receive(.heartbeatReply(ballot(1, 1), through: 0, round: 2), from: 2) == [])
    #expect(
      node.receive(.accepted(ballot(1, 1), through: 1), from: 2) == ["apply 1@1.1", "read 1 ready"]
    )
  }

  @Test("a follower, and a leader with too many reads waiting, refuse at once")
  func refusal() throws {
    var follower = try Driver(node: 2)
    _ = follower.start()
    #expect(follower.step(.read(id: 1)) == ["read 1 refused"])
    var leader = try Driver(maximumReads: 2)
    leader.lead()
    _ = leader.step(.read(id: 1))
    _ = leader.step(.read(id: 2))
    #expect(leader.step(.read(id: 3)) == ["read 3 refused"])
  }
}

@Suite struct RecoveryTests {
  @Test("what was decided is applied again, from where the shell left off")
  func reapply() throws {
    let entries = (3...6).map { entry(Slot($0), ballot(1, 1), commit: Slot($0) - 2) }
    var node = try Driver(
      recovered: Recovered(promised: ballot(2, 2), commit: 4, applied: 2, entries: entries))
    #expect(node.start() == ["apply 3@1.1", "apply 4@1.1"])
    #expect(node.core.commit == 4)
    #expect(node.core.last == 6)
    #expect(node.core.ballot == ballot(2, 2))
  }

  @Test("a restarted node tells of the undecided entries it had accepted")
  func undecidedTail() throws {
    var node = try Driver(
      node: 2,
      recovered: Recovered(
        promised: ballot(1, 1), commit: 1, applied: 1, entries: [entry(2, ballot(1, 1))]))
    _ = node.start()
    #expect(
      node.receive(.prepare(ballot(2, 3), from: 2), from: 3).contains(
        "to 3: promise 2.3 commit 1 [2@1.1] after #1"))
  }

  @Test("a log that no replica can have written is refused")
  func impossibleLogs() {
    func refuses(_ recovered: Recovered) -> Bool {
      do {
        _ = try Driver(recovered: recovered)
        return false
      } catch { return (error as? PaxosError)?.code == .invalidRecovery }
    }
    let one = ballot(1, 1)
    #expect(refuses(Recovered(promised: one, commit: 2, applied: 0, entries: [entry(1, one)])))
    #expect(refuses(Recovered(promised: one, commit: 0, applied: 1, entries: [])))
    #expect(
      refuses(Recovered(promised: one, commit: 0, applied: 0, entries: [entry(2, one)])))
    #expect(!refuses(Recovered(promised: one, commit: 1, applied: 0, entries: [entry(1, one)])))
  }

  @Test("a configuration that contradicts itself is refused")
  func impossibleConfigurations() {
    func refuses(_ configuration: Configuration) -> Bool {
      do {
        _ = try Paxos(configuration, seed: 1) { value(0) }
        return false
      } catch { return error.code == .invalidConfiguration }
    }
    let one = NodeID(1)
    #expect(refuses(Configuration(node: NodeID(0), members: [one])))
    #expect(!refuses(Configuration(node: one, members: [NodeID(2)])), "it may join later")
    #expect(refuses(Configuration(node: one, members: [one, one])))
    #expect(refuses(Configuration(node: one, members: [one], window: 0)))
    #expect(
      refuses(Configuration(node: one, members: [one], timing: Timing(heartbeat: 600_000_000))))
    #expect(!refuses(Configuration(node: one, members: [one])))
  }
}
