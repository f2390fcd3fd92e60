package import CycladesPaxos

// The operator of the cluster, who adds, removes and replaces nodes, hands the leadership around, and
// loses disks; and the model of who governs which slot.

extension Cluster {
  /// Who governs a slot, by what is decided.
  func governors(of slot: Slot) -> Membership {
    eras.last { $0.from <= slot }!.membership
  }

  /// Whether a node is a member by its present disk.
  func isMember(_ index: Int, of membership: Membership) -> Bool {
    membership.members.contains { isBacked($0, by: index) }
  }

  /// Those of some nodes that are members for good.
  func members(of indices: [Int]) -> [Int] {
    indices.filter { isMember($0, of: schedule.newest) }
  }

  private func isBacked(_ member: Member, by index: Int) -> Bool {
    member.id == nodes[index].id
      && (member.incarnation == 0 || member.incarnation == nodes[index].incarnation)
  }

  /// The first members, half of the time with their disks.
  func initialMembership() -> Membership {
    Membership(
      number: 0,
      members: nodes.prefix(swarm.nodes + swarm.observers).map {
        let isVoter = $0.id.rawValue <= swarm.nodes
        return Member(
          id: $0.id, incarnation: swarm.isPinned ? $0.incarnation : 0,
          kind: isVoter ? .voter : .observer)
      })
  }

  /// Takes note of what a decided slot says about members.
  func noteMembership(_ command: Command, in slot: Slot) {
    if let membership = command.membership,
      schedule.decide(membership, in: slot, window: swarm.window)
    {
      eras.append((schedule.nextFrom, membership))
      statistics.changes += 1
      trace.note(at: now, "members \(membership) from \(schedule.nextFrom) on")
    }
    _ = schedule.advance(behind: slot)
  }

  /// How many members that vote on a slot have, or had, its value on the disk they vote with.
  func holders(of entry: Entry) -> Int {
    governors(of: entry.slot).members.count { member in
      let node = nodes[Int(member.id.rawValue) - 1]
      return member.kind.votes
        && (node.forgotten >= entry.slot
          || node.disk(of: member)?.holds(entry.payload, in: entry.slot) ?? false)
    }
  }

  // MARK: The operator

  /// Asks the leader for some change that makes sense, or for nothing.
  func operate() {
    guard
      let leader = nodes.indices.filter({ nodes[$0].core?.role == .leader }).randomElement(
        using: &random), nodes[leader].pausedUntil <= now
    else { return }
    if random.chance(300) {
      transfer(from: leader)
    } else {
      changeMembers(at: leader)
    }
  }

  private func transfer(from leader: Int) {
    let node = nodes[leader]
    let target = nodes[random.index(below: nodes.count)].id
    do {
      try node.core!.transferLeadership(to: target, into: &node.effects)
      trace.note(at: now, "\(node.id) hands over to \(target)")
      statistics.transfers += 1
    } catch {
      return
    }
    perform(leader)
  }

  private func changeMembers(at leader: Int) {
    let node = nodes[leader]
    var members = node.core!.schedule.newest.members
    if let lost = members.indices.first(where: {
      !isBacked(members[$0], by: Int(members[$0].id.rawValue) - 1)
    }) {
      // The member lost its disk: what is behind its name now must begin as a learner.
      let index = Int(members[lost].id.rawValue) - 1
      members[lost].incarnation = nodes[index].incarnation
      members[lost].kind = .learner
    } else {
      change(&members)
    }
    do {
      _ = try node.core!.propose(membership: members, into: &node.effects)
      trace.note(at: now, "\(node.id) proposes \(members)")
    } catch {
      return
    }
    perform(leader)
  }

  private func change(_ members: inout [Member]) {
    let strangers = nodes.filter { node in !members.contains { $0.id == node.id } }
    if random.chance(swarm.turnover) {
      for index in members.indices {
        members[index].kind = members[index].kind == .voter ? .observer : .voter
      }
      return
    }
    switch random.next() % 7 {
    case 0, 1, 2:
      guard let stranger = strangers.randomElement(using: &random) else { return }
      let kind: Member.Kind =
        random.chance(700) ? .learner : random.chance(500) ? .observer : .witness
      members.append(Member(id: stranger.id, incarnation: stranger.incarnation, kind: kind))
    case 3: if members.count > 1 { members.remove(at: random.index(below: members.count)) }
    case 4: members.shuffle(using: &random)
    case 5:
      // Whatever the operator likes, as long as someone can lead.
      members = nodes.filter { _ in random.chance(600) }.map {
        Member(id: $0.id, incarnation: $0.incarnation, kind: random.chance(800) ? .voter : .learner)
      }
    default:
      let index = random.index(below: members.count)
      members[index].kind = members[index].kind == .voter ? .witness : .voter
    }
  }

  /// A node as a member with its present disk.
  package func member(_ index: Int, _ kind: Member.Kind) -> Member {
    Member(id: nodes[index].id, incarnation: nodes[index].incarnation, kind: kind)
  }

  /// Proposes a membership, as a test does; false when the node refuses.
  package func propose(membership members: [Member], on index: Int) -> Bool {
    let node = nodes[index]
    guard (try? node.core?.propose(membership: members, into: &node.effects)) != nil else {
      return false
    }
    perform(index)
    return true
  }

  // MARK: Lost disks and damaged records

  /// Empties the disk of a node, if the group can afford it: all others of all memberships in
  /// question must have theirs, and know of whom they may take a vote.
  func wipe(_ index: Int) {
    let lost = eras.contains { era in
      era.membership.members.contains { member in
        let holder = Int(member.id.rawValue) - 1
        return member.incarnation == 0 || holder == index && eras.count > 1 && !isNewest(era.from)
          || !isBacked(member, by: holder) && isNewest(era.from)
      }
    }
    guard !lost, schedule.next == nil, schedule.current.number == newestProposed,
      schedule.current.members.count(where: \.kind.votes) >= 3,
      nodes.allSatisfy({ !$0.disk.isDamaged && $0.disk.commit + 1 >= eras.last!.from })
    else { return }
    crash(index)
    nodes[index].lostDisks[nodes[index].incarnation] = nodes[index].disk
    nodes[index].disk = Disk()
    nodes[index].incarnation += 1
    statistics.wipes += 1
    trace.note(at: now, "\(nodes[index].id) lost its disk")
    schedule(.restart(node: index), after: random.uniform(0...1_000_000_000))
  }

  /// Damages records of a stopped node, as a test does.
  package func damage(_ index: Int, slots: Set<Slot>) {
    precondition(!nodes[index].isUp)
    nodes[index].disk.damage = slots
  }

  private func isNewest(_ from: Slot) -> Bool { eras.last!.from == from }

  /// Lets a stretch of the log of a stopped node rot, where enough others have theirs.
  func rot(_ index: Int) {
    let disk = nodes[index].disk
    guard !nodes[index].isUp, !disk.isDamaged, disk.last > disk.base, eras.count == 1,
      statistics.wipes == 0
    else { return }
    let isDeep = random.chance(400) && disk.commit > disk.base
    let last = isDeep ? min(disk.last, disk.commit) : disk.last
    let from =
      isDeep
      ? random.uniform(disk.base + 1...last)
      : max(disk.base + 1, disk.last - min(disk.last, random.next() % 12))
    let end = min(last, from + random.next() % 4)
    let voters = nodes.prefix(swarm.nodes)
    for slot in from...end {
      if isDeep {
        // One other that has it, and knows that it is decided, is enough to repair all.
        guard voters.contains(where: { $0 !== nodes[index] && $0.disk.vouches(for: slot) }) else {
          return
        }
      } else {
        let damaged = voters.count { $0.disk.damage.contains(slot) }
        guard damaged + 1 <= voters.count - governors(of: slot).quorum else { return }
      }
    }
    nodes[index].disk.damage = Set(from...end)
    statistics.damaged += Int(end - from) + 1
    trace.note(at: now, "\(nodes[index].id) slots \(from)...\(end) rot")
  }
}
