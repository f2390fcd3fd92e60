import CycladesPaxos
import CycladesSimulator
import Testing

@Suite struct MembershipTests {
  private let four = [1, 2, 3].map { Member(id: NodeID($0)) } + [Member(id: 4, kind: .learner)]

  /// A leader with a window of four slots, whose opening no-op is decided.
  private func leader() throws -> Driver {
    var node = try Driver(window: 4)
    node.lead()
    for peer in 2...3 as ClosedRange<UInt32> {
      _ = node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: 1), from: peer)
    }
    _ = node.wait(1_000_000)
    #expect(node.core.commit == 1)
    return node
  }

  @Test("a change governs from a window behind its slot on, and no-ops bring that about")
  func alphaWindow() throws {
    var node = try leader()
    let (slot, _) = try node.propose(members: four)
    #expect(slot == 2)
    _ = node.sync()
    let effects = node.receive(.accepted(ballot(1, 1), through: 2), from: 2)
    #expect(
      effects.prefix(5) == [
        "apply 2@1.1",
        "members #1: 1 2 3 4 learner from 6",
        "to 2: prepare 1.1 from 6",
        "to 3: prepare 1.1 from 6",
        "to 4: prepare 1.1 from 6",
      ])
    #expect(node.core.last == 5, "no-ops up to the last slot of the old members")
    #expect(node.core.schedule.next?.number == 1)
    #expect(!node.core.canPropose, "the new members have not promised the ballot")
    _ = node.sync()
    _ = node.receive(.accepted(ballot(1, 1), through: 5), from: 2)
    #expect(node.core.schedule.current.number == 1)
    #expect(!node.core.canPropose)
    _ = node.receive(.promise(ballot(1, 1), from: 6, commit: 2, entries: []), from: 2)
    #expect(node.core.canPropose)
  }

  @Test("one change at a time, only by a leader, only to members with a live quorum")
  func refusals() throws {
    func code(_ body: () throws -> Void) -> PaxosError.Code? {
      do {
        try body()
        return nil
      } catch { return (error as? PaxosError)?.code }
    }
    var follower = try Driver(node: 2)
    _ = follower.start()
    #expect(code { _ = try follower.propose(members: four) } == .notLeader)
    var node = try leader()
    #expect(code { _ = try node.propose(members: []) } == .invalidMembership)
    #expect(
      code { _ = try node.propose(members: [Member(id: 1, kind: .witness)]) } == .invalidMembership)
    let strangers = [Member(id: 1), Member(id: 8), Member(id: 9)]
    #expect(code { _ = try node.propose(members: strangers) } == .noLiveQuorum)
    _ = try node.propose(members: four)
    #expect(code { _ = try node.propose(members: four) } == .changePending)
  }

  @Test("what new members tell of lower ballots is proposed again before anything new")
  func inheritedFromNewMembers() throws {
    var node = try leader()
    _ = try node.propose(members: four)
    _ = node.sync()
    _ = node.receive(.accepted(ballot(1, 1), through: 2), from: 2)
    _ = node.sync()
    _ = node.receive(.accepted(ballot(1, 1), through: 5), from: 2)
    _ = node.receive(
      .promise(ballot(1, 1), from: 6, commit: 2, entries: [entry(6, ballot(0, 3), 66)]), from: 3)
    #expect(node.persisted.first { $0.slot == 6 }?.payload.checksum.low == 66)
    #expect(node.core.last == 7, "and a no-op behind it")
  }

  @Test("a learner's acceptance does not decide, and it is made a voter when it keeps up")
  func learner() throws {
    let recovered = Recovered(
      promised: .zero, commit: 0, applied: 0, entries: [],
      schedule: MembershipSchedule(
        current: Membership(
          number: 3, members: [Member(id: 1), Member(id: 2), Member(id: 3, kind: .learner)])))
    var node = try Driver(recovered: recovered, window: 4)
    node.lead()
    _ = node.receive(.accepted(ballot(1, 1), through: 1), from: 3)
    #expect(node.core.commit == 0)
    _ = node.receive(.accepted(ballot(1, 1), through: 1), from: 2)
    #expect(node.core.commit == 1)
    for round in 2..<16 as Range<UInt64> {
      _ = node.wait(Driver.heartbeat)
      for peer in 2...3 as ClosedRange<UInt32> {
        _ = node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: round), from: peer)
      }
    }
    let change = try #require(node.persisted.last?.payload.membership)
    #expect(change.number == 4)
    #expect(change.members.allSatisfy { $0.kind == .voter })
  }

  @Test("the vote of a member counts only from the disk it was pinned to")
  func incarnations() throws {
    let pinned = (1...3 as ClosedRange<UInt32>).map {
      Member(id: NodeID($0), incarnation: UInt64($0) * 100)
    }
    let recovered = Recovered(
      promised: .zero, commit: 0, applied: 0, entries: [],
      schedule: MembershipSchedule(current: Membership(number: 1, members: pinned)))
    var node = try Driver(recovered: recovered, incarnation: 100)
    _ = node.start()
    _ = node.wait(Driver.aeon)
    let yes = Message.canvassReply(granted: true, promised: .zero, commit: 0, token: 1)
    #expect(node.step(.received(yes, from: 2, incarnation: 201)) == [])
    #expect(node.step(.received(yes, from: 2, incarnation: 0)) == [])
    #expect(node.core.role == .follower)
    #expect(node.step(.received(yes, from: 2, incarnation: 200)) != [])
    #expect(node.core.role == .candidate)
    var wiped = try Driver(recovered: recovered, incarnation: 101)
    _ = wiped.start()
    _ = wiped.wait(Driver.aeon)
    _ = wiped.step(.received(yes, from: 2, incarnation: 200))
    _ = wiped.step(.received(yes, from: 3, incarnation: 300))
    #expect(wiped.core.role == .follower, "it lost its disk, and may not stand")
  }

  @Test("a membership and a schedule read back as they were written, and nothing else does")
  func bytes() {
    let members = [
      Member(id: 1, incarnation: .max), Member(id: 9, kind: .witness),
      Member(id: 4, kind: .learner),
    ]
    let membership = Membership(number: 7, members: members)
    #expect(Membership(decoding: membership.encoded) == membership)
    let next = Membership(number: 8, members: Array(members.prefix(1)))
    for schedule in [
      MembershipSchedule(current: membership),
      MembershipSchedule(current: membership, next: next, nextFrom: 99),
    ] {
      let bytes = schedule.encoded
      #expect(MembershipSchedule(decoding: bytes) == schedule)
      for count in bytes.indices {
        #expect(MembershipSchedule(decoding: Array(bytes[..<count])) == nil)
      }
      #expect(MembershipSchedule(decoding: bytes + [0]) == nil)
    }
    var random = SplitMix(seed: 1)
    for _ in 0..<2_000 {
      var bytes = membership.encoded
      bytes[Int(random.next() % UInt64(bytes.count))] ^= UInt8(1 << (random.next() % 8))
      if let other = Membership(decoding: bytes) { #expect(other.encoded == bytes) }
    }
  }

  @Test("a group moves to other nodes one by one, and goes on without the first ones")
  func move() throws {
    var options = SimulationOptions(scenario: .calm, nodes: 3...3, operations: 0)
    options.spares = 3
    let cluster = Cluster(seed: 1, options: options)
    cluster.run(until: 300_000_000)
    for (old, new) in zip(1...3 as ClosedRange<UInt32>, 4...6 as ClosedRange<UInt32>) {
      let leader = try #require(cluster.leader)
      var members = try #require(cluster.nodes[leader].core?.schedule.current.members)
      members.append(cluster.member(Int(new) - 1, .learner))
      #expect(cluster.propose(membership: members, on: leader))
      cluster.run(until: cluster.now + 2_000_000_000)
      members = try #require(cluster.nodes[leader].core?.schedule.current.members)
      #expect(members.last?.kind == .voter, "promoted by the leader itself")
      members.removeAll { $0.id.rawValue == old }
      #expect(cluster.propose(membership: members, on: leader))
      cluster.run(until: cluster.now + 4_000_000_000)
    }
    for old in 0..<3 { cluster.crash(old) }
    let leader = try #require(cluster.leader)
    #expect(leader >= 3)
    #expect(cluster.propose(on: leader) != nil)
    cluster.run(until: cluster.now + 500_000_000)
    #expect(cluster.failure == nil)
    #expect(cluster.haveConverged([3, 4, 5]))
  }
}
