import CycladesPaxos

/// A whole group in one thread: nodes, disks, links and clients under virtual time.
///
/// Everything that happens is an occurrence in one queue, and all chance comes from one generator,
/// so the seed decides the run.
package final class Cluster {
  let seed: UInt64
  var random: SplitMix
  let swarm: Swarm
  let options: SimulationOptions
  package private(set) var now: UInt64 = 0
  var queue = EventQueue()
  package let nodes: [SimulatedNode]
  var network: Network
  var clients: [Client]
  var history = History()
  var trace: Trace
  var statistics = SimulationReport.Statistics()
  package var failure: SimulationFailure?

  /// The payload decided in each slot, from slot 1.
  var decided: [Payload] = []
  /// The machine that the decided slots make, and the hash of its state after each of them.
  var model: Machine
  var hashes: [UInt64] = []
  /// Who governs behind the decided slots, the same behind each of them, and from where on who did.
  var schedule = MembershipSchedule(current: Membership(number: 0, members: []))
  var schedules: [MembershipSchedule] = []
  var eras: [(from: Slot, membership: Membership)] = []
  /// Who led in which ballot; found by key, never iterated.
  var leaders: [Ballot: NodeID] = [:]
  /// The highest number of a membership that anybody proposed.
  var newestProposed: UInt32 = 0
  /// The attempts that were called certainly not done.
  var refused: Set<UInt64> = []
  var attempts: UInt64 = 0
  var noops: UInt64 = 0
  /// Faults go on until the cluster is healed.
  var isHealed = false
  var acceptsWork = true

  static let tick: UInt64 = 20_000_000

  package init(seed: UInt64, options: SimulationOptions) {
    self.seed = seed
    var random = SplitMix(seed: seed)
    var swarm = Swarm(options.scenario, nodes: options.nodes, random: &random)
    if options.spares > 0 { swarm.spares = options.spares }
    if let window = options.window { swarm.window = window }
    self.swarm = swarm
    self.options = options
    nodes = (0..<swarm.nodes + swarm.spares).map { index in
      SimulatedNode(
        id: NodeID(UInt32(index + 1)),
        machine: Machine(keys: swarm.keys, clients: swarm.clients),
        clockOffset: random.uniform(0...1_000_000_000_000),
        clockRate: 1000 - swarm.drift + random.uniform(0...2 * swarm.drift))
    }
    network = Network(swarm)
    model = Machine(keys: swarm.keys, clients: swarm.clients)
    clients = Array(repeating: Client(), count: swarm.clients)
    trace = Trace(isRecording: options.isTracing)
    self.random = random
    statistics.nodes = swarm.nodes
    let members = initialMembership()
    schedule = MembershipSchedule(current: members)
    schedules = [schedule]
    eras = [(1, members)]
    if swarm.variesPatience {
      let isSplit = options.scenario == .leases
      let isShort = options.scenario == .replacement
      for node in nodes {
        // Impatient ones elect another leader while a patient one still believes in itself.
        let isPatient = self.random.chance(400)
        let range: ClosedRange<UInt64> =
          isSplit
          ? (isPatient ? 900...1_500 : 120...250) : isShort ? 120...500 : 150...1_500
        node.patience = self.random.uniform(range) * 1_000_000
      }
    }
    for index in nodes.indices { start(index) }
    for client in clients.indices {
      schedule(.wake(client: client), after: self.random.uniform(0...200_000_000))
    }
    if swarm.faultInterval > 0 { schedule(.nemesis, after: swarm.faultInterval) }
    if swarm.operatorInterval > 0 { schedule(.operate, after: swarm.operatorInterval) }
  }

  /// What happened so far, when tracing was asked for.
  package var traceLines: [String] { trace.lines }

  /// The node that leads, if there is just one.
  package var leader: Int? {
    let leaders = nodes.indices.filter { nodes[$0].core?.role == .leader }
    return leaders.count == 1 ? leaders[0] : nil
  }

  func schedule(_ occurrence: Occurrence, after delay: UInt64) {
    queue.insert(occurrence, at: now + delay)
  }

  /// Lets everything happen that happens before an instant, or until something fails.
  package func run(until end: UInt64, orWhen isDone: () -> Bool = { false }) {
    while failure == nil, !isDone(), let time = queue.nextTime, time <= end {
      let (time, occurrence) = queue.removeFirst()!
      now = time
      statistics.events += 1
      trace.mix(time)
      handle(occurrence)
    }
    if failure == nil, !isDone() { now = max(now, end) }
  }

  private func handle(_ occurrence: Occurrence) {
    switch occurrence {
    case .tick(let node, let life):
      guard nodes[node].life == life, !postpone(occurrence, for: node) else { return }
      tickDownload(node)
      step(node, .tick(now: nodes[node].clock(now)))
      if nodes[node].life == life, mustBeginAnew(node) {
        beginAnew(node)
        return
      }
      if nodes[node].life == life { schedule(occurrence, after: Cluster.tick) }
    case .deliver(let message, let from, let incarnation, let to):
      guard nodes[to].isUp, network.isOpen(from: from, to: to),
        !postpone(occurrence, for: to)
      else { return }
      guard !nodes[to].isMuted || !message.asksForVote else { return }
      unmute(to, message)
      trace.mix(message)
      trace.note(at: now, "\(nodes[from].id) -> \(nodes[to].id)  \(describe(message))")
      step(to, .received(message, from: nodes[from].id, incarnation: incarnation))
    case .connected(let node, let peer):
      guard nodes[node].isUp, !postpone(occurrence, for: node) else { return }
      step(node, .connected(nodes[peer].id, incarnation: nodes[peer].incarnation))
    case .synced(let node, let life, let sync):
      guard nodes[node].life == life, nodes[node].sync == sync, !postpone(occurrence, for: node)
      else { return }
      synced(node)
    case .request(let attempt, let node):
      guard !postpone(occurrence, for: node) else { return }
      request(attempt, to: node)
    case .reply(let attempt, let answer): reply(attempt, answer)
    case .wake(let client): wake(client)
    case .timeout(let attempt): timeout(attempt)
    case .restart(let node): if !nodes[node].isUp { start(node) }
    case .resume(let node): resume(node)
    case .nemesis: draw(causeFault, again: occurrence, interval: swarm.faultInterval)
    case .operate: draw(operate, again: occurrence, interval: swarm.operatorInterval)
    case .transfer(let transfer, let from, let to):
      guard nodes[to].isUp, network.isOpen(from: from, to: to), !postpone(occurrence, for: to)
      else { return }
      receive(transfer, from: from, on: to)
    case .snapshotWritten(let node, let life, let snapshot):
      guard isLive(node, life), !postpone(occurrence, for: node) else { return }
      snapshotWritten(snapshot, on: node)
    case .compact(let node, let life):
      guard isLive(node, life), !postpone(occurrence, for: node) else { return }
      compact(node)
    case .snapshotStored(let node, let life, let snapshot):
      guard isLive(node, life), !postpone(occurrence, for: node) else { return }
      snapshotStored(snapshot, on: node)
    case .install(let node, let life, let snapshot):
      guard isLive(node, life), !postpone(occurrence, for: node) else { return }
      install(snapshot, on: node)
    }
  }

  private func isLive(_ node: Int, _ life: Int) -> Bool { nodes[node].life == life }

  /// Puts off what comes to a paused process until it goes on.
  private func postpone(_ occurrence: Occurrence, for node: Int) -> Bool {
    guard nodes[node].isUp, nodes[node].pausedUntil > now else { return false }
    nodes[node].postponed.append(occurrence)
    return true
  }

  /// Stops a process without its knowledge, as SIGSTOP does.
  func pause(_ index: Int, for time: UInt64) {
    nodes[index].pausedUntil = max(nodes[index].pausedUntil, now + time)
    trace.note(at: now, "\(nodes[index].id) pauses")
    schedule(.resume(node: index), after: time)
  }

  /// Lets a process go on, with all at once that came meanwhile.
  private func resume(_ index: Int) {
    let node = nodes[index]
    guard node.pausedUntil <= now else { return }
    for occurrence in node.postponed { queue.insert(occurrence, at: now) }
    node.postponed = []
  }

  func endPause(_ index: Int) {
    nodes[index].pausedUntil = 0
    resume(index)
  }

  // MARK: Processes

  /// Starts a process: what its disk holds, part of it applied by the shell itself.
  package func start(_ index: Int) {
    let node = nodes[index]
    let configuration = Configuration(
      node: node.id, incarnation: node.incarnation, membership: eras[0].membership,
      timing: Timing(electionTimeout: node.patience, returnPatience: swarm.returnPatience),
      window: swarm.window,
      lease: swarm.lease)
    node.life += 1
    node.machine = Machine(keys: swarm.keys, clients: swarm.clients)
    node.applied = 0
    node.promisedAtStart = node.disk.promised
    node.isWrong = false
    node.outvotedAt = nil
    node.disk.recover()
    if let snapshot = node.disk.snapshot { restore(snapshot, on: index) }
    let base = node.applied
    guard node.disk.base <= base else {
      fail(
        .durability,
        "node \(node.id) has a log from \(node.disk.base + 1) and a snapshot of \(base)")
      return
    }
    guard failure == nil else { return }
    let recovered = node.disk.recovered(behind: base, schedule: node.disk.snapshot?.schedule)
    do {
      var core = try Paxos(
        configuration, recovered: recovered, seed: random.next(),
        makeMembership: { [unowned self] membership in
          noops += 1
          newestProposed = max(newestProposed, membership.number)
          return Command(membership, number: noops)
        },
        makeNoop: { [unowned self] in
          noops += 1
          return Command(noop: noops)
        })
      if let bug = options.bug { core.mutation = bug.core }
      node.core = core
    } catch {
      fail(.order, "node \(node.id) cannot start: \(error)")
      return
    }
    trace.note(
      at: now, "\(node.id) starts, commit \(node.disk.commit) of \(node.disk.last)")
    node.core!.start(now: node.clock(now), into: &node.effects)
    perform(index)
    let life = node.life
    if node.isUp, node.applied > 0 { noteState(of: index) }
    if node.isUp, node.disk.base > 0 { step(index, .compacted(through: node.disk.base)) }
    guard node.life == life else { return }
    schedule(.tick(node: index, life: life), after: random.uniform(0...Cluster.tick))
    for peer in nodes.indices where peer != index && nodes[peer].isUp { reconnect(index, peer) }
  }

  /// Stops a process at once. Its disk forgets some of what it had not reported.
  package func crash(_ index: Int) {
    let node = nodes[index]
    guard node.isUp else { return }
    trace.note(at: now, "\(node.id) crashes")
    statistics.crashes += 1
    node.core = nil
    node.life += 1
    node.disk.crash(random: &random)
    node.effects = []
    node.held = []
    node.isWritingSnapshot = false
    node.download = nil
    node.crashCountdown = nil
    node.pausedUntil = 0
    node.postponed = []
    for (_, command) in node.proposals { answer(command.attempt!, .unknown) }
    for attempt in node.readers { answer(attempt, .unknown) }
    node.proposals = []
    node.readers = []
  }

  /// Tells both ends of a pair of links that they are connected, if they are.
  func reconnect(_ a: Int, _ b: Int) {
    guard network.isOpen(from: a, to: b), network.isOpen(from: b, to: a) else { return }
    schedule(.connected(node: a, peer: b), after: swarm.delayMinimum)
    schedule(.connected(node: b, peer: a), after: swarm.delayMinimum)
  }

  func step(_ index: Int, _ event: Event) {
    let node = nodes[index]
    node.core!.step(event, into: &node.effects)
    perform(index)
  }

  // MARK: Effects

  /// Carries out the effects of a node in order; it may crash between any two.
  func perform(_ index: Int) {
    let node = nodes[index]
    var effects: [Effect] = []
    swap(&effects, &node.effects)
    let life = node.life
    for effect in effects {
      if let countdown = node.crashCountdown {
        if countdown == 0 { crash(index) } else { node.crashCountdown = countdown - 1 }
      }
      guard node.life == life, failure == nil else { return }
      perform(effect, of: index)
    }
    // Telling the core of a state may have had effects of its own.
    guard node.effects.isEmpty else {
      perform(index)
      return
    }
    if node.disk.needsSync { startSync(index) }
    effects.removeAll(keepingCapacity: true)
    swap(&effects, &node.effects)
  }

  private func perform(_ effect: Effect, of index: Int) {
    let node = nodes[index]
    switch effect {
    case .persistPromise(let ballot, let token): node.disk.write(ballot, token: token)
    case .persistEntry(let entry, let token): node.disk.write(entry, token: token)
    case .send(let message, let peer, let token):
      let to = Int(peer.rawValue) - 1
      checkPromise(of: message, from: index)
      if let token {
        node.held.append(SimulatedNode.Held(message: message, to: to, token: token))
      } else {
        send(message, from: index, to: to)
      }
      if case .stand = message, !isHealed, swarm.deafensAtTransfer > 0,
        random.chance(swarm.deafensAtTransfer)
      {
        isolate(index, isHeard: true)
      }
    case .apply(let entry): apply(entry, on: index)
    case .membershipChanged(let membership, let from):
      trace.note(at: now, "\(node.id) knows members \(membership) from \(from) on")
      if !isHealed, node.core?.role == .leader, random.chance(swarm.cutsAtChange) {
        cutLinks(around: index)
      }
      if !isHealed, swarm.splitsAtChange > 0, random.chance(swarm.splitsAtChange) {
        split(leaving: membership)
      }
    case .provide(let peer, let from, let through):
      let end = min(through, from + Slot(swarm.learnChunk) - 1)
      let entries = Array(node.disk.entries(from: from, through: end))
      guard !entries.isEmpty else { return }
      statistics.learned += entries.count
      send(.learn(entries), from: index, to: Int(peer.rawValue) - 1)
    case .provideSnapshot(let peer):
      provideSnapshot(to: Int(peer.rawValue) - 1, from: index)
    case .stateDiffers(let slot, let isOutvoted):
      stateDiffers(behind: slot, isOutvoted: isOutvoted, on: index)
    case .readReady(let id): readReady(id, on: index)
    case .readRefused(let id): readRefused(id, on: index)
    case .roleChanged(let role, let leader, let ballot):
      trace.note(
        at: now,
        "\(node.id) is \(role) in \(ballot), leader \(leader.map(\.description) ?? "unknown")")
      if role == .leader { checkOffice(ballot, of: index) }
    }
  }

  func send(_ message: Message, from: Int, to: Int) {
    if nodes[from].isMuted {
      guard case .fetch = message else { return }
    }
    checkDurability(of: message, from: from)
    statistics.messages += 1
    let (first, second) = network.arrivals(from: from, to: to, now: now, random: &random)
    let incarnation = nodes[from].incarnation
    for arrival in [first, second] {
      guard let arrival else { continue }
      queue.insert(
        .deliver(message, from: from, incarnation: incarnation, to: to), at: arrival)
    }
  }

  private func startSync(_ index: Int) {
    let node = nodes[index]
    node.disk.startSync()
    scheduleSync(index)
  }

  /// Lets the sync under way end after as long as the disk takes now.
  func scheduleSync(_ index: Int) {
    let node = nodes[index]
    node.sync += 1
    schedule(
      .synced(node: index, life: node.life, sync: node.sync), after: diskDelay(of: index))
  }

  /// How long the disk of a node takes for something that begins now.
  func diskDelay(of index: Int) -> UInt64 {
    let begin = max(now, nodes[index].disk.stalledUntil)
    let spread = isHealed ? min(swarm.diskSpread, 10_000_000) : swarm.diskSpread
    return begin - now + 100_000 + random.next() % spread
  }

  private func synced(_ index: Int) {
    let node = nodes[index]
    let token = node.disk.finishSync()
    trace.mix(token)
    let released = node.held.filter { $0.token <= token }
    node.held.removeAll { $0.token <= token }
    for held in released { send(held.message, from: index, to: held.to) }
    step(index, .persisted(token: token))
    if node.isUp, node.disk.needsSync { startSync(index) }
  }
}
