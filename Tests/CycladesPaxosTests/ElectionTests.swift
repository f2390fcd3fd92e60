import CycladesPaxos
import Testing

@Suite struct ElectionTests {
  @Test("a candidate canvasses, promises itself, prepares, and opens its ballot with a no-op")
  func wholeElection() throws {
    var node = try Driver()
    #expect(node.start() == [])
    #expect(
      node.wait(Driver.aeon) == ["to 2: canvass commit 0", "to 3: canvass commit 0"])
    #expect(
      node.receive(
        .canvassReply(granted: true, promised: ballot(4, 3), commit: 0, token: 1), from: 3)
        == [
          "write promise 5.1 #1",
          "to 2: prepare 5.1 from 1 after #1",
          "to 3: prepare 5.1 from 1 after #1",
          "candidate in 5.1, leader unknown",
        ])
    #expect(
      node.receive(.promise(ballot(5, 1), from: 1, commit: 0, entries: []), from: 2) == [],
      "its own promise is not durable yet")
    #expect(
      node.sync() == [
        "write 1@5.1 no-op #2",
        "to 2: accept 1@5.1 commit 0",
        "to 3: accept 1@5.1 commit 0",
        "to 2: heartbeat 5.1 commit 0 last 1 round 1",
        "to 3: heartbeat 5.1 commit 0 last 1 round 1",
        "leader in 5.1, leader 1",
      ])
  }

  @Test("a node that still hears the leader denies a canvass")
  func liveLeaderIsKept() throws {
    var node = try Driver(node: 2)
    _ = node.start()
    _ = node.receive(.heartbeat(ballot(1, 1), commit: 0, last: 0, round: 1), from: 1)
    #expect(
      node.receive(.canvass(commit: 9, token: 4), from: 3)
        == ["to 3: canvass no promised 1.1 commit 0"])
    _ = node.wait(600_000_000)
    #expect(
      node.receive(.canvass(commit: 9, token: 5), from: 3)
        == ["to 3: canvass yes promised 1.1 commit 0"])
  }

  @Test("a candidate that has decided less is denied, and fetches what it lacks")
  func laggardFetchesFirst() throws {
    var node = try Driver()
    _ = node.start()
    _ = node.wait(Driver.aeon)
    #expect(
      node.receive(.canvassReply(granted: false, promised: .zero, commit: 5, token: 1), from: 2)
        == ["to 2: fetch from 1"])
    #expect(node.core.role == .follower)
  }

  @Test("an answer to an earlier canvass does not count")
  func staleCanvassReply() throws {
    var node = try Driver()
    _ = node.start()
    _ = node.wait(Driver.aeon)
    _ = node.wait(Driver.aeon)
    #expect(
      node.receive(.canvassReply(granted: true, promised: .zero, commit: 0, token: 1), from: 2)
        == [])
  }

  @Test("of two accepted values the one of the higher ballot is proposed again, gaps become no-ops")
  func highestBallotWins() throws {
    let recovered = Recovered(
      promised: ballot(3, 3), commit: 0, applied: 0,
      entries: [entry(1, ballot(3, 3), 31), entry(2, ballot(1, 1), 12)])
    var node = try Driver(recovered: recovered)
    _ = node.start()
    _ = node.wait(Driver.aeon)
    _ = node.receive(.canvassReply(granted: true, promised: .zero, commit: 0, token: 1), from: 2)
    _ = node.sync()
    _ = node.receive(
      .promise(
        node.core.ballot, from: 1, commit: 0,
        entries: [
          entry(1, ballot(2, 2), 21), entry(2, ballot(2, 2), 22), entry(3, ballot(2, 2), 23),
        ]),
      from: 2)
    #expect(node.core.role == .leader)
    #expect(node.persisted.map(\.payload.checksum.low) == [31, 22, 23, 0])
    #expect(node.persisted.allSatisfy { $0.ballot == ballot(4, 1) })
    #expect(node.persisted.last?.payload.isNoop == true)
  }

  @Test("a leader that hears no quorum for an election timeout steps down and refuses reads")
  func leaderWithoutQuorum() throws {
    var node = try Driver()
    node.lead()
    _ = node.step(.read(id: 9))
    let effects = node.wait(600_000_000)
    #expect(effects.contains("read 9 refused"))
    #expect(effects.last == "follower in 1.1, leader unknown")
    #expect(!node.core.canPropose)
  }

  @Test("a leader whose disk makes no progress steps down, though its peers answer")
  func stalledDisk() throws {
    var node = try Driver()
    node.lead()
    _ = node.propose(1)
    for round in 1..<43 {
      _ = node.receive(.heartbeatReply(ballot(1, 1), through: 1, round: UInt64(round)), from: 2)
      #expect(node.core.role == .leader || round > 39)
      _ = node.wait(Driver.heartbeat)
    }
    #expect(node.core.role == .follower)
  }

  @Test("a deposed leader cannot commit")
  func deposedLeader() throws {
    var node = try Driver()
    node.lead()
    let slot = try #require(node.propose(1).slot)
    #expect(
      node.receive(.prepare(ballot(2, 2), from: 1), from: 2).suffix(2) == [
        "to 2: promise 2.2 commit 0 [1@1.1 2@1.1] after #4", "follower in 2.2, leader unknown",
      ])
    _ = node.sync()
    _ = node.receive(.accepted(ballot(1, 1), through: slot), from: 2)
    _ = node.receive(.accepted(ballot(1, 1), through: slot), from: 3)
    #expect(node.core.commit == 0)
  }

  @Test("a group of one elects itself, and decides only what its own disk holds")
  func alone() throws {
    var node = try Driver(members: [1])
    _ = node.start()
    _ = node.wait(Driver.aeon)
    #expect(node.core.role == .candidate)
    _ = node.sync()
    #expect(node.core.role == .leader)
    #expect(node.core.commit == 0)
    _ = node.sync()
    #expect(node.core.commit == 1)
    _ = node.propose(1)
    #expect(node.core.commit == 1)
    #expect(node.sync() == ["apply 2@1.1"])
    #expect(node.step(.read(id: 3)) == ["read 3 ready"])
  }

  @Test("a candidate that is refused for a higher ballot goes above it the next time")
  func refusedCandidate() throws {
    var node = try Driver()
    _ = node.start()
    _ = node.wait(Driver.aeon)
    _ = node.receive(.canvassReply(granted: true, promised: .zero, commit: 0, token: 1), from: 2)
    _ = node.receive(.reject(round: 1, promised: ballot(7, 2), commit: 0), from: 2)
    #expect(node.core.role == .follower)
    _ = node.sync()
    #expect(node.core.ballot == ballot(1, 1), "a ballot heard of second hand is not adopted")
    _ = node.wait(Driver.aeon)
    _ = node.receive(
      .canvassReply(granted: true, promised: ballot(7, 2), commit: 0, token: 2), from: 2)
    #expect(node.core.ballot == ballot(8, 1))
  }
}
