import CycladesPaxos
import CycladesTransport

/// What goes wrong, as the seed draws it.
extension NodeCluster {
  /// Lets something go wrong after a while, and again.
  func scheduleFault() {
    schedule(after: .milliseconds(Int64(random.uniform(50...800)))) { [unowned self] in
      fault()
      scheduleFault()
    }
  }

  private func fault() {
    let index = random.index(below: nodes.count)
    let outage = Duration.milliseconds(Int64(random.uniform(20...2_500)))
    switch random.next() % 12 {
    case 0, 1: crash(index, isSilent: random.chance(400), outage: outage)
    case 2: crashSeveral(outage)
    case 3, 4: pause(index, outage)
    case 5, 6: isolate(index, outage)
    case 7: cutOneWay(index, outage)
    case 8:
      statistics.resets += 1
      world.reset(index, random.index(below: nodes.count + 1))
    case 9:
      breakDisk(index, .stalled, outage)
    case 10:
      breakDisk(index, random.chance(500) ? .full : .failing, outage)
    default:
      statistics.clockFaults += 1
      let offset = Int64(random.uniform(0...20_000_000)) - 10_000_000
      note("the clock of node \(index + 1) is off by \(offset) ms")
      world.setClock(of: index, offset: .milliseconds(offset), drift: 0)
    }
  }

  /// A process dies, or with `isSilent` its machine, and comes back after the outage.
  func crash(_ index: Int, isSilent: Bool, outage: Duration) {
    guard nodes[index].isUp else { return }
    statistics.crashes += 1
    note("node \(index + 1) crashes\(isSilent ? " with its machine" : "") for \(outage)")
    world.crash(index, isSilent: isSilent)
    bury(index)
    let wakesAt = world.now + outage
    nodes[index].wakesAt = wakesAt
    schedule(after: outage) { [unowned self] in
      guard !nodes[index].isUp, nodes[index].wakesAt == wakesAt else { return }
      revive(index)
    }
  }

  private func revive(_ index: Int) {
    world.revive(index)
    boot(index)
  }

  /// A power cut: some or all at once.
  private func crashSeveral(_ outage: Duration) {
    for index in nodes.indices where random.chance(700) {
      crash(index, isSilent: true, outage: outage + .milliseconds(Int64(random.uniform(0...200))))
    }
  }

  private func pause(_ index: Int, _ outage: Duration) {
    guard nodes[index].isUp, nodes[index].wakesAt == nil else { return }
    statistics.pauses += 1
    note("node \(index + 1) pauses for \(outage)")
    let wakesAt = world.now + outage
    nodes[index].wakesAt = wakesAt
    schedule(after: outage) { [unowned self] in
      if nodes[index].isUp, nodes[index].wakesAt == wakesAt { nodes[index].wakesAt = nil }
    }
  }

  /// Cuts a node off from the other nodes; clients reach it still, or not.
  private func isolate(_ index: Int, _ outage: Duration) {
    statistics.partitions += 1
    let others = nodes.indices.filter { $0 != index } + (random.chance(300) ? [nodes.count] : [])
    note("node \(index + 1) is cut off for \(outage)")
    set(others.flatMap { [(index, $0), ($0, index)] }, for: outage)
  }

  private func cutOneWay(_ index: Int, _ outage: Duration) {
    statistics.partitions += 1
    let other = random.index(below: nodes.count)
    note("nothing goes from node \(index + 1) to node \(other + 1) for \(outage)")
    set([(index, other)], for: outage)
  }

  private func set(_ links: [(from: Int, to: Int)], for outage: Duration) {
    for link in links { world.block(from: link.from, to: link.to, true) }
    schedule(after: outage) { [unowned self] in
      for link in links { world.block(from: link.from, to: link.to, false) }
    }
  }

  private func breakDisk(_ index: Int, _ disk: World.Disk, _ outage: Duration) {
    guard nodes[index].isUp else { return }
    statistics.diskFaults += 1
    note("the disk of node \(index + 1) is \(disk) for \(outage)")
    world.setDisk(of: index, disk)
    schedule(after: outage) { [unowned self] in world.setDisk(of: index, .well) }
  }

  /// Nothing is wrong any more.
  func healAll() {
    for from in 0..<world.hostCount {
      for to in 0..<world.hostCount { world.block(from: from, to: to, false) }
    }
    for index in nodes.indices {
      world.setDisk(of: index, .well)
      nodes[index].isUp ? (nodes[index].wakesAt = nil) : revive(index)
    }
  }
}
