import ArgumentParser
import CycladesPaxos
import CycladesReplication
import CycladesServer
import CycladesTransport
import Glibc
import Logging

/// `cyclades recover`: goes on with one node's data when no quorum is left.
struct RecoverCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recover",
    abstract: "Go on with what one node has, when too many are lost for good. May lose writes.",
    discussion: """
      Works on the data folder of a node that is stopped, with the settings that 'cyclades serve' was \
      started with. It says what the folder has of each shard; with --accept-loss CLUSTER it makes this \
      node the only member of every shard that has lost its quorum. Whatever a majority acknowledged \
      and this node never got is lost then. The lost nodes must never come back as they were: their \
      numbers are refused from then on. Start this node again, join others under new numbers \
      ('cyclades serve --join'), and drain and remove the lost ones ('cyclades nodes').
      """)

  @OptionGroup var settings: ServeSettings

  @Option(help: "Read settings from this file, as 'cyclades serve' does.")
  var config: String?

  @Option(help: ArgumentHelp("The nodes that will not come back: 2,3", valueName: "nodes"))
  var lost: String

  @Option(
    help: ArgumentHelp(
      "Do it. The cluster's name, as a sign that the loss of acknowledged writes is accepted.",
      valueName: "cluster"))
  var acceptLoss: String?

  mutating func run() throws {
    if let config {
      let file = try ConfigurationFile(path: config, names: ServeSettings.names)
      settings.fill(from: try ServeSettings.parse(file.arguments))
    }
    // Nothing is listened on.
    settings.listen = settings.listen ?? "127.0.0.1:0"
    settings.plain = settings.plain ?? "127.0.0.1:0"
    let configuration = try settings.serverConfiguration()
    if let acceptLoss, acceptLoss != configuration.cluster {
      throw ValidationError(
        "--accept-loss: the cluster is '\(configuration.cluster)', not '\(acceptLoss)'")
    }
    let nodes = try lost.split(separator: ",").map { text in
      guard let number = UInt32(text) else {
        throw ValidationError("--lost: '\(text)' is no node's number")
      }
      return NodeID(rawValue: number)
    }
    var logger = Logger(label: "cyclades", factory: StreamLogHandler.standardError(label:))
    logger.logLevel = try settings.parsedLogLevel()
    var loss = try StoreServer.quorumLoss(
      of: configuration, lost: Set(nodes), logger: logger)
    for group in loss.groups { print(Self.describe(group, shards: configuration.shards)) }
    let node = configuration.node
    guard acceptLoss != nil else {
      throw CommandFailure(
        "nothing was changed. WRITES THAT WERE ACKNOWLEDGED MAY BE LOST if node \(node) goes on alone: "
          + "whatever nodes \(lost) decided and it never got. If they are lost for good, say "
          + "--accept-loss \(configuration.cluster)")
    }
    try loss.recover()
    print(
      """

      WARNING: node \(node) goes on alone with what it has. Writes that were acknowledged may be lost,
      and nobody can say which. Nodes \(lost) are refused from now on, whatever they have: never start
      them again with their old folders. Start node \(node), join others under new numbers, and remove
      the lost ones: cyclades nodes drain, then cyclades nodes remove.
      """)
  }

  private static func describe(_ group: QuorumLoss.GroupReport, shards: Int) -> String {
    let name = group.id == UInt32(shards) ? "cluster map" : "shard \(group.id)"
    let fate =
      switch group.fate {
      case .absent: "not held here"
      case .hasQuorum: "has a quorum without the lost nodes: left as it is"
      case .goesOn: "has lost its quorum: can go on with what is here"
      case .isAlone: "this node is its only member already"
      case .isLost: "has lost its quorum, and this node has no state of it"
      case .hasOtherSurvivors(let others):
        "has lost its quorum; nodes \(others.map(\.description).joined(separator: ", ")) survive, too"
      }
    let damage = group.unreadable > 0 ? ", \(group.unreadable) slots unreadable" : ""
    return "\(name): members \(group.membership), slots through \(group.last), known to be decided "
      + "through \(group.commit)\(damage); \(fate)"
  }
}
