public import CycladesPaxos
import Logging

// Joining groups and leaving them, and changing who their members are.

extension ReplicaHost {
  /// Proposes other members of a group that this node leads; they take effect when the membership
  /// of the group's status names them.
  ///
  /// New members start as `.learner`: the leader makes them voters when they have caught up. They
  /// begin to hold the group when they first hear from its leader, so they must be known as peers.
  /// - Throws: `notDone`, with the reason; nothing has changed then.
  public func propose(members: [Member], of group: UInt32) throws(ReplicationError) {
    try lead(group) { (replica) throws(PaxosError) in try replica.propose(members: members) }
  }

  /// Starts to hand a group that this node leads over to another member, which takes over when it
  /// has everything; if it cannot, this node goes on.
  /// - Throws: `notDone`, with the reason; nothing has changed then.
  public func transferLeadership(of group: UInt32, to node: NodeID) throws(ReplicationError) {
    try lead(group) { (replica) throws(PaxosError) in try replica.transferLeadership(to: node) }
  }

  private func lead(
    _ group: UInt32, _ body: (Group) throws(PaxosError) -> Void
  ) throws(ReplicationError) {
    guard group < UInt32(replicas.count), let replica = member(Int(group)), replica.leads else {
      throw ReplicationError(.notDone, "this node does not lead group \(group)")
    }
    do {
      try body(replica)
    } catch {
      throw ReplicationError(.notDone, "group \(group): \(error)")
    }
    storage.flush()
  }

  func membershipChanged(_ group: Int, _ membership: Membership) {
    logger.info(
      "members decided", metadata: ["group": "\(group)", "members": "\(membership)"])
    for member in membership.members where member.incarnation != 0 {
      do {
        try folder.remember(member.id, incarnation: member.incarnation)
      } catch {
        return logFailed(error)
      }
    }
    delegate?.leadershipChanged(UInt32(group))
  }

  /// Begins to hold a group, because a leader takes this node for a member.
  func join(_ group: Int, _ kind: WireHeader.Kind) -> Group? {
    guard kind == .heartbeat || kind == .accept, replicas[group] == nil,
      !storage.isDropping(group)
    else { return nil }
    var found = RecoveredGroup(index: SlotIndex())
    found.promised = storage.promised[group]
    found.forgotten = storage.forgotten[group]
    do {
      replicas[group] = try makeReplica(group, nil, found, segments: [])
    } catch {
      logger.error("cannot hold a group", metadata: ["group": "\(group)", "error": "\(error)"])
      return nil
    }
    logger.info("joining a group", metadata: ["group": "\(group)"])
    startReplica(group)
    return replicas[group]
  }

  /// Lets go of a group that this node is no member of any more: its replica, when all that it wrote
  /// is durable, then its snapshot.
  func leave(_ group: Int) {
    guard let replica = replicas[group] else { return }
    replica.isLeaving = true
    logger.info("leaving a group", metadata: ["group": "\(group)"])
    storage.append(dropOf: group, behind: replica.core.applied)
    couriers[group].turnedAway()
  }

  /// Hears that the state of a group's replica here is not what others have.
  func stateDiffers(_ group: Int, behind slot: Slot, isOutvoted: Bool) {
    let metadata: Logger.Metadata = ["group": "\(group)", "slot": "\(slot)"]
    if isOutvoted {
      audits.begunAnew += 1
      logger.critical(
        "the state of a replica is not what a quorum has, it is begun anew", metadata: metadata)
    } else {
      audits.undecided += 1
      logger.critical(
        "the states of a group's replicas differ, and no quorum has the same", metadata: metadata)
    }
  }

  /// Drops a replica, log and snapshot and all but its promises; the next word of the group's leader
  /// makes another one, which gets its state from a peer and has no vote until it has caught up.
  func beginAnew(_ group: Int) {
    guard let replica = replicas[group] else { return }
    replica.isLeaving = true
    storage.append(dropOf: group, behind: replica.core.last)
    couriers[group].turnedAway()
  }

  /// Makes peers whose data folder was lost members anew, as learners, in the groups led here.
  func replaceDisks() {
    guard now >= disksCheckedAt + 500_000_000 else { return }
    disksCheckedAt = now
    for group in replicas.indices {
      guard let replica = member(group), replica.leads else { continue }
      var members = replica.core.schedule.newest.members
      for index in members.indices {
        guard let incarnation = disks.replacement(of: members[index], now: now),
          links[members[index].id]?.isReady == true
        else { continue }
        members[index].incarnation = incarnation
        if members[index].kind == .voter { members[index].kind = .learner }
        do {
          try propose(members: members, of: UInt32(group))
          logger.notice(
            "a peer lost its data folder, it is made a member anew",
            metadata: ["group": "\(group)", "peer": "\(members[index].id)"])
        } catch {
          // Another change is under way, or too few are there: it will be tried again.
          logger.debug("member not replaced", metadata: ["error": "\(error)"])
        }
        break
      }
    }
  }
}
