package import CycladesPaxos

/// One client: one operation at a time, wherever it hopes to find the leader.
struct Client {
  var attempt: Attempt?
  /// An operation to try again.
  var refused: Int?
  /// The node to try next; nil for any.
  var hint: Int?
}

extension Cluster {
  private var think: UInt64 { random.uniform(1_000_000...40_000_000) }
  private var hop: UInt64 { random.uniform(100_000...1_000_000) }

  /// A client begins its next operation, or tries again the one that was refused.
  func wake(_ index: Int) {
    guard acceptsWork, clients[index].attempt == nil else { return }
    if let operation = clients[index].refused {
      clients[index].refused = nil
      tryAgain(operation, client: index)
      return
    }
    guard history.operations.count < options.operations * swarm.operations / 100 || isHealed else {
      return
    }
    let key = random.index(below: swarm.keys)
    // Every value is written once, so that a value found names its writer.
    let new = history.operations.count + 1
    let action: Action =
      switch random.next() % 10 {
      case 0..<4: .read
      case 4..<8: .write(new)
      default: .compareAndSet(expected: nodes[0].machine.values[key], new: new)
      }
    let operation = history.begin(action, key: key)
    tryAgain(operation, client: index)
  }

  private func tryAgain(_ operation: Int, client index: Int) {
    attempts += 1
    let attempt = Attempt(operation: operation, client: index, number: attempts)
    clients[index].attempt = attempt
    let node = clients[index].hint ?? random.index(below: nodes.count)
    clients[index].hint = nil
    schedule(.request(attempt: attempt, to: node), after: hop)
    schedule(.timeout(attempt: attempt), after: 2_000_000_000)
  }

  /// An attempt reaches a node.
  func request(_ attempt: Attempt, to index: Int) {
    let node = nodes[index]
    guard node.isUp, clients[attempt.client].attempt?.number == attempt.number else {
      refuse(attempt, leader: nil)
      return
    }
    let operation = history.operations[attempt.operation]
    if case .read = operation.action {
      node.readers.append(attempt)
      if random.chance(swarm.readsHere) {
        step(index, .readHere(id: attempt.number))
      } else {
        let time = swarm.lease == nil ? nil : node.clock(now)
        step(index, .read(id: attempt.number, now: time))
      }
      return
    }
    let command = Command(attempt, key: operation.key, action: operation.action)
    // Known before the effects are carried out: the first of them may crash the node.
    let slot = node.core!.propose(command, into: &node.effects)
    guard let slot else {
      refuse(attempt, leader: node.core!.leader)
      return
    }
    node.proposals.append((slot, command))
    trace.note(at: now, "\(node.id) proposes in slot \(slot)")
    perform(index)
  }

  private func refuse(_ attempt: Attempt, leader: NodeID?) {
    refused.insert(attempt.number)
    answer(attempt, .notDone(leader: leader))
  }

  /// Proposes without a client, as a test does; nil when the node does not lead.
  package func propose(on index: Int) -> Slot? {
    let operation = history.begin(.write(history.operations.count + 1), key: 0)
    attempts += 1
    let attempt = Attempt(operation: operation, client: 0, number: attempts)
    let action = history.operations[operation].action
    let node = nodes[index]
    guard
      let slot = node.core?.propose(Command(attempt, key: 0, action: action), into: &node.effects)
    else {
      history.abandon(operation)
      return nil
    }
    trace.note(at: now, "\(node.id) proposes in slot \(slot)")
    perform(index)
    return slot
  }

  func answer(_ attempt: Attempt, _ answer: Answer) {
    schedule(.reply(attempt: attempt, answer), after: hop)
  }

  /// Answers whoever waits for what this slot holds, or held before it lost the slot.
  func settle(_ entry: Entry, found: Int?, on index: Int) {
    let node = nodes[index]
    guard let place = node.proposals.firstIndex(where: { $0.slot == entry.slot }) else { return }
    let command = node.proposals.remove(at: place).command
    if command === entry.payload {
      // Whoever came too late has given up waiting already.
      if let found { answer(command.attempt!, .done(found: found)) }
    } else {
      // It was proposed in this slot alone, and another value has it.
      refuse(command.attempt!, leader: node.core?.leader)
    }
  }

  func readReady(_ id: UInt64, on index: Int) {
    let node = nodes[index]
    guard let place = node.readers.firstIndex(where: { $0.number == id }) else {
      fail(.order, "node \(node.id) answers a read that nobody asked")
      return
    }
    let attempt = node.readers.remove(at: place)
    let key = history.operations[attempt.operation].key
    answer(attempt, .done(found: node.machine.values[key]))
  }

  func readRefused(_ id: UInt64, on index: Int) {
    let node = nodes[index]
    guard let place = node.readers.firstIndex(where: { $0.number == id }) else {
      fail(.order, "node \(node.id) refuses a read that nobody asked")
      return
    }
    answer(node.readers.remove(at: place), .notDone(leader: node.core?.leader))
  }

  /// An answer reaches the client, which may have given up.
  func reply(_ attempt: Attempt, _ answer: Answer) {
    guard clients[attempt.client].attempt?.number == attempt.number else { return }
    trace.mix(attempt.number)
    clients[attempt.client].attempt = nil
    switch answer {
    case .done(let found):
      trace.mix(UInt64(found))
      history.finish(attempt.operation, found: found)
      schedule(.wake(client: attempt.client), after: think)
    case .notDone(let leader):
      clients[attempt.client].hint = leader.map { Int($0.rawValue) - 1 }
      clients[attempt.client].refused = attempt.operation
      schedule(.wake(client: attempt.client), after: think)
    case .unknown: persist(attempt)
    }
  }

  /// The client gives up waiting: the attempt may or may not have done the operation.
  func timeout(_ attempt: Attempt) {
    guard clients[attempt.client].attempt?.number == attempt.number else { return }
    clients[attempt.client].attempt = nil
    persist(attempt)
  }

  /// Tries an operation again that may be done already, which its session makes harmless; or not.
  private func persist(_ attempt: Attempt) {
    if random.chance(700) { clients[attempt.client].refused = attempt.operation }
    schedule(.wake(client: attempt.client), after: think)
  }
}
