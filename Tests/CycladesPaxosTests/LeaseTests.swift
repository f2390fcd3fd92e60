import CycladesPaxos
import CycladesSimulator
import Testing

@Suite struct LeaseTests {
  private static let lease = Lease(duration: 400_000_000, maximumDrift: 50)

  /// A leader whose opening no-op is decided, and whose first round of heartbeats node 2 echoed.
  private func leader(_ lease: Lease? = lease) throws -> Driver {
    var node = try Driver(lease: lease)
    node.lead()
    _ = node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: 1), from: 2)
    #expect(node.core.commit == 1)
    return node
  }

  @Test("a leader answers by its lease at once, and asks a quorum when the lease may be over")
  func readByLease() throws {
    var node = try leader()
    let usable = Self.lease.duration * 950 / 1050 - 1_000
    #expect(node.step(.read(id: 1, now: node.now + usable)) == ["read 1 ready"])
    #expect(
      node.step(.read(id: 2, now: node.now + usable + 2_000)) == [
        "to 2: heartbeat 1.1 commit 1 last 1 round 2",
        "to 3: heartbeat 1.1 commit 1 last 1 round 2",
      ])
  }

  @Test("without a lease, or without a fresh clock, a quorum is asked")
  func noLease() throws {
    var without = try leader(nil)
    #expect(!without.step(.read(id: 1, now: without.now)).contains("read 1 ready"))
    var blind = try leader()
    #expect(!blind.step(.read(id: 1)).contains("read 1 ready"))
  }

  @Test("who echoed a heartbeat promises nobody else for as long, counted from its next tick")
  func bound() throws {
    var node = try Driver(node: 2, lease: Self.lease)
    _ = node.start()
    _ = node.wait(Self.lease.duration)
    _ = node.receive(.heartbeat(ballot(1, 1), commit: 0, last: 0, round: 1), from: 1)
    _ = node.sync()
    let prepare = Message.prepare(ballot(2, 3), from: 1)
    #expect(node.receive(prepare, from: 3) == [])
    _ = node.wait(1_000_000_000)
    #expect(node.receive(prepare, from: 3) == [], "the clock was read for the first time since")
    _ = node.wait(Self.lease.duration - 1)
    #expect(node.receive(prepare, from: 3) == [])
    _ = node.wait(1)
    #expect(node.receive(prepare, from: 3).contains("write promise 2.3 #2"))
  }

  @Test("a restarted replica supposes that it is bound")
  func restart() throws {
    let recovered = Recovered(promised: ballot(1, 1), commit: 0, applied: 0, entries: [])
    var node = try Driver(node: 2, recovered: recovered, lease: Self.lease)
    _ = node.start()
    #expect(node.receive(.prepare(ballot(2, 3), from: 1), from: 3) == [])
    _ = node.wait(Self.lease.duration)
    #expect(node.receive(.prepare(ballot(2, 3), from: 1), from: 3) != [])
  }

  @Test("a leader that handed over answers by no lease, and its followers are free for the heir")
  func handover() throws {
    var node = try leader()
    _ = node.sync()
    #expect(try node.transfer(to: 2).contains("to 2: stand after 1.1"))
    #expect(!node.step(.read(id: 1, now: node.now)).contains("read 1 ready"))
    var follower = try Driver(node: 3, lease: Self.lease)
    _ = follower.start()
    _ = follower.wait(Self.lease.duration)
    _ = follower.receive(.heartbeat(ballot(1, 1), commit: 0, last: 0, round: 1), from: 1)
    #expect(follower.receive(.prepare(ballot(2, 2), from: 1), from: 2) == [])
    #expect(
      follower.receive(.prepare(ballot(2, 2), from: 1, after: ballot(1, 1)), from: 2)
        .contains("write promise 2.2 #2"))
  }

  @Test("a change of the members ends the lease until they have echoed")
  func membership() throws {
    var node = try leader()
    _ = node.wait(1_000_000)
    _ = try node.propose(
      members: [1, 2, 3].map { Member(id: NodeID($0)) } + [Member(id: 4, kind: .learner)])
    #expect(node.step(.read(id: 1, now: node.now)) == ["read 1 ready"])
    _ = node.sync()
    _ = node.receive(.accepted(ballot(1, 1), through: 2), from: 2)
    #expect(!node.step(.read(id: 2, now: node.now)).contains("read 2 ready"))
  }
}

@Suite struct FollowerReadTests {
  /// A follower of node 1 that has applied two slots.
  private func follower() throws -> Driver {
    var node = try Driver(node: 2)
    _ = node.start()
    for slot in 1...2 as ClosedRange<Slot> {
      _ = node.receive(.accept(entry(slot, ballot(1, 1))), from: 1)
    }
    _ = node.sync()
    _ = node.receive(.heartbeat(ballot(1, 1), commit: 2, last: 2, round: 1), from: 1)
    #expect(node.core.commit == 2)
    return node
  }

  private func token(_ driver: inout Driver, read id: UInt64) throws -> UInt64 {
    var effects: [Effect] = []
    driver.core.step(.readHere(id: id), into: &effects)
    for case .send(.readIndex(let token), let node, _) in effects where node == NodeID(1) {
      return token
    }
    throw PaxosTestError.noQuestion
  }

  @Test("a follower asks the leader, and answers when it has applied what it must")
  func ask() throws {
    var node = try follower()
    let token = try token(&node, read: 7)
    #expect(node.receive(.readIndexReply(token: token, slot: 3), from: 1) == [])
    _ = node.receive(.accept(entry(3, ballot(1, 1))), from: 1)
    #expect(
      node.receive(.heartbeat(ballot(1, 1), commit: 3, last: 3, round: 2), from: 1)
        .filter { !$0.hasPrefix("to ") } == ["apply 3@1.1", "read 7 ready"])
  }

  @Test("an answer to an earlier question is not taken for that of a later one")
  func tokens() throws {
    var node = try follower()
    let first = try token(&node, read: 1)
    _ = node.wait(600_000_000)
    _ = node.receive(.heartbeat(ballot(1, 1), commit: 2, last: 2, round: 2), from: 1)
    let second = try token(&node, read: 2)
    #expect(first != second)
    #expect(node.receive(.readIndexReply(token: first, slot: 1), from: 1) == [])
    #expect(node.receive(.readIndexReply(token: second, slot: 2), from: 1) == ["read 2 ready"])
  }

  @Test("reads that come while a question is open wait for the next one")
  func batches() throws {
    var node = try follower()
    let first = try token(&node, read: 1)
    #expect(node.step(.readHere(id: 2)) == [])
    #expect(
      node.receive(.readIndexReply(token: first, slot: 2), from: 1)
        == ["to 1: read index?", "read 1 ready"])
  }

  @Test("without an answer, or without a leader, the read is refused")
  func refusals() throws {
    var node = try follower()
    _ = try token(&node, read: 1)
    #expect(node.wait(600_000_000).contains("read 1 refused"))
    #expect(node.step(.readHere(id: 2)) == ["read 2 refused"])
  }

  @Test("the leader confirms itself before it answers")
  func leader() throws {
    var node = try Driver()
    node.lead()
    _ = node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: 1), from: 2)
    #expect(
      node.receive(.readIndex(token: 5), from: 3).allSatisfy { $0.contains("heartbeat") })
    #expect(
      node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: 2), from: 2)
        .contains("to 3: read index 1"))
  }
}

enum PaxosTestError: Error { case noQuestion }
