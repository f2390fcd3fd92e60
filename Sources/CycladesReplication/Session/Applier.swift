import CycladesPaxos

/// Applies the body of a decided entry: the one path for live entries and for those read from a log.
enum Applier {
  /// Moves log time forward, and with it the machine; returns the context of the entry's commands.
  static func advance(
    _ machine: inout any StateMachine, _ logTime: inout UInt64, _ time: UInt64, group: UInt32,
    slot: Slot
  ) -> ApplyContext {
    logTime = max(logTime, time)
    machine.advance(to: logTime)
    return ApplyContext(group: group, slot: slot, time: logTime)
  }

  /// Applies each request of an entry at most once, and tells `report` what became of it: `.replay`
  /// with its replies when it was applied, now or before. The replies go into the chain.
  static func apply(
    _ payload: EntryPayload, _ context: ApplyContext, _ machine: inout any StateMachine,
    _ warming: (any WarmingMachine)?, _ sessions: inout SessionTable, _ chain: inout UInt64,
    _ reply: inout Reply, report: (RequestHeader, SessionTable.Verdict) -> Void
  ) {
    // A membership is for the core alone.
    if payload.membership != nil { return }
    apply(payload.body, context, &machine, warming, &sessions, &chain, &reply, report: report)
  }

  /// Applies each request of the body of an entry.
  static func apply(
    _ body: RawSpan, _ context: ApplyContext, _ machine: inout any StateMachine,
    _ warming: (any WarmingMachine)?, _ sessions: inout SessionTable, _ chain: inout UInt64,
    _ reply: inout Reply, report: (RequestHeader, SessionTable.Verdict) -> Void
  ) {
    var offset = 0
    // A body that is cut short ends here on every replica alike: its bytes are decided.
    while let request = RequestHeader(body.extracting(offset..<body.byteCount)) {
      var verdict = sessions.admit(request, slot: context.slot)
      if verdict == .apply {
        reply.removeAll()
        let start = offset + RequestHeader.byteCount
        let commands = body.extracting(start..<(offset + Int(request.size)))
        if request.count > 1 { warming?.warm(commands) }
        _ = SizedItems.forEach(commands) { command in
          sized(&reply) { machine.apply(command, context, reply: &$0) }
        }
        sessions.record(request, replies: reply.bytes)
        chain = WireHeader.checksum(ofBody: reply.bytes.rawSpan, cluster: chain).low
        verdict = .replay(reply.bytes)
      }
      report(request, verdict)
      offset += Int(request.size)
    }
  }

  /// The digest of a state: of all that was ever replied, and of what the machine says of itself.
  ///
  /// Replies cost a hash of bytes that are in the cache, and every machine has them; but a value that
  /// goes bad in memory shows in none of them until a command of the log reads it.
  static func digest(_ machine: any StateMachine, _ chain: UInt64) -> UInt64 {
    (chain ^ (machine.stateDigest ?? 0)) &* 0x9E37_79B9_7F4A_7C15
  }

  /// Appends `{ u32 size, bytes }`, the bytes being what `body` appends.
  static func sized(_ reply: inout Reply, _ body: (inout Reply) -> Void) {
    let start = reply.byteCount
    reply.append(littleEndian: UInt32(0))
    body(&reply)
    reply.patch(at: start, UInt32(reply.byteCount - start - 4))
  }
}
