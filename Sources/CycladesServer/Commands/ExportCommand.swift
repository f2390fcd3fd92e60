import CycladesReplication
import CycladesStore
import CycladesTransport

/// CYCLADES EXPORT shard, then CYCLADES EXPORT NEXT until it answers null: a consistent copy of one
/// shard in parts, for a backup, while commands go on.
///
/// The first is answered by the shard's leader with the number of keys, as an integer, once a read of
/// the shard has shown that it still leads: so the copy holds every write that was acknowledged
/// before. Each part is one of the shard's snapshot. A connection has one copy at a time, which ends
/// with it, with the next one, or after a minute without a request; and it yields to a snapshot that
/// the node needs for its log: NEXT then answers TRYAGAIN, and the shard is to be exported again.
extension Client {
  /// What this connection is exporting.
  struct Export {
    let copy: ShardCopy
    var lastUse: Instant
  }

  private static let partBytes = 1 << 20
  private static let idleMax = Duration.seconds(60)

  /// Carries out CYCLADES EXPORT; false when it must wait.
  func export(_ arguments: borrowing Arguments) -> Bool {
    if arguments.count == 3, arguments.equals(2, "NEXT") {
      exportNext()
      return true
    }
    guard arguments.count == 3, let shard = arguments.integer(2), shard >= 0,
      shard < Int64(node.shards.shardCount)
    else {
      answer { $0.appendError("ERR CYCLADES EXPORT takes the number of a shard, or NEXT") }
      return true
    }
    let group = UInt32(shard)
    guard node.host.leader(of: group) == node.id else {
      answer { notLeader(group, &$0) }
      return true
    }
    exported = nil
    guard let count = Command.named(Array("dbsize".utf8).rawSpan) else {
      preconditionFailure("DBSIZE is a command")
    }
    let version = session.version
    guard
      let sequence = submit(
        isReadOnly: true, to: group, { PackedCommand.bare(count, version) })
    else { return false }
    wait(for: .export(sequence: sequence, group: group))
    return true
  }

  /// The shard has answered, so its leader leads, and holds all that was acknowledged.
  func beginExport(_ sequence: UInt64, _ group: UInt32) {
    guard awaited?.sequence == sequence, node.clients[connection] === self else { return }
    awaited = nil
    let reply = node.compose { reply in
      guard node.host.leader(of: group) == node.id, let shard = node.host.shard(group) else {
        return notLeader(group, &reply)
      }
      guard let copy = shard.copy() else {
        return reply.appendError("TRYAGAIN another snapshot of the shard is being read")
      }
      exported = Export(copy: copy, lastUse: node.reactor.now)
      reply.appendInteger(Int64(copy.keyCount))
    }
    fulfil(sequence, reply.rawSpan)
    if exported != nil { endIdleExportLater() }
    resumeIfPossible()
    closeIfDone()
  }

  private func exportNext() {
    guard let copy = exported?.copy else {
      return answer { $0.appendError("ERR no shard is being exported on this connection") }
    }
    exported?.lastUse = node.reactor.now
    var part = Reply()
    if copy.next(into: &part, byteCountTarget: Self.partBytes) {
      return answer { $0.appendBulk(part.bytes) }
    }
    exported = nil
    let version = session.version
    answer { reply in
      if copy.isWhole {
        reply.appendNull(version)
      } else {
        reply.appendError("TRYAGAIN the node needed a snapshot of the shard itself")
      }
    }
  }

  private func endIdleExportLater() {
    _ = node.reactor.schedule(after: Self.idleMax) { [weak self] in
      guard let self, let export = exported else { return }
      if node.reactor.now - export.lastUse >= Self.idleMax {
        exported = nil
      } else {
        endIdleExportLater()
      }
    }
  }

  private func notLeader(_ group: UInt32, _ reply: inout Reply) {
    guard let leader = node.host.leader(of: group) else { return Refusals.noLeader(&reply) }
    reply.appendError("TRYAGAIN node \(leader) leads shard \(group): ask it")
  }
}
