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
/// `ReplyWindow` allows, while the client is slow to take replies, while a write waits for reads of
/// the same connection (`ProgramOrder`), and behind a command that later ones depend on (`Awaited`).
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
  enum Pause {
    case none
    /// Too much is owed to the client, or it takes replies too slowly.
    case window
    /// A write waits for the connection's reads in this group.
    case reads(group: UInt32)
    /// Later commands depend on one that is not answered yet.
    case awaited
  }

  /// A command whose reply takes more than passing on what the shard says, and behind which nothing
  /// is started.
  enum Awaited {
    /// WATCH: the shard answers versions, which go into the transaction with the keys.
    case watch(sequence: UInt64, group: UInt32, keys: [[UInt8]])
    /// EXEC: commands of the server's are part of the transaction.
    case transaction(sequence: UInt64, PendingTransaction)
    /// A pop that waits for something to pop.
    case pop(BlockedPop)
    /// CYCLADES EXPORT: the shard is copied when its leader is known to lead.
    case export(sequence: UInt64, group: UInt32)

    var sequence: UInt64 {
      switch self {
      case .watch(let sequence, _, _), .transaction(let sequence, _), .export(let sequence, _):
        sequence
      case .pop(let pop): pop.sequence
      }
    }
  }

  /// As many small commands are started without looking at the window again, which they overshoot by
  /// no more than that; not while replies are large, or each of thousands of clients would overshoot
  /// by megabytes.
  private static let commandsPerCheck = 16
  /// A reply that is no larger is small, in bytes.
  private static let smallReply = 1024
  /// A request that is no larger is small, in bytes.
  private static let smallRequest = 512
  /// What a client may send ahead while a pop of its own waits.
  private static let unparsedMax = 64 << 10

  let id: UInt64
  let connection: ConnectionID
  let port: Port
  let address: String
  let connectedAt: Instant
  /// Strong, for speed; the node lets go of the client when its connection has closed.
  let node: StoreNode
  private let reactor: Reactor
  private let crowd: Crowd

  var session = ClientSession()
  var transaction = ClientTransaction()
  var awaited: Awaited?
  var listening = Listening()
  var exported: Export?
  private(set) var lastCommand: Command?
  private(set) var lastRequestAt: Instant

  var replies = ReplyQueue()
  private var window: ReplyWindow
  var order: ProgramOrder
  /// What groups were asked and have not answered.
  private var dutyCount = 0
  private var pause = Pause.none
  /// True when requests were left unparsed behind the reason for the pause.
  private var isHoldingInput = false
  /// True once the client sends nothing more.
  private var hasInputEnded = false
  /// True once the connection was closed from outside: by CLIENT KILL, or because it listened and did
  /// not read.
  var isCut = false
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
    reactor = node.reactor
    crowd = node.crowd
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
    lastRequestAt = reactor.now
    isHoldingInput = false
    defer { closeIfDone() }
    let parser = node.parser
    var consumed = 0
    var unchecked = 0
    while consumed < bytes.byteCount {
      guard !isEnding else { break }
      if unchecked == 0 || isPaused {
        guard mayStart(bytes.byteCount - consumed) else { return Progress(consumed: consumed) }
        unchecked = crowd.usualReply <= Self.smallReply ? Self.commandsPerCheck : 1
      }
      let rest = bytes.extracting(consumed..<bytes.byteCount)
      switch parser.parse(rest) {
      case .request(let byteCount):
        let arguments = parser.arguments(of: rest)
        let owed = replies.count
        let request = rest.extracting(0..<byteCount)
        guard arguments.count == 0 || execute(arguments, request) else {
          return Progress(consumed: consumed)
        }
        consumed += byteCount
        // What was answered at once may have been answered at length.
        let isSmall = byteCount <= Self.smallRequest && replies.count > owed
        unchecked = isSmall ? unchecked - 1 : 0
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
  ///
  /// - Parameter request: the bytes that `arguments` were parsed from.
  private func execute(_ arguments: borrowing Arguments, _ request: RawSpan) -> Bool {
    guard let command = Command.named(arguments[0]) else {
      transaction.doom()
      answer { $0.appendUnknownCommand(arguments) }
      return true
    }
    guard command.accepts(argumentCount: arguments.count) else {
      transaction.doom()
      answer { $0.appendWrongArity(command) }
      return true
    }
    if session.version == .v2, !listening.isEmpty, !node.commands.isForListeners(command) {
      answer { Refusals.listening(command, &$0) }
      return true
    }
    if node.memory.isShort, command.flags.contains(.denyOOM) {
      transaction.doom()
      answer { Refusals.outOfMemory(&$0) }
      return true
    }
    if transaction.isQueueing, !node.commands.isImmediate(command) {
      queue(command, arguments, request)
    } else if command.scope == .server {
      guard node.commands.run(command, arguments, for: self) else { return false }
    } else {
      guard route(command, arguments) else { return false }
    }
    if lastCommand !== command { lastCommand = command }
    node.statistics.commands += 1
    return true
  }

  private var isPaused: Bool {
    if case .none = pause { false } else { true }
  }

  /// Stops reading while too much is owed.
  private func mayStart(_ unparsed: Int) -> Bool {
    guard case .none = pause else {
      isHoldingInput = true
      if unparsed > Self.unparsedMax { reactor.pauseReading(connection) }
      return false
    }
    if window.isOpen(load, usual: crowd.usualReply), !crowd.holds(back: self) {
      return true
    }
    pauseReading(.window)
    return false
  }

  private var load: ReplyWindow.Load {
    ReplyWindow.Load(
      owed: replies.count, parkedBytes: replies.parkedBytes,
      queuedBytes: reactor.queuedBytes(connection))
  }

  /// Leaves the request at hand, and those behind it, unparsed.
  func pauseReading(_ reason: Pause) {
    pause = reason
    isHoldingInput = true
    reactor.pauseReading(connection)
  }

  /// Starts nothing behind the command at hand until it is answered.
  func wait(for command: Awaited) {
    awaited = command
    pause = .awaited
    // While a pop waits, which may be for ever, the end of the connection must be noticed.
    if case .pop = command { return }
    reactor.pauseReading(connection)
  }

  /// Goes on with what was left unparsed, when the reason to wait is gone.
  func resumeIfPossible() {
    switch pause {
    case .none: return
    case .window:
      guard window.mayReopen(load, usual: crowd.usualReply), !crowd.holds(back: self)
      else { return }
    case .reads(let group):
      guard order.passage(for: group, isReadOnly: false) != .hold else { return }
    case .awaited:
      guard awaited == nil else { return }
      // What came while a pop waited is only offered again to who stopped reading.
      reactor.pauseReading(connection)
    }
    pause = .none
    reactor.resumeReading(connection)
  }

  // MARK: - Replies

  /// Appends a reply that is known now, behind everything owed.
  func answer(_ write: (inout Reply) -> Void) {
    let reply = node.compose(write)
    replies.append(reply.rawSpan) { reactor.send(connection, copying: $0) }
  }

  /// Takes in what a group answered to a command, or to a part of one.
  func completed(_ ticket: Ticket, _ outcome: Outcome, _ reply: RawSpan) {
    take(ticket, outcome, reply)
    settle()
  }

  /// Goes on, or ends, after answers were taken in.
  func settle() {
    resumeIfPossible()
    closeIfDone()
  }

  /// As `completed`, to be followed by `settle`.
  func take(_ ticket: Ticket, _ outcome: Outcome, _ reply: RawSpan) {
    switch replies.expectation(of: ticket.sequence) {
    case .nothing: preconditionFailure("a command is completed once")
    case .one(let duty):
      ended(duty)
      if case .pop(let pop) = awaited, pop.sequence == ticket.sequence {
        tried(pop, outcome, reply)
      } else if outcome != .done {
        if awaited?.sequence == ticket.sequence { awaited = nil }
        node.statistics.note(outcome)
        let refusal = node.compose { Refusals.append(outcome, to: &$0) }
        fulfil(ticket.sequence, refusal.rawSpan)
      } else if let awaited, awaited.sequence == ticket.sequence {
        self.awaited = nil
        finish(awaited, reply)
      } else {
        fulfil(ticket.sequence, reply)
      }
    case .parts(let gather):
      ended(gather.parts[ticket.part].duty)
      guard gather.receive(part: ticket.part, outcome, reply) else { break }
      node.statistics.note(gather.outcome)
      let whole = node.compose { gather.finish(into: &$0) }
      fulfil(ticket.sequence, whole.rawSpan)
    }
  }

  func began(_ duty: ReplyQueue.Duty) {
    order.began(duty)
    window.began(duty)
    node.crowd.began()
    dutyCount += 1
  }

  private func ended(_ duty: ReplyQueue.Duty) {
    order.ended(duty)
    window.ended(duty)
    node.crowd.ended()
    dutyCount -= 1
  }

  /// The connection is gone: what groups still answer finds nobody.
  func stopOwing() {
    node.crowd.ended(dutyCount)
    dutyCount = 0
  }

  func fulfil(_ sequence: UInt64, _ reply: RawSpan) {
    window.answered(reply.byteCount)
    crowd.answered(reply.byteCount)
    replies.fulfil(sequence, reply) { reactor.send(connection, copying: $0) }
  }

  // MARK: - End

  /// Reads nothing more; closes when everything owed is answered.
  ///
  /// - Parameter isAnswering: true when it is this client's own command that ends it, whose reply is
  ///   still to come.
  func end(isAnswering: Bool = false) {
    isEnding = true
    if case .pop(let pop) = awaited { unblock(pop, .error) }
    if !isAnswering { closeIfDone() }
  }

  /// The client sends nothing more, and is owed what it asked for.
  func inputEnded() -> InputEnd {
    hasInputEnded = true
    // Whether the client only has nothing more to say, or is gone, looks the same; what it would pop
    // must not be lost.
    if case .pop = awaited { return .close }
    return isDone ? .close : .keepSending
  }

  /// True when nothing more will be started and nothing is owed.
  private var isDone: Bool {
    replies.isEmpty && (isEnding || (hasInputEnded && !isHoldingInput))
  }

  func closeIfDone() {
    guard isDone else { return }
    // A flushing close waits for the client to close as well; without need when it has all it is owed.
    reactor.close(connection, flush: reactor.queuedBytes(connection) > 0)
  }
}
