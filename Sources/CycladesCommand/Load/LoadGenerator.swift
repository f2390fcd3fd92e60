/// What a load run sends, and what it makes of the answers.
///
/// Commands go out on *lanes*, one connection each. On a lane, commands are sent in order and up to
/// a fixed number of them wait for their reply at a time.
protocol LoadWorkload {
  /// What identifies a command when its outcome is known.
  associatedtype Operation

  /// Appends the next command of a lane; `nil` when the lane has nothing to do now. A run ends when
  /// no lane has, and nothing waits for a reply.
  mutating func next(lane: Int, into output: inout [UInt8]) -> Operation?

  /// Takes a reply. Returns whether the lane may go on at once, or should hold back for a moment.
  mutating func answered(
    _ operation: Operation, lane: Int, _ reply: borrowing LoadReply, sent: UInt64, now: UInt64
  ) -> LoadPace

  /// Takes the news that no reply will come: the command may or may not have been executed.
  mutating func lost(_ operation: Operation, lane: Int)
}

enum LoadPace {
  case proceed
  case holdBack
}

/// The shape of a load run.
struct LoadShape: Sendable {
  /// The servers, all equal; lane *i* starts at server *i* modulo their number.
  var ports: [UInt16]
  /// The number of connections.
  var lanes = 8
  /// Commands on one connection that wait for their reply at a time.
  var depth = 32
  /// How long a command may wait for its reply before the connection is given up.
  var patience: Duration = .seconds(10)
}

/// A closed-loop load generator for Redis-protocol servers: one thread, nonblocking sockets, poll.
///
/// A lane that loses its connection reports every waiting command as lost, and goes on with the
/// next server, as a client with several addresses would.
struct LoadGenerator<Workload: LoadWorkload> {
  var workload: Workload
  private let shape: LoadShape
  private var lanes: [Lane]
  private var poll = LoadPoll()
  private var scratch = [UInt8](repeating: 0, count: 64 * 1024)

  private struct Pending {
    var operation: Workload.Operation
    var sent: UInt64
  }

  private struct Lane {
    var server: Int
    var socket: LoadSocket?
    var position: Int?
    var output: [UInt8] = []
    var sentCount = 0
    var input: [UInt8] = []
    /// Commands without a reply, oldest first, from `head` on.
    var pending: [Pending] = []
    var head = 0
    var resumeAt: UInt64 = 0
    var isDone = false

    var waitingCount: Int { pending.count - head }
  }

  init(_ workload: Workload, _ shape: LoadShape) {
    self.workload = workload
    self.shape = shape
    lanes = (0..<shape.lanes).map { Lane(server: $0 % shape.ports.count) }
  }

  /// Runs until every lane is done and nothing waits for a reply.
  mutating func run() throws(CommandFailure) {
    while true {
      let now = monotonicNanoseconds()
      poll.removeAll()
      var isActive = false
      for index in lanes.indices {
        fill(index, now)
        lanes[index].position = nil
        let lane = lanes[index]
        isActive = isActive || !lane.isDone || lane.waitingCount > 0
        if let socket = lane.socket {
          lanes[index].position = poll.add(
            socket, forSending: lane.sentCount < lane.output.count)
        }
      }
      if !isActive { return }
      poll.wait(milliseconds: 5)
      for index in lanes.indices {
        if let position = lanes[index].position, poll.hasNews(position) { try receive(index) }
        giveUpIfStuck(index)
      }
    }
  }

  /// Connects a lane if need be, and sends as many commands as may wait at a time.
  private mutating func fill(_ index: Int, _ now: UInt64) {
    guard now >= lanes[index].resumeAt else { return }
    lanes[index].isDone = false
    while lanes[index].waitingCount < shape.depth {
      guard let operation = workload.next(lane: index, into: &lanes[index].output) else {
        lanes[index].isDone = true
        break
      }
      lanes[index].pending.append(Pending(operation: operation, sent: now))
    }
    if lanes[index].waitingCount == 0 { return }
    if lanes[index].socket == nil {
      lanes[index].socket = LoadSocket(port: shape.ports[lanes[index].server])
      if lanes[index].socket == nil { return disconnect(index) }
    }
    send(index)
  }

  private mutating func send(_ index: Int) {
    while let socket = lanes[index].socket, lanes[index].sentCount < lanes[index].output.count {
      switch socket.send(lanes[index].output, from: lanes[index].sentCount) {
      case .moved(let count): lanes[index].sentCount += count
      case .notNow: return
      case .ended: return disconnect(index)
      }
    }
    lanes[index].output.removeAll(keepingCapacity: true)
    lanes[index].sentCount = 0
  }

  private mutating func receive(_ index: Int) throws(CommandFailure) {
    guard let socket = lanes[index].socket else { return }
    switch socket.receive(into: &scratch) {
    case .moved(let count): lanes[index].input += scratch[..<count]
    case .notNow: return
    case .ended: return disconnect(index)
    }
    let now = monotonicNanoseconds()
    var input: [UInt8] = []
    swap(&input, &lanes[index].input)
    var offset = 0
    while let frame = try LoadReplyFrame.parse(input, from: offset) {
      guard lanes[index].waitingCount > 0 else {
        throw CommandFailure("the server sent a reply that nobody asked for")
      }
      let pending = lanes[index].pending[lanes[index].head]
      lanes[index].head += 1
      let payload = input.span.extracting(frame.payload)
      let pace = workload.answered(
        pending.operation, lane: index, LoadReply(kind: frame.kind, payload: payload),
        sent: pending.sent, now: now)
      if pace == .holdBack {
        lanes[index].resumeAt = now + 5_000_000
        lanes[index].isDone = false
      }
      offset = frame.end
    }
    input.removeFirst(offset)
    swap(&input, &lanes[index].input)
    if lanes[index].head > 1024 {
      lanes[index].pending.removeFirst(lanes[index].head)
      lanes[index].head = 0
    }
  }

  private mutating func giveUpIfStuck(_ index: Int) {
    guard lanes[index].waitingCount > 0 else { return }
    let waited = monotonicNanoseconds() - lanes[index].pending[lanes[index].head].sent
    if .nanoseconds(waited) > shape.patience { disconnect(index) }
  }

  private mutating func disconnect(_ index: Int) {
    for pending in lanes[index].pending[lanes[index].head...] {
      workload.lost(pending.operation, lane: index)
    }
    lanes[index] = Lane(
      server: (lanes[index].server + 1) % shape.ports.count,
      resumeAt: monotonicNanoseconds() + 20_000_000, isDone: false)
  }
}
