import CycladesReplication
import CycladesStore
import CycladesTransport

extension Client {
  /// Sends a data command to the shard or shards that hold its keys; false when it must wait.
  func route(_ command: Command, _ arguments: borrowing Arguments) -> Bool {
    if command.isBlocking { return pop(command, arguments) }
    if port == .cluster, command.keys != nil {
      return routeInCluster(command, arguments)
    }
    switch node.shards.route(command, arguments, session.version) {
    case .shard(let shard):
      return submit(command, arguments, to: UInt32(shard))
    case .parts(let parts, let join):
      return split(command, arguments, parts, join)
    case .everyShard(let join):
      return spread(command, arguments, join)
    case .packed(let shard, let query):
      return submit(isReadOnly: true, to: UInt32(shard)) { query } != nil
    case .crossSlot:
      answer { Refusals.crossShard(&$0) }
      return true
    case .server:
      preconditionFailure("a server command is not routed")
    }
  }

  /// As a node of a Redis cluster: all keys in one slot, and MOVED for what another node leads.
  private func routeInCluster(_ command: Command, _ arguments: borrowing Arguments) -> Bool {
    guard let group = clusterGroup(command, arguments) else { return true }
    return submit(command, arguments, to: group)
  }

  /// The group to which a command on the cluster port may be submitted here; when there is none, the
  /// client is told whom to ask.
  func clusterGroup(_ command: Command, _ arguments: borrowing Arguments) -> UInt32? {
    guard let slot = ShardMap.commonSlot(command, arguments) else {
      answer { Refusals.crossSlot(&$0) }
      return nil
    }
    let group = UInt32(node.shards.shard(of: slot))
    // After READONLY a client may read anywhere; the read is linearizable all the same.
    if session.isReadOnly, command.isReadOnly { return group }
    return isLedElsewhere(group, slot) ? nil : group
  }

  /// Whether another node, or none, leads a group; the client is told whom to ask.
  ///
  /// While the leader is about to change, or has not said yet where clients reach it, what is
  /// submitted here gets to it.
  func isLedElsewhere(_ group: UInt32, _ slot: KeySlot) -> Bool {
    guard let leader = node.host.leader(of: group) else {
      if node.handovers.isUnderWay(group, node.reactor.now) { return false }
      answer { Refusals.noLeader(&$0) }
      return true
    }
    guard leader != node.id, let address = node.directory.address(of: leader, for: .cluster) else {
      return false
    }
    answer { Refusals.moved(to: address, slot: slot, &$0) }
    return true
  }

  private func submit(
    _ command: Command, _ arguments: borrowing Arguments, to group: UInt32
  ) -> Bool {
    let passage = order.passage(for: group, isReadOnly: command.isReadOnly)
    guard passage != .hold else {
      pauseReading(.reads(group: group))
      return false
    }
    let duty = ReplyQueue.Duty(
      group: group, isWrite: passage == .write, byteCount: PackedCommand.byteCount(arguments))
    let context = Ticket(sequence: replies.expect(duty)).context(of: connection)
    began(duty)
    node.host.submit(command, arguments, session.version, duty, context)
    return true
  }

  /// Submits packed bytes; the number of the reply, or `nil` when the client must wait.
  func submit(
    isReadOnly: Bool, to group: UInt32, _ packed: () -> [UInt8]
  ) -> UInt64? {
    let passage = order.passage(for: group, isReadOnly: isReadOnly)
    guard passage != .hold else {
      pauseReading(.reads(group: group))
      return nil
    }
    let bytes = packed()
    let duty = ReplyQueue.Duty(group: group, isWrite: passage == .write, byteCount: bytes.count)
    let sequence = replies.expect(duty)
    began(duty)
    let context = Ticket(sequence: sequence).context(of: connection)
    if duty.isWrite {
      node.host.write(group, context, bytes.rawSpan)
    } else {
      node.host.read(group, context, bytes.rawSpan)
    }
    return sequence
  }

  /// Sends each shard its share of a command over keys of several shards.
  private func split(
    _ command: Command, _ arguments: borrowing Arguments, _ shares: [Route.Part],
    _ join: Command.Join
  ) -> Bool {
    let version = session.version
    let keyCount = shares.reduce(0) { $0 + $1.keys.count }
    return gather(
      command, shares.map { (UInt32($0.shard), $0.keys) },
      into: ReplyJoin(join, version, keyCount: keyCount)
    ) { PackedCommand.part(command, arguments, positions: shares[$0].positions, version) }
  }

  /// Sends a whole command, such as FLUSHALL, to every shard.
  ///
  /// A cluster client asks every node for its DBSIZE and adds the answers up: there, a node counts
  /// what it leads.
  private func spread(
    _ command: Command, _ arguments: borrowing Arguments, _ join: Command.Join
  ) -> Bool {
    var groups = Array(0..<UInt32(node.shards.shardCount))
    if port == .cluster, command.isReadOnly {
      groups.removeAll { node.host.leader(of: $0) != node.id }
    }
    var packed: [UInt8] = []
    PackedCommand.append(command, arguments, session.version, to: &packed)
    return gather(
      command, groups.map { ($0, []) }, into: ReplyJoin(join, session.version, keyCount: 0)
    ) { _ in packed }
  }

  /// Sends the parts of one command to their groups, or none of them when one must wait.
  private func gather(
    _ command: Command, _ shares: [(group: UInt32, keys: [Int])], into join: ReplyJoin,
    packed: (Int) -> [UInt8]
  ) -> Bool {
    var parts: [Gather.Part] = []
    var commands: [[UInt8]] = []
    for (group, keys) in shares {
      let passage = order.passage(for: group, isReadOnly: command.isReadOnly)
      guard passage != .hold else {
        pauseReading(.reads(group: group))
        return false
      }
      let command = packed(parts.count)
      let duty = ReplyQueue.Duty(
        group: group, isWrite: passage == .write, byteCount: command.count)
      parts.append(Gather.Part(duty: duty, keys: keys))
      commands.append(command)
    }
    guard !parts.isEmpty else {
      answer { join.finish(into: &$0) }
      return true
    }
    let sequence = replies.expect(Gather(join, parts: parts))
    for (index, part) in parts.enumerated() {
      began(part.duty)
      let context = Ticket(sequence: sequence, part: index).context(of: connection)
      let bytes = commands[index]
      if part.duty.isWrite {
        node.host.write(part.duty.group, context, bytes.rawSpan)
      } else {
        node.host.read(part.duty.group, context, bytes.rawSpan)
      }
    }
    return true
  }
}
