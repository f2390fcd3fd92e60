import CycladesTransport
import Logging

/// How calls find their node, and what replies do to them.
extension StoreClient {
  /// How long a call waits that was refused because there is no leader yet, or too much to do.
  private static let pause = Duration.milliseconds(20)

  /// Sends a call on its way: to its session first when it needs a number.
  func dispatch(_ call: Call) {
    guard !call.isOver else { return }
    guard let slot = call.slot else { return send(call, to: anyNode()) }
    guard let shard = topology.shard(of: slot) else {
      refresh()
      return retryLater(call)
    }
    if call.effect == .numbered, call.number == nil {
      // Behind those that wait already.
      guard shard.waiting.isEmpty, let number = shard.number() else {
        shard.waiting.append(call)
        if shard.session == nil { openSession(shard) }
        return
      }
      call.number = number
    }
    send(call, to: node(for: shard))
  }

  /// The leader of a shard, or while it cannot be reached some other node, which knows the next. One
  /// that failed is tried again when its pause is over, however many others can be reached: nobody
  /// else would.
  private func node(for shard: ShardView) -> NodeAddress {
    links[shard.leader]?.isResting == true ? anyNode() : shard.leader
  }

  /// A node that can be reached, in turn; else one that may be tried again.
  private func anyNode() -> NodeAddress {
    turn += 1
    let nodes = topology.nodes
    let ready = nodes.filter { links[$0]?.isReady == true }
    if !ready.isEmpty { return ready[turn % ready.count] }
    let open = nodes.filter { links[$0]?.isResting != true }
    return open.isEmpty ? nodes[turn % nodes.count] : open[turn % open.count]
  }

  private func send(_ call: Call, to address: NodeAddress) {
    let link = link(to: address)
    switch link.state {
    case .ready: put(call, on: link)
    case .connecting: link.keep(call)
    case .failed: retryLater(call)
    }
  }

  private func put(_ call: Call, on link: NodeLink) {
    if call.mayHaveRun { statistics.repetitions += 1 }
    call.append(to: &link.outgoing)
    call.link = link
    call.sentAt = .now
    link.note(sent: call)
    writeSoon(link)
  }

  /// Sends a call again after a pause; ends it when it must not be repeated.
  func retryLater(_ call: Call) {
    guard call.mayRepeat else {
      return fail(call, .timedOut, "the connection was lost before the answer")
    }
    call.retryAt = .now + Self.pause
  }

  // MARK: - Sessions

  private func openSession(_ shard: ShardView) {
    guard !shard.isOpening else { return }
    shard.isOpening = true
    let slot = shard.slots.lowerBound
    let words = ["CYCLADES", "SESSION", String(slot)].map { Array($0.utf8) }
    // One that was begun in vain is forgotten by the shard in time, so it may be repeated.
    begin(words, slot: slot, .none, by: .now + configuration.patience) { result in
      shard.isOpening = false
      let waiting = shard.waiting
      switch result {
      case .success(let reply):
        if let session = reply.integer, session > 0 {
          shard.begin(UInt64(session))
          self.admitWaiting(shard)
          return
        }
        shard.waiting = []
        for call in waiting { self.fail(call, .badReply, "the shard gave out no session") }
      case .failure(let error):
        shard.waiting = []
        for call in waiting where !call.isOver {
          if error.code == .server {
            self.end(call, .failure(error))
          } else {
            self.retryLater(call)
          }
        }
      }
    }
  }

  /// Sends those calls that waited for a number and may have one now.
  func admitWaiting(_ shard: ShardView) {
    guard !shard.waiting.isEmpty else { return }
    var admitted = 0
    while admitted < shard.waiting.count {
      let call = shard.waiting[admitted]
      if !call.isOver {
        guard let number = shard.number() else { break }
        call.number = number
        send(call, to: node(for: shard))
      }
      admitted += 1
    }
    shard.waiting.removeFirst(admitted)
    if !shard.waiting.isEmpty, shard.session == nil { openSession(shard) }
  }

  // MARK: - Replies

  /// Takes in the reply to the oldest call of a link.
  func received(_ item: ReplyParser.Item, on link: NodeLink) {
    if case .push = item { return }
    guard let call = link.takeOldest() else {
      logger.warning("a reply nobody waits for", metadata: ["server": "\(link.address)"])
      return
    }
    call.link = nil
    call.sentAt = nil
    guard !call.isOver else { return }
    switch item {
    case .reply(let reply): end(call, .success(reply))
    case .failure(let error): refused(call, error)
    case .push: break
    }
  }

  private func refused(_ call: Call, _ error: StoreServerError) {
    switch error.kind {
    case "MOVED":
      follow(error, call)
    case "CLUSTERDOWN", "TRYAGAIN", "LOADING":
      refresh()
      call.retryAt = .now + Self.pause
    case "UNKNOWNOUTCOME":
      call.mayHaveRun = true
      refresh()
      retryLater(call)
    case "NOSESSION":
      guard let number = call.number else { return endAsRefused(call, error) }
      number.shard.lose(number.session)
      if call.mayHaveRun {
        return fail(call, .timedOut, "the shard has forgotten the session")
      }
      call.number = nil
      dispatch(call)
    case "STALESEQUENCE":
      fail(call, .timedOut, "the shard takes the command for one that was given up")
    case "REPLYLOST":
      end(
        call,
        .failure(StoreClientError(.replyLost, .done, "\(call.name): \(error.description)", error)))
    default:
      endAsRefused(call, error)
    }
  }

  private func endAsRefused(_ call: Call, _ error: StoreServerError) {
    end(
      call,
      .failure(StoreClientError(.server, .notDone, "\(call.name): \(error.description)", error)))
  }

  /// Goes where a node says that a slot is.
  private func follow(_ error: StoreServerError, _ call: Call) {
    let words = error.description.split(separator: " ")
    guard words.count == 3, let slot = Int(words[1]), let address = NodeAddress(words[2]) else {
      return endAsRefused(call, error)
    }
    topology.learn(address)
    topology.shard(of: slot)?.leader = address
    call.redirections += 1
    statistics.redirections += 1
    // Two nodes may each take the other for the leader until the election is over.
    if call.redirections % 4 == 0 {
      refresh()
      call.retryAt = .now + Self.pause
    } else if links[address]?.isResting == true {
      call.retryAt = .now + Self.pause
    } else {
      send(call, to: address)
    }
  }

  /// Asks some node which nodes lead which shards.
  func refresh() {
    guard !isRefreshing, !isClosed else { return }
    isRefreshing = true
    let words = ["CLUSTER", "SLOTS"].map { Array($0.utf8) }
    begin(words, slot: nil, .none, by: .now + .seconds(2)) { result in
      if case .success(let reply) = result { _ = self.topology.update(reply) }
      // Not again at once: many calls find out at the same time.
      Task { [weak self, executor = self.executor] in
        try? await executor.sleep(for: .milliseconds(50))
        await self?.endRefreshing()
      }
    }
  }

  private func endRefreshing() { isRefreshing = false }
}
