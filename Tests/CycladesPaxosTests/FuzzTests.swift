import CycladesPaxos
import Testing

@Suite struct FuzzTests {
  @Test("no sequence of well-formed messages traps, and slots are applied once and in order")
  func hostileMessages() throws {
    for seed in 1...40 { try run(seed: UInt64(seed), steps: 1_500) }
  }

  private func run(seed: UInt64, steps: Int) throws {
    var random = SplitMix(seed: seed)
    let members = [1, 2, 3].map { NodeID($0) }
    let configuration = Configuration(
      node: NodeID(1), members: members, window: 8, maximumReads: 4,
      lease: seed % 2 == 0 ? Lease() : nil)
    var core = try Paxos(
      configuration, seed: seed, makeMembership: { value(1, membership: $0) },
      makeNoop: { value(0, isNoop: true) })
    var effects: [Effect] = []
    var now: UInt64 = 0
    var token: UInt64 = 0
    var applied: Slot = 0
    var waiting: Set<UInt64> = []
    core.start(now: now, into: &effects)
    for step in 0..<UInt64(steps) {
      if applied > 0, random.next() % 4 == 0 {
        core.noteState(random.next() % 3, behind: applied, into: &effects)
      }
      switch random.next() % 10 {
      case 0 where step % 8 == 0:
        if step % 16 == 0 {
          core.step(.compacted(through: random.next() % (core.compactable + 1)), into: &effects)
        } else {
          let slot = core.commit + random.next() % 12
          let isInstallable = core.canInstall(through: slot)
          core.step(.installed(through: slot), into: &effects)
          if isInstallable { applied = slot }
        }
      case 0:
        now += random.next() % 200_000_000
        core.step(.tick(now: now), into: &effects)
      case 1: core.step(.persisted(token: token), into: &effects)
      case 2: _ = core.propose(value(step), into: &effects)
      case 3:
        waiting.insert(step)
        let isHere = random.next() % 2 == 0
        core.step(isHere ? .readHere(id: step) : .read(id: step, now: now), into: &effects)
      case 4: core.step(.connected(NodeID(UInt32(random.next() % 5))), into: &effects)
      default:
        let sender = NodeID(UInt32(random.next() % 5))
        let incarnation = random.next() % 3
        let message = anyMessage(near: core, &random)
        core.step(.received(message, from: sender, incarnation: incarnation), into: &effects)
      }
      for effect in effects {
        switch effect {
        case .persistPromise(_, let new), .persistEntry(_, let new):
          #expect(new == token + 1)
          token = new
        case .apply(let entry):
          #expect(entry.slot == applied + 1)
          applied = entry.slot
        case .readReady(let id), .readRefused(let id):
          #expect(waiting.remove(id) != nil, "a read is answered once")
        case .provide(_, let from, let through): #expect(from <= through && through <= core.commit)
        case .provideSnapshot(let node):
          #expect(node != configuration.node && core.compacted > 0)
        case .membershipChanged(let membership, let from):
          #expect(from > core.commit && membership == core.schedule.next)
        case .send(_, let node, let after):
          #expect(node != configuration.node && node.rawValue != 0, "\(effect)")
          #expect(after ?? 0 <= token)
        case .stateDiffers(let slot, _): #expect(slot <= core.commit)
        case .roleChanged: break
        }
      }
      effects.removeAll(keepingCapacity: true)
      #expect(core.commit == applied)
    }
  }

  /// Numbers near the core's own, where they may do harm, and some that are far out.
  private func anyMessage(near core: Paxos, _ random: inout SplitMix) -> Message {
    func anySlot(_ random: inout SplitMix) -> Slot {
      if random.next() % 32 == 0 { return .max - random.next() % 3 }
      let base = random.next() % 2 == 0 ? core.commit : core.last
      return base &+ random.next() % 8 &- 3
    }
    func anyBallot(_ random: inout SplitMix) -> Ballot {
      let node = NodeID(UInt32(random.next() % 4))
      if random.next() % 32 == 0 { return Ballot(round: .max, node: node) }
      if random.next() % 4 == 0 { return core.ballot }
      let round = core.ballot.round &+ random.next() % 4
      return Ballot(round: round > 0 ? round - 1 : 0, node: node)
    }
    func anyRange(_ random: inout SplitMix) -> ClosedRange<Slot>? {
      guard random.next() % 3 == 0 else { return nil }
      let first = anySlot(&random)
      return first...max(first, first &+ random.next() % 5)
    }
    func anyValue(_ random: inout SplitMix) -> Payload {
      guard random.next() % 8 == 0 else { return value(random.next()) }
      let members = (0...random.next() % 4).map { _ in
        Member(
          id: NodeID(UInt32(random.next() % 5)), incarnation: random.next() % 3,
          kind: Member.Kind.allCases[Int(random.next() % 4)])
      }
      let number = core.schedule.current.number &+ UInt32(random.next() % 3)
      return value(1, membership: Membership(number: number, members: members))
    }
    func anyEntries(_ random: inout SplitMix) -> [Entry] {
      var slot = anySlot(&random)
      return (0..<random.next() % 6).map { _ in
        defer { slot = random.next() % 16 == 0 ? anySlot(&random) : slot &+ 1 }
        return Entry(
          slot: slot, ballot: anyBallot(&random), commit: slot &- (random.next() % 3),
          payload: anyValue(&random))
      }
    }
    switch random.next() % 18 {
    case 0: return .canvass(commit: anySlot(&random), token: random.next() % 20)
    case 1:
      return .canvassReply(
        granted: random.next() % 2 == 0, promised: anyBallot(&random), commit: anySlot(&random),
        token: random.next() % 20)
    case 2:
      let handover = random.next() % 2 == 0 ? anyBallot(&random) : nil
      return .prepare(anyBallot(&random), from: anySlot(&random), after: handover)
    case 3, 4:
      return .promise(
        anyBallot(&random), from: core.commit + 1, commit: anySlot(&random),
        entries: anyEntries(&random), unknown: anyRange(&random))
    case 5:
      return .reject(
        round: core.ballot.round, promised: anyBallot(&random), commit: anySlot(&random))
    case 6, 7:
      let slot = anySlot(&random)
      return .accept(
        Entry(
          slot: slot, ballot: anyBallot(&random), commit: slot &- (random.next() % 3),
          payload: anyValue(&random)))
    case 8: return .accepted(anyBallot(&random), through: anySlot(&random))
    case 9:
      return .heartbeat(
        anyBallot(&random), commit: anySlot(&random), last: anySlot(&random),
        round: random.next() % 20)
    case 10:
      return .heartbeatReply(
        anyBallot(&random), through: anySlot(&random), round: random.next() % 20)
    case 14: return .readIndex(token: random.next() % 20)
    case 15: return .readIndexReply(token: random.next() % 20, slot: anySlot(&random))
    case 16:
      return .audit(
        anyBallot(&random), slot: anySlot(&random), digest: random.next() % 3,
        isVerdict: random.next() % 2 == 0)
    case 17:
      return .auditReply(anyBallot(&random), slot: anySlot(&random), digest: random.next() % 3)
    case 11: return .stand(anyBallot(&random))
    case 12: return .fetch(from: anySlot(&random))
    default: return .learn(anyEntries(&random))
    }
  }
}
