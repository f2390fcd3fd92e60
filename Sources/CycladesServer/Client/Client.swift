import CycladesReplication
import CycladesStore
import CycladesTransport

/// One client connection: it parses requests in place, sends each where it belongs, and answers in
/// the order they came.
///
/// ```
///  bytes -> parse -> server command -> reply ----------------------+
///                 -> one shard      -> host -> completed -> cell --+-> send queue, in order
///                 -> several shards -> host -> Gather    -> cell --+
/// ```
///
/// It stops reading, and leaves what it has not parsed to the transport, while it owes as much as its
/// `ReplyWindow` allows, while the client is slow to take replies, and while a write waits for reads
/// of the same connection (`ProgramOrder`).
///
/// Lives on the reactor's thread.
final class Client {
  /// Which of the two listeners the client came through.
  enum Port {
    /// Cluster protocol: keys led elsewhere are answered with MOVED.
    case cluster
    /// Every command is served here, by the shard's leader wherever that is.
    case plain
  }

  /// Why parsing stands still.
  private enum Pause {
    case none
    /// Too much is owed to the client, or it takes replies too slowly.
    case window
    /// A write waits for the connection's reads in this group.
    case reads(group: UInt32)
  }

  let id: UInt64
  let connection: ConnectionID
  let port: Port
  let address: String
  let connectedAt: Instant
  /// Strong, for speed; the node lets go of the client when its connection has closed.
  let node: StoreNode

  var session = ClientSession()
  private(set) var lastCommand: Command?
  private(set) var lastRequestAt: Instant

  private var replies = ReplyQueue()
  private var window: ReplyWindow
  private var order: ProgramOrder
  private var pause = Pause.none
  /// True when requests were left unparsed behind the reason for the pause.
  private var isHoldingInput = false
  /// True once the client sends nothing more.
  private var hasInputEnded = false
  /// True once nothing more is read; the connection closes behind the last reply.
  private var isEnding = false

  init(
    id: UInt64, connection: ConnectionID, port: Port, address: String, node: StoreNode
  ) {
    self.id = id
    self.connection = connection
    self.port = port
    self.address = address
    self.node = node
    connectedAt = node.reactor.now
    lastRequestAt = connectedAt
    window = ReplyWindow(node.windowLimits)
    order = ProgramOrder(groups: node.shards.shardCount)
  }

  /// Commands that are not answered yet.
  var owed: Int { replies.count }

  // MARK: - Requests

  /// Parses and starts as many requests as are there and may start now.
  func received(_ bytes: RawSpan) -> Progress {
    lastRequestAt = node.reactor.now
    isHoldingInput = false
    defer { closeIfDone() }
    let parser = node.parser
    var consumed = 0
    while consumed < bytes.byteCount {
      guard !isEnding else { break }
      guard mayStart() else { return Progress(consumed: consumed) }
      let rest = bytes.extracting(consumed..<bytes.byteCount)
      switch parser.parse(rest) {
      case .request(let byteCount):
        let arguments = parser.arguments(of: rest)
        guard arguments.count == 0 || execute(arguments) else {
          return Progress(consumed: consumed)
        }
        consumed += byteCount
      case .incomplete(let needs):
        return Progress(consumed: consumed, needs: needs)
      case .violation(let violation):
        node.statistics.protocolErrors += 1
        answer { $0.append(violation) }
        isEnding = true
      }
    }
    return Progress(consumed: bytes.byteCount)
  }

  /// Starts one command; false when it must wait, which leaves it unparsed.
  private func execute(_ arguments: borrowing Arguments) -> Bool {
    guard let command = Command.named(arguments[0]) else {
      answer { $0.appendUnknownCommand(arguments) }
      return true
    }
    guard command.accepts(argumentCount: arguments.count) else {
      answer { $0.appendWrongArity(command) }
      return true
    }
    switch command.scope {
    case .server: node.commands.run(command, arguments, for: self)
    case .shard, .keys, .everyShard: guard route(command, arguments) else { return false }
    }
    lastCommand = command
    node.statistics.commands += 1
    return true
  }

  /// Stops reading while too much is owed.
  private func mayStart() -> Bool {
    guard case .none = pause else { return false }
    if window.isOpen(load) { return true }
    pauseReading(.window)
    return false
  }

  private var load: ReplyWindow.Load {
    ReplyWindow.Load(
      owed: replies.count, parkedBytes: replies.parkedBytes,
      queuedBytes: node.reactor.queuedBytes(connection))
  }

  private func pauseReading(_ reason: Pause) {
    pause = reason
    isHoldingInput = true
    node.reactor.pauseReading(connection)
  }

  /// Goes on with what was left unparsed, when the reason to wait is gone.
  func resumeIfPossible() {
    switch pause {
    case .none: return
    case .window:
      guard window.mayReopen(load) else { return }
    case .reads(let group):
      guard order.passage(for: group, isReadOnly: false) != .hold else { return }
    }
    pause = .none
    node.reactor.resumeReading(connection)
  }

  // MARK: - Replies

  /// Appends a reply that is known now, behind everything owed.
  func answer(_ write: (inout Reply) -> Void) {
    let reply = node.compose(write)
    replies.append(reply.rawSpan) { node.reactor.send(connection, copying: $0) }
  }

  /// Takes in what a group answered to a command, or to a part of one.
  func completed(_ ticket: Ticket, _ outcome: Outcome, _ reply: RawSpan) {
    switch replies.expectation(of: ticket.sequence) {
    case .nothing: preconditionFailure("a command is completed once")
    case .one(let duty):
      ended(duty)
      if case .done = outcome {
        fulfil(ticket.sequence, reply)
      } else {
        node.statistics.note(outcome)
        let refusal = node.compose { Refusals.append(outcome, to: &$0) }
        fulfil(ticket.sequence, refusal.rawSpan)
      }
    case .parts(let gather):
      ended(gather.parts[ticket.part].duty)
      guard gather.receive(part: ticket.part, outcome, reply) else { break }
      node.statistics.note(gather.outcome)
      let whole = node.compose { gather.finish(into: &$0) }
      fulfil(ticket.sequence, whole.rawSpan)
    }
    resumeIfPossible()
    closeIfDone()
  }

  private func began(_ duty: ReplyQueue.Duty) {
    order.began(duty)
    window.began(duty)
  }

  private func ended(_ duty: ReplyQueue.Duty) {
    order.ended(duty)
    window.ended(duty)
  }

  private func fulfil(_ sequence: UInt64, _ reply: RawSpan) {
    window.answered(reply.byteCount)
    replies.fulfil(sequence, reply) { node.reactor.send(connection, copying: $0) }
  }

  // MARK: - End

  /// Reads nothing more; closes when everything owed is answered.
  ///
  /// - Parameter isAnswering: true when it is this client's own command that ends it, whose reply is
  ///   still to come.
  func end(isAnswering: Bool = false) {
    isEnding = true
    if !isAnswering { closeIfDone() }
  }

  /// The client sends nothing more, and is owed what it asked for.
  func inputEnded() -> InputEnd {
    hasInputEnded = true
    return isDone ? .close : .keepSending
  }

  /// True when nothing more will be started and nothing is owed.
  private var isDone: Bool {
    replies.isEmpty && (isEnding || (hasInputEnded && !isHoldingInput))
  }

  private func closeIfDone() {
    guard isDone else { return }
    // A flushing close waits for the client to close as well; without need when it has all it is owed.
    node.reactor.close(connection, flush: node.reactor.queuedBytes(connection) > 0)
  }
}

// MARK: - Routing

extension Client {
  /// Sends a data command to the shard or shards that hold its keys; false when it must wait.
  private func route(_ command: Command, _ arguments: borrowing Arguments) -> Bool {
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
      return read(query, in: UInt32(shard))
    case .crossSlot:
      answer { Refusals.crossShard(&$0) }
      return true
    case .server:
      preconditionFailure("a server command is not routed")
    }
  }

  /// As a node of a Redis cluster: all keys in one slot, and MOVED for what another node leads.
  private func routeInCluster(_ command: Command, _ arguments: borrowing Arguments) -> Bool {
    guard let slot = ShardMap.commonSlot(command, arguments) else {
      answer { Refusals.crossSlot(&$0) }
      return true
    }
    let group = UInt32(node.shards.shard(of: slot))
    let leader = node.host.leader(of: group)
    // After READONLY a client may read anywhere; the read is linearizable all the same.
    if leader == node.id || (session.isReadOnly && command.isReadOnly) {
      return submit(command, arguments, to: group)
    }
    answer { reply in
      if let leader, let address = node.directory.address(of: leader, for: .cluster) {
        Refusals.moved(to: address, slot: slot, &reply)
      } else {
        Refusals.noLeader(&reply)
      }
    }
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

  /// Sends a shard a read-only command that is packed already.
  private func read(_ query: [UInt8], in group: UInt32) -> Bool {
    let passage = order.passage(for: group, isReadOnly: true)
    guard passage != .hold else {
      pauseReading(.reads(group: group))
      return false
    }
    let duty = ReplyQueue.Duty(
      group: group, isWrite: passage == .write, byteCount: query.count)
    let context = Ticket(sequence: replies.expect(duty)).context(of: connection)
    began(duty)
    if duty.isWrite {
      node.host.write(group, context, query.rawSpan)
    } else {
      node.host.read(group, context, query.rawSpan)
    }
    return true
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
