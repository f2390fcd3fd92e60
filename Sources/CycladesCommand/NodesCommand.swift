import ArgumentParser
import CycladesServer
import CycladesTransport
import Glibc

/// `cyclades nodes`: which nodes a cluster has, and changes of that.
struct NodesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nodes",
    abstract: "Show the nodes of a running cluster, empty them, or let them go.",
    discussion: """
      A node is added by starting it: cyclades serve --id N --join HOST:PORT ... The cluster then \
      moves shards to it by itself. 'plan' shows what is still to be moved.
      """,
    subcommands: [
      List.self, Plan.self, Drain.self, Up.self, Weight.self, Replace.self, Remove.self,
    ],
    defaultSubcommand: List.self)

  /// Where to ask.
  struct Target: ParsableArguments {
    @Option(help: "HOST:PORT of any node, its plain or its cluster port.")
    var connect: String

    func address() throws -> SocketAddress {
      do {
        return try SocketAddress(parsing: connect)
      } catch {
        throw CommandFailure("--connect: \(error)")
      }
    }

    /// Asks for a change, and waits until the node that was asked sees it made.
    func change(
      _ words: [String], until isDone: (StatusReport) -> Bool
    ) async throws -> StatusReport {
      let address = try address()
      _ = try await NodeRequest.send(["CYCLADES", "NODES"] + words, to: address)
      for _ in 0..<100 {
        let report = try await StatusReport.fetch(from: address)
        if isDone(report) { return report }
        try await Task.sleep(for: .milliseconds(100))
      }
      throw CommandFailure(
        "the change was submitted, but \(connect) does not see it made after 10 s: "
          + "look at 'cyclades status'")
    }
  }

  /// The nodes as a table.
  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the nodes.")
    @OptionGroup var target: Target
    @Flag(help: "Print the nodes as JSON.") var json = false

    func run() async throws {
      let report = try await StatusReport.fetch(from: target.address())
      if json {
        return print(String(decoding: report.json(), as: UTF8.self))
      }
      var table = TextTable(
        ["NODE", "ZONE", "PEERS AT", "CLIENTS AT", "WEIGHT", "HOLDS", "WANTED", "STATE"],
        numeric: [4, 5, 6])
      for node in report.nodes {
        let holds = report.shards.count { $0.members.contains(node.id) }
        let wanted = report.shards.count { $0.planned?.contains(node.id) == true }
        let state =
          node.isDraining
          ? "draining"
          : node.isAway == true ? "given up" : node.isConnected ? "up" : "unreachable"
        let zone = node.zone ?? ""
        table.append([
          "\(node.id)", zone.isEmpty ? "-" : zone, node.peerAddress, node.plainAddress ?? "-",
          "\(Double(node.weight) / 100)", "\(holds)", "\(wanted)", state,
        ])
      }
      print(table.lines.joined(separator: "\n"))
    }
  }

  /// What is still to be moved.
  struct Plan: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Show the shards that are not where they should be.")
    @OptionGroup var target: Target

    func run() async throws {
      let report = try await StatusReport.fetch(from: target.address())
      let moves = report.shards.filter { $0.planned != nil && $0.planned != $0.members }
      if moves.isEmpty { return print("Every shard is where it should be.") }
      var table = TextTable(["SHARD", "SLOTS", "ON", "PLANNED"])
      for shard in moves {
        table.append([
          "\(shard.id)", "\(shard.firstSlot)-\(shard.lastSlot)",
          shard.members.map(String.init).joined(separator: " "),
          shard.planned!.map(String.init).joined(separator: " "),
        ])
      }
      print(table.lines.joined(separator: "\n"))
    }
  }

  /// Empties a node.
  struct Drain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Move everything off a node, and wait until it holds nothing.")
    @Argument(help: "The node's number.") var id: UInt32
    @OptionGroup var target: Target

    func run() async throws {
      let report = try await target.change(["DRAIN", "\(id)"]) { report in
        report.nodes.contains { $0.id == id && $0.isDraining }
      }
      try await Self.wait(for: id, report, target)
    }

    /// Waits until a node holds nothing, and shows how much is left.
    static func wait(
      for id: UInt32, _ report: StatusReport, _ target: Target
    ) async throws {
      var report = report
      let progress = isatty(STDOUT_FILENO) == 1
      var last = -1
      while true {
        let left = report.shards.count { $0.members.contains(id) }
        if left != last {
          writeAll(
            (progress ? "\r\u{1B}[K" : "") + "node \(id) holds \(left) shards"
              + (progress ? "" : "\n"), to: STDOUT_FILENO)
        }
        last = left
        if left == 0 { break }
        try await Task.sleep(for: .milliseconds(300))
        report = try await StatusReport.fetch(from: target.address())
      }
      writeAll(
        (progress ? "\n" : "") + "Node \(id) can be stopped and removed: cyclades nodes remove "
          + "\(id) --connect \(target.connect)\n", to: STDOUT_FILENO)
    }
  }

  /// Lets a node hold its share again.
  struct Up: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Let a drained node hold shards again.")
    @Argument(help: "The node's number.") var id: UInt32
    @OptionGroup var target: Target

    func run() async throws {
      _ = try await target.change(["UP", "\(id)"]) { report in
        report.nodes.contains { $0.id == id && !$0.isDraining }
      }
      print("Node \(id) gets its share.")
    }
  }

  /// Changes a node's share.
  struct Weight: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Give a node a larger or smaller share: 1 is the usual, 0 nothing.")
    @Argument(help: "The node's number.") var id: UInt32
    @Argument(help: "From 0 to 100, with up to two decimals.") var weight: Double
    @OptionGroup var target: Target

    func validate() throws {
      guard weight >= 0, weight <= 100 else {
        throw ValidationError("a weight is from 0 to 100, not \(weight)")
      }
    }

    func run() async throws {
      let hundredths = UInt32((weight * 100).rounded())
      _ = try await target.change(["WEIGHT", "\(id)", "\(hundredths)"]) { report in
        report.nodes.contains { $0.id == id && $0.weight == hundredths }
      }
      print("Node \(id) has weight \(Double(hundredths) / 100).")
    }
  }

  /// Puts one node in the place of another.
  struct Replace: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Give a node the weight of another, empty that one, and wait until it is.")
    @Argument(help: "The number of the node that goes.") var id: UInt32
    @Option(help: "The number of the node that comes, which has joined before.") var by: UInt32
    @OptionGroup var target: Target

    func run() async throws {
      let report = try await target.change(["REPLACE", "\(id)", "\(by)"]) { report in
        report.nodes.contains { $0.id == id && $0.isDraining }
      }
      try await Drain.wait(for: id, report, target)
    }
  }

  /// Ends a node's membership.
  struct Remove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Forget a node that was drained. It may be started again later, as a new one.")
    @Argument(help: "The node's number.") var id: UInt32
    @OptionGroup var target: Target

    func run() async throws {
      _ = try await target.change(["REMOVE", "\(id)"]) { report in
        !report.nodes.contains { $0.id == id }
      }
      print("Node \(id) is gone.")
    }
  }
}
