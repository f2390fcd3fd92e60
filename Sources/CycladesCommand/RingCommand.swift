import ArgumentParser
import CycladesRing

/// `cyclades ring`: where keys go, how evenly, and what a change of members would move.
struct RingCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ring",
    abstract: "Show where keys go, how evenly, and what a change of members would move.",
    discussion: """
      A node is written ID[:WEIGHT][@ZONE[/RACK]], for example a,b:2,c:0.5@eu/r1. The weight is \
      what follows the last colon: an id with a port needs one, as in 10.0.0.1:7000:1. \
      Without --key and --diff, or with --stats, the ring is drawn and measured.
      """)

  @Option(help: "The nodes of the ring: ID[:WEIGHT][@ZONE[/RACK]],...")
  var nodes: String

  @Option(help: "A key to look up; may be given more than once.")
  var key: [String] = []

  @Option(help: "With --key: how many distinct nodes to list, spread over zones and racks.")
  var preference = 1

  @Flag(help: "Draw the ring and print what every node owns.")
  var stats = false

  @Option(help: "Other nodes: print what would move if the ring had these instead.")
  var diff: String?

  @Option(name: .customLong("points"), help: "Virtual nodes per unit of weight.")
  var pointsPerUnit = 256

  @Flag(help: "Print JSON instead of tables.")
  var json = false

  func validate() throws {
    guard preference >= 1 else {
      throw ValidationError("--preference \(preference) is not a number from 1 upwards")
    }
  }

  func run() throws { print(try output(in: Terminal())) }

  /// What the command prints.
  func output(in terminal: Terminal) throws -> String {
    do {
      let ring = try Self.ring(nodes, pointsPerUnit: pointsPerUnit)
      let other = try diff.map { try Self.ring($0, pointsPerUnit: pointsPerUnit) }
      let report = RingReport(
        ring: ring, keys: key, preference: preference, other: other,
        showsStatistics: stats || (key.isEmpty && diff == nil))
      return json ? try report.json : report.text(in: terminal)
    } catch let error as RingError {
      throw ValidationError(error.message)
    }
  }

  /// Builds the ring that a list of nodes describes.
  private static func ring(_ nodes: String, pointsPerUnit: Int) throws -> Ring {
    var builder = try RingBuilder(pointsPerUnit: pointsPerUnit)
    for node in nodes.split(separator: ",", omittingEmptySubsequences: false) {
      try builder.add(member(node))
    }
    return try builder.build()
  }

  /// Reads `ID[:WEIGHT][@ZONE[/RACK]]`.
  private static func member(_ text: Substring) throws -> Member {
    let (name, place) = text.divided(at: "@")
    let (zone, rack) = place.divided(at: "/")
    guard let colon = name.lastIndex(of: ":") else {
      return Member(id: String(name), zone: String(zone), rack: String(rack))
    }
    let (id, weightText) = (name[..<colon], name[name.index(after: colon)...])
    guard let weight = Double(weightText) else {
      throw ValidationError("weight '\(weightText)' of node '\(id)' is not a number")
    }
    return Member(id: String(id), weight: weight, zone: String(zone), rack: String(rack))
  }
}

extension Substring {
  /// What stands before and after the first `separator`; all and nothing when it is not there.
  fileprivate func divided(at separator: Character) -> (Substring, Substring) {
    guard let index = firstIndex(of: separator) else { return (self, "") }
    return (self[..<index], self[self.index(after: index)...])
  }
}
