import ArgumentParser
import CycladesServer
import Glibc

/// What is done to the cluster while clients work.
enum HistoryFault: String, CaseIterable, ExpressibleByArgument {
  case kill, pause, isolate, cutOneWay, joinAndLeave

  /// Does it to a cluster, and undoes it; returns when all nodes serve again.
  func happen(
    to cluster: DemoCluster, _ proxies: PeerProxies, _ random: inout SplitMix
  ) async throws {
    let founders: [UInt32] = [1, 2, 3]
    let victim = founders.randomElement(using: &random)!
    let length = Duration.milliseconds(Int.random(in: 300...2500, using: &random))
    switch self {
    case .kill:
      cluster.kill(victim)
      try await Task.sleep(for: length)
      try cluster.start(victim)
    case .pause:
      cluster.signal(victim, SIGSTOP)
      try await Task.sleep(for: length)
      cluster.signal(victim, SIGCONT)
    case .isolate:
      var ways: Set<PeerProxies.Way> = []
      for other in founders where other != victim {
        ways.insert(.init(from: victim, to: other))
        ways.insert(.init(from: other, to: victim))
      }
      proxies.cut(ways)
      try await Task.sleep(for: length)
      proxies.cut([])
    case .cutOneWay:
      let other = founders.filter { $0 != victim }.randomElement(using: &random)!
      proxies.cut([.init(from: victim, to: other)])
      try await Task.sleep(for: length)
      proxies.cut([])
    case .joinAndLeave:
      try await Self.joinAndLeave(cluster)
    }
    try await eventually(.seconds(60), "all nodes serving after '\(rawValue)'") {
      try cluster.isServing()
    }
  }

  /// A fourth node gets its share, then gives everything back, and goes.
  private static func joinAndLeave(_ cluster: DemoCluster) async throws {
    let newcomer = try cluster.prepareNode()
    try cluster.start(newcomer)
    try await eventually(.seconds(90), "node \(newcomer) holding its share") {
      try cluster.isInPlace { $0.planned?.contains(newcomer) == true }
    }
    try cluster.change(["DRAIN", "\(newcomer)"])
    try await eventually(.seconds(90), "node \(newcomer) holding nothing") {
      let isDrained = try cluster.isInPlace { $0.planned?.contains(newcomer) == false }
      return isDrained
        && cluster.status(of: newcomer)?.shards.allSatisfy { $0.role == "none" } == true
    }
    try cluster.change(["REMOVE", "\(newcomer)"])
    cluster.leave(newcomer)
  }
}

/// Waits until something holds.
func eventually(
  _ limit: Duration, _ what: String, _ isSo: () throws -> Bool
) async throws {
  let deadline = ContinuousClock.now + limit
  while try !isSo() {
    guard ContinuousClock.now < deadline else {
      throw CommandFailure("waited \(limit) in vain for \(what)")
    }
    try await Task.sleep(for: .milliseconds(50))
  }
}
