public import CycladesTransport
public import Logging

/// A client of a Cyclades cluster that keeps the promises of the store across failures.
///
/// ```swift
/// let client = try await StoreClient.connect(to: ["10.0.0.1:7001", "10.0.0.2:7001"], logger: logger)
/// try await client.set("greeting", "hello")
/// let visits = try await client.increment("visits")
/// let fields = try await client.send("HGETALL", "user:1000")
/// await client.close()
/// ```
///
/// It learns which node leads which shard, follows it through failures, moves and membership changes,
/// and pipelines the commands of all tasks over one connection to each node. Every command that
/// changes keys is numbered within a session; so it can be repeated after a lost connection or a dead
/// leader, and is carried out exactly once. Only when ``StoreClientConfiguration/patience`` is over
/// before an answer came is the outcome unknown, and the error says so.
///
/// Commands of one task that awaits each of them take effect in that order; those under way at the
/// same time in any. An error's ``StoreClientError/outcome`` tells *done*, *not done* and *unknown*
/// apart. Commands that belong to a connection (MULTI, SUBSCRIBE, SELECT) or may wait (BLPOP) are
/// refused; ``transaction(_:)`` does what MULTI does.
///
/// The client is an actor that lives on the reactor of its connections: give it one of yours, or it
/// starts a thread of its own. Usable from any task.
public actor StoreClient {
  /// The executor of the client and its connections.
  public nonisolated let executor: ReactorExecutor
  /// The thread that is the client's own.
  let ownThread: ReactorGroup?
  let configuration: StoreClientConfiguration
  let logger: Logger

  var topology = Topology()
  var commands = CommandTable(.null)
  var links: [NodeAddress: NodeLink] = [:]
  /// All calls that are not over, by number.
  var calls: [UInt64: Call] = [:]
  private var lastID: UInt64 = 0
  var isRefreshing = false
  private var isTicking = false
  var isClosed = false
  let seeds: [NodeAddress]
  /// What the client did so far.
  public internal(set) var statistics = StoreClientStatistics()
  /// Turns through the nodes for calls that any will do for.
  var turn = 0

  private init(
    _ seeds: [NodeAddress], on executor: ReactorExecutor, owning thread: ReactorGroup?,
    _ configuration: StoreClientConfiguration, _ logger: Logger
  ) {
    self.seeds = seeds
    self.executor = executor
    ownThread = thread
    self.configuration = configuration
    self.logger = logger
  }

  /// The client runs on the thread of its reactor.
  public nonisolated var unownedExecutor: UnownedSerialExecutor {
    unsafe executor.asUnownedSerialExecutor()
  }

  /// Connects to a cluster through any of its nodes that answers.
  ///
  /// - Parameters:
  ///   - servers: client addresses of some nodes as `host:port`, better the cluster ports: through a
  ///     plain port everything works, but is forwarded.
  ///   - executor: the reactor to live on; without one the client starts a thread of its own.
  /// - Throws: ``StoreClientError`` with code `unreachable` when no server answers within
  ///   ``StoreClientConfiguration/patience``.
  public static func connect(
    to servers: [String], on executor: ReactorExecutor? = nil,
    configuration: StoreClientConfiguration = StoreClientConfiguration(),
    logger: Logger = Logger(label: "cyclades.client")
  ) async throws(StoreClientError) -> StoreClient {
    var seeds: [NodeAddress] = []
    for server in servers {
      guard let address = NodeAddress(server[...]) else {
        throw StoreClientError(
          .unreachable, .notDone, "'\(server)' is not an address of the form host:port")
      }
      seeds.append(address)
    }
    guard !seeds.isEmpty else {
      throw StoreClientError(.unreachable, .notDone, "no server was named")
    }
    var thread: ReactorGroup?
    if executor == nil {
      do {
        thread = try ReactorGroup(count: 1, name: "store-client", logger: logger)
      } catch {
        throw StoreClientError(.unreachable, .notDone, "the client cannot start: \(error)")
      }
    }
    let client = StoreClient(
      seeds, on: executor ?? thread!.next(), owning: thread, configuration, logger)
    do throws(StoreClientError) {
      try await client.learn()
    } catch {
      await client.close()
      throw error
    }
    return client
  }

  private func learn() async throws(StoreClientError) {
    for seed in seeds { topology.learn(seed) }
    let deadline = ContinuousClock.now + configuration.patience
    let slots = try await ask([Array("CLUSTER".utf8), Array("SLOTS".utf8)], by: deadline)
    guard topology.update(slots) else {
      throw StoreClientError(
        .badReply, .notDone, "the server's reply to CLUSTER SLOTS is no list of shards")
    }
    commands = CommandTable(try await ask([Array("COMMAND".utf8)], by: deadline))
    guard !commands.isEmpty else {
      throw StoreClientError(
        .badReply, .notDone, "the server's reply to COMMAND is no list of commands")
    }
  }

  private func ask(
    _ words: [[UInt8]], by deadline: ContinuousClock.Instant
  ) async throws(StoreClientError) -> StoreReply {
    do throws(StoreClientError) {
      return try await perform(words, slot: nil, .none, by: deadline).get()
    } catch {
      guard error.code == .timedOut else { throw error }
      let names = seeds.map(\.description).joined(separator: ", ")
      throw StoreClientError(.unreachable, .notDone, "no server answers; tried \(names)")
    }
  }

  /// Ends all connections; calls without a reply fail with `closed`. Safe to call more than once.
  public func close() async {
    guard !isClosed else { return }
    isClosed = true
    for call in calls.values { fail(call, .closed, "the client was closed") }
    for link in links.values { link.task?.cancel() }
    let tasks = links.values.compactMap(\.task)
    links = [:]
    for task in tasks { await task.value }
    // The actor cannot wait for the thread that it runs on.
    if let ownThread { Task.detached { await ownThread.shutdown() } }
  }

  // MARK: - Commands

  /// Sends a command with its arguments and returns the reply.
  ///
  /// The cluster itself tells where the keys of a command are and whether it changes them, so every
  /// command of the store can be sent.
  ///
  /// - Throws: ``StoreClientError``; of an error that the server answered the code is `server`.
  public func send(
    _ name: String, _ arguments: any StoreArgument...
  ) async throws(StoreClientError) -> StoreReply {
    try await send(StoreCommand(name, arguments: arguments))
  }

  /// Sends a command; see ``send(_:_:)``.
  public func send(_ command: StoreCommand) async throws(StoreClientError) -> StoreReply {
    let (slot, effect) = try place(command)
    let deadline = ContinuousClock.now + configuration.patience
    return try await perform(command.words, slot: slot, effect, by: deadline).get()
  }

  /// Sends commands all at once and returns what became of each, in their order. They may take
  /// effect in any order, and do not depend on each other's success.
  public func sendAll(
    _ commands: [StoreCommand]
  ) async -> [Result<StoreReply, StoreClientError>] {
    let deadline = ContinuousClock.now + configuration.patience
    var results = [Result<StoreReply, StoreClientError>?](repeating: nil, count: commands.count)
    var started: [(index: Int, reply: PendingReply)] = []
    for (index, command) in commands.enumerated() {
      do throws(StoreClientError) {
        let (slot, effect) = try place(command)
        let reply = PendingReply()
        let call = begin(command.words, slot: slot, effect, by: deadline) { reply.resolve($0) }
        reply.call = call?.id
        started.append((index, reply))
      } catch {
        results[index] = .failure(error)
      }
    }
    for (index, reply) in started { results[index] = await result(of: reply) }
    return results.map { $0! }
  }

  /// Carries commands out as one step, all of them or none: what MULTI and EXEC do, in one request,
  /// exactly once.
  ///
  /// All keys must belong to one slot: give them the same `{tag}`. An error of one command is in its
  /// place, as ``StoreReply/error(_:)``; the others are carried out all the same, as in Redis.
  ///
  /// - Throws: ``StoreClientError``; `crossSlot` when the keys do not belong to one slot.
  public func transaction(
    _ commands: [StoreCommand]
  ) async throws(StoreClientError) -> [StoreReply] {
    var common: Int?
    var words = [Array("EXEC".utf8), Array(String(commands.count).utf8)]
    for command in commands {
      guard let slot = try place(command).slot else {
        throw StoreClientError(
          .unsupported, .notDone, "\(command.name) has no key, and cannot be in a transaction")
      }
      guard common == nil || common == slot else { throw Self.crossSlot(command) }
      common = slot
      words.append(Array(String(command.words.count).utf8))
      words += command.words
    }
    guard let common else { return [] }
    let deadline = ContinuousClock.now + configuration.patience
    let reply = try await perform(words, slot: common, .numbered, by: deadline).get()
    guard let replies = reply.array, replies.count == commands.count else {
      throw StoreClientError(.badReply, .done, "the reply to a transaction is \(reply)")
    }
    return replies
  }

  /// Where a command goes, and what it may do.
  private func place(
    _ command: StoreCommand
  ) throws(StoreClientError) -> (slot: Int?, effect: Call.Effect) {
    guard let entry = commands[command.words[0]] else {
      // The server has the words for it.
      return (nil, .other)
    }
    if let reservation = entry.reservation {
      throw StoreClientError(
        .unsupported, .notDone, "\(command.name) cannot be sent by this client: \(reservation)")
    }
    var slot: Int?
    for position in entry.keys(command.words) where position < command.words.count {
      let own = KeySlot.of(command.words[position])
      guard slot == nil || slot == own else { throw Self.crossSlot(command) }
      slot = own
    }
    if entry.isReadOnly { return (slot, .none) }
    return (slot, slot != nil && entry.isWrite ? .numbered : .other)
  }

  private static func crossSlot(_ command: StoreCommand) -> StoreClientError {
    StoreClientError(
      .crossSlot, .notDone,
      "the keys of \(command.name) belong to different slots; give them the same {tag}")
  }

  // MARK: - Calls

  /// A call whose result somebody will ask for.
  final class PendingReply {
    var call: UInt64?
    private var result: Result<StoreReply, StoreClientError>?
    private var waiter: CheckedContinuation<Result<StoreReply, StoreClientError>, Never>?

    func resolve(_ result: Result<StoreReply, StoreClientError>) {
      if let waiter {
        waiter.resume(returning: result)
      } else {
        self.result = result
      }
    }

    func wait(_ waiter: CheckedContinuation<Result<StoreReply, StoreClientError>, Never>) {
      if let result {
        waiter.resume(returning: result)
      } else {
        self.waiter = waiter
      }
    }
  }

  private func perform(
    _ words: [[UInt8]], slot: Int?, _ effect: Call.Effect, by deadline: ContinuousClock.Instant
  ) async -> Result<StoreReply, StoreClientError> {
    let reply = PendingReply()
    reply.call = begin(words, slot: slot, effect, by: deadline) { reply.resolve($0) }?.id
    return await result(of: reply)
  }

  private func result(of reply: PendingReply) async -> Result<StoreReply, StoreClientError> {
    guard let id = reply.call else {
      return await withCheckedContinuation { reply.wait($0) }
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { reply.wait($0) }
    } onCancel: {
      Task { await self.cancel(id) }
    }
  }

  private func cancel(_ id: UInt64) {
    if let call = calls[id] { fail(call, .cancelled, "the task was cancelled") }
  }

  /// Starts a call; `nil` when it is over already.
  @discardableResult
  func begin(
    _ words: [[UInt8]], slot: Int?, _ effect: Call.Effect, by deadline: ContinuousClock.Instant,
    _ completion: @escaping (Result<StoreReply, StoreClientError>) -> Void
  ) -> Call? {
    if isClosed {
      completion(.failure(StoreClientError(.closed, .notDone, "the client was closed")))
      return nil
    }
    guard calls.count < configuration.commandsMax else {
      completion(
        .failure(
          StoreClientError(
            .overloaded, .notDone, "\(calls.count) commands wait for their replies already")))
      return nil
    }
    lastID += 1
    let call = Call(
      id: lastID, words: words, slot: slot, effect: effect, deadline: deadline,
      completion: completion)
    calls[call.id] = call
    tickWhileBusy()
    dispatch(call)
    return call
  }

  /// Ends a call with an error that says what is known of it.
  func fail(_ call: Call, _ code: StoreClientError.Code, _ reason: String) {
    let mayHaveRun = call.mayHaveRun || call.link != nil
    let outcome: StoreClientError.Outcome =
      mayHaveRun && call.effect != .none ? .unknown : .notDone
    end(call, .failure(StoreClientError(code, outcome, "\(call.name): \(reason)")))
  }

  func end(_ call: Call, _ result: Result<StoreReply, StoreClientError>) {
    calls[call.id] = nil
    statistics.commands += 1
    call.end(result)
    guard let number = call.number else { return }
    number.shard.complete(number)
    admitWaiting(number.shard)
  }

  /// Looks at the clock for as long as calls are under way.
  private func tickWhileBusy() {
    guard !isTicking else { return }
    isTicking = true
    Task { [weak self, executor] in
      while await self?.tick() == true {
        guard (try? await executor.sleep(for: .milliseconds(10))) != nil else { return }
      }
    }
  }

  /// Repeats what is due and gives up what is late; false when there is nothing left to look after.
  private func tick() -> Bool {
    let now = ContinuousClock.now
    for call in calls.values {
      if call.deadline <= now {
        fail(call, .timedOut, "no answer within \(configuration.patience)")
      } else if let due = call.retryAt, due <= now {
        call.retryAt = nil
        dispatch(call)
      }
    }
    for link in links.values {
      guard let sentAt = link.oldest?.sentAt, now - sentAt > configuration.replyTimeout else {
        continue
      }
      logger.debug("a server does not answer", metadata: ["server": "\(link.address)"])
      link.task?.cancel()
      lose(link)
    }
    isTicking = !calls.isEmpty && !isClosed
    return isTicking
  }
}
