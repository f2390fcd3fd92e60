import ArgumentParser
import CycladesServer
import CycladesTransport
import Glibc

/// `cyclades status`: the state of a cluster, as its nodes see it.
struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Show the nodes and shards of a running cluster.",
    discussion: """
      Asks one node, at either of its client ports, and through it learns of the others and asks \
      them too. LAG is how many log slots the slowest reachable replica is behind its leader.
      """)

  @Option(help: "HOST:PORT of any node, its plain or its cluster port.")
  var connect: String

  @Flag(help: "Print that node's report as one line of JSON.")
  var json = false

  @Flag(help: "Print it again every second, until Ctrl-C.")
  var watch = false

  func run() async throws {
    let address: SocketAddress
    do {
      address = try SocketAddress(parsing: connect)
    } catch {
      throw CommandFailure("--connect: \(error)")
    }
    let clears = watch && !json && isatty(STDOUT_FILENO) == 1
    repeat {
      let text = try await show(address)
      writeAll((clears ? "\u{1B}[H\u{1B}[J" : "") + text + "\n", to: STDOUT_FILENO)
      if watch { try await Task.sleep(for: .seconds(1)) }
    } while watch
  }

  private func show(_ address: SocketAddress) async throws -> String {
    let report = try await StatusReport.fetch(from: address)
    if json { return String(decoding: report.json(), as: UTF8.self) }
    return ClusterView(asked: report, others: await Self.reports(of: report)).text
  }

  /// The reports of the other nodes that answer.
  private static func reports(of report: StatusReport) async -> [StatusReport] {
    await withTaskGroup(of: StatusReport?.self) { group in
      for node in report.nodes where node.id != report.node && node.isConnected {
        guard let text = node.plainAddress, let address = try? SocketAddress(parsing: text) else {
          continue
        }
        group.addTask { try? await StatusReport.fetch(from: address) }
      }
      return await group.reduce(into: []) { if let report = $1 { $0.append(report) } }
    }
  }
}

/// The reports of several nodes as one picture of their cluster.
struct ClusterView {
  let asked: StatusReport
  let others: [StatusReport]

  private var reports: [UInt32: StatusReport] {
    Dictionary(([asked] + others).map { ($0.node, $0) }) { first, _ in first }
  }

  /// The tables that `cyclades status` prints.
  var text: String {
    let shards = asked.shards.map(merged)
    let led = shards.filter { $0.leader != nil }.count
    let keys = shards.reduce(0) { $0 + $1.keys }
    let head =
      "cluster \(asked.cluster): \(asked.nodes.count) nodes, \(led) of \(shards.count) shards led, "
      + "\(keys.grouped) keys"
    return ([head, ""] + nodeTable(shards).lines + [""] + shardTable(shards).lines)
      .joined(separator: "\n")
  }

  private func nodeTable(_ shards: [StatusReport.Shard]) -> TextTable {
    var table = TextTable(
      ["NODE", "STATE", "LEADS", "PLAIN", "CLUSTER", "PEER", "CLIENTS", "LOG", "UPTIME"],
      numeric: [2, 6, 7, 8])
    let reports = reports
    for node in asked.nodes {
      let report = reports[node.id]
      let state = report != nil ? "up" : node.isConnected ? "no answer" : "down"
      table.append([
        String(node.id), state, String(shards.filter { $0.leader == node.id }.count),
        node.plainAddress ?? "-", node.clusterAddress ?? "-", node.peerAddress,
        report.map { String($0.clients) } ?? "-",
        report.map { "\(decimal(Double($0.log.bytes) / 1_048_576, places: 1)) MB" } ?? "-",
        report.map { "\($0.uptimeSeconds) s" } ?? "-",
      ])
    }
    return table
  }

  private func shardTable(_ shards: [StatusReport.Shard]) -> TextTable {
    var table = TextTable(
      ["SHARD", "SLOTS", "LEADER", "MEMBERS", "BALLOT", "COMMIT", "APPLIED", "LAG", "KEYS"],
      numeric: [0, 5, 6, 7, 8])
    for shard in shards {
      table.append([
        String(shard.id), "\(shard.firstSlot)-\(shard.lastSlot)",
        shard.leader.map(String.init) ?? "none",
        shard.members.map(String.init).joined(separator: ","), shard.ballot, String(shard.commit),
        String(shard.applied), String(shard.lag), String(shard.keys),
      ])
    }
    return table
  }

  /// A shard as its leader sees it, with the lag of the slowest replica.
  private func merged(_ seen: StatusReport.Shard) -> StatusReport.Shard {
    let views = reports.values.flatMap { report in
      report.shards.filter { $0.id == seen.id }.map { (report.node, $0) }
    }
    let leading = views.filter { $0.1.leader == $0.0 }.map(\.1).max { $0.commit < $1.commit }
    var shard = leading ?? seen
    let slowest = views.map(\.1.applied).min() ?? shard.applied
    shard.lag = shard.commit > slowest ? shard.commit - slowest : 0
    return shard
  }
}
