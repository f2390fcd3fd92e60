import ArgumentParser
import CycladesRing
import FoundationEssentials
import Testing

@testable import CycladesCommand

@Suite("cyclades ring")
struct RingCommandTests {
  private func output(_ arguments: String...) throws -> String {
    try RingCommand.parse(arguments).output(in: Terminal())
  }

  private func ring(_ members: Member...) throws -> Ring {
    var builder = try RingBuilder()
    for member in members { try builder.add(member) }
    return try builder.build()
  }

  /// What the JSON document has, as far as these tests ask.
  private struct Document: Decodable {
    struct Key: Decodable {
      let key: String
      let position: String
      let nodes: [String]
    }
    struct Node: Decodable {
      let id: String
      let weight: Double
      let zone: String
      let points: Int
      let share: Double
    }
    struct Move: Decodable {
      let first: String
      let last: String
      let from: String
      let to: String
      let share: Double
    }
    let keys: [Key]?
    let nodes: [Node]?
    let moves: [Move]?
    let movedShare: Double?
    let digest: String
  }

  private func document(_ arguments: String...) throws -> Document {
    let command = try RingCommand.parse(arguments + ["--json"])
    let text = try command.output(in: Terminal())
    return try JSONDecoder().decode(Document.self, from: Data(text.utf8))
  }

  @Test("a key's line has its position and its owner")
  func owner() throws {
    let lines = try output("--nodes", "a,b:2,c", "--key", "user:1000").split(separator: "\n")
    let ring = try ring(Member(id: "a"), Member(id: "b", weight: 2), Member(id: "c"))
    #expect(lines.count == 2)
    #expect(lines[0].split(separator: " ") == ["key", "position", "node"])
    // The position is among the golden vectors.
    let owner = Substring(ring.owner(of: "user:1000").id)
    #expect(lines[1].split(separator: " ") == ["user:1000", "0xfb6841b2068c0c9f", owner])
  }

  @Test("a preference list spreads over zones, in text and in JSON")
  func preferenceList() throws {
    let nodes = "a@eu/1,b@eu/2,c@us,d@as"
    let found = try document("--nodes", nodes, "--key", "k", "--key", "l", "--preference", "3")
    let ring = try ring(
      Member(id: "a", zone: "eu", rack: "1"), Member(id: "b", zone: "eu", rack: "2"),
      Member(id: "c", zone: "us"), Member(id: "d", zone: "as"))
    #expect(found.keys?.map(\.key) == ["k", "l"])
    for key in try #require(found.keys) {
      #expect(key.nodes == ring.preferenceList(of: key.key, count: 3).map(\.id))
      #expect(Set(key.nodes.map { $0 == "b" ? "a" : $0 }).count == 3, "one of each zone")
    }
    let text = try output("--nodes", nodes, "--key", "k", "--preference", "3")
    #expect(text.hasSuffix(try #require(found.keys?[0].nodes.joined(separator: " "))))
    #expect(found.nodes == nil && found.moves == nil)
  }

  @Test("statistics have every node's exact share, and the digest")
  func statistics() throws {
    let found = try document("--nodes", "a,b:0.5,drained:0", "--stats")
    let ring = try ring(
      Member(id: "a"), Member(id: "b", weight: 0.5), Member(id: "drained", weight: 0))
    let parts = ring.statistics.parts
    #expect(found.nodes?.map(\.id) == ["a", "b", "drained"])
    #expect(found.nodes?.map(\.points) == [256, 128, 0])
    #expect(found.nodes?.map(\.share) == parts.map(\.share))
    #expect(found.digest == String(ring.digest, radix: 16))
    let text = try output("--nodes", "a,b:0.5,drained:0")
    #expect(text.contains(decimal(parts[1].share * 100, places: 3)))
    #expect(text.contains(found.digest))
  }

  @Test("an id may have a colon when a weight follows it")
  func addresses() throws {
    let found = try document("--nodes", "10.0.0.1:7000:1,[::1]:7000:0.5@eu/r1", "--stats")
    #expect(found.nodes?.map(\.id) == ["10.0.0.1:7000", "[::1]:7000"])
    #expect(found.nodes?.map(\.weight) == [1, 0.5])
    #expect(found.nodes?.map(\.zone) == ["", "eu"])
  }

  @Test("a diff has every range that moves, and only to the newcomer")
  func diff() throws {
    let found = try document("--nodes", "a,b", "--diff", "a,b,c")
    let moves = try #require(found.moves)
    #expect(!moves.isEmpty && moves.allSatisfy { $0.to == "c" })
    #expect(moves.reduce(0) { $0 + $1.share } == found.movedShare)
    let larger = try ring(Member(id: "a"), Member(id: "b"), Member(id: "c"))
    #expect(found.movedShare == larger.statistics.parts[2].share)
    let text = try output("--nodes", "a,b", "--diff", "a,b,c").split(separator: "\n")
    #expect(text.count == 4, "a heading, two flows, and the sum")
    #expect(text[3].contains("in \(moves.count) ranges"))
    #expect(try output("--nodes", "a,b", "--diff", "b,a") == "Nothing moves.")
  }

  @Test("the picture is a ring of its members' letters, with a star at the key")
  func picture() throws {
    let lines = try output("--nodes", "a,b,c", "--stats", "--key", "k")
      .split(separator: "\n", omittingEmptySubsequences: false).prefix(19)
    let letters = Set(lines.joined()).subtracting(" nodes:pit0123456789*")
    #expect(letters == ["A", "B", "C"])
    #expect(lines.joined().contains("*"))
    #expect(lines.joined().contains("nodes: 3") && lines.joined().contains("points: 768"))
    #expect(lines.allSatisfy { $0.count <= 38 })
    // A node alone has all of the circle.
    let alone = try output("--nodes", "solo").split(separator: "\n").prefix(19)
    #expect(Set(alone.joined()).subtracting(" nodes:pit0123456789") == ["A"])
  }

  @Test(
    "bad nodes are refused by name",
    arguments: [
      ("a,a", "'a'"), ("", "no id"), ("a,,b", "no id"), ("a:x", "'x'"), ("a:", "''"),
      ("a:-1", "-1.0"), ("a:nan", "nan"), ("a:0", "weight 0"), ("a:1e30", "1e+30"),
    ])
  func badNodes(nodes: String, value: String) {
    #expect {
      _ = try output("--nodes", nodes)
    } throws: {
      ($0 as? ValidationError)?.message.contains(value) == true
    }
  }

  @Test("bad numbers are refused")
  func badNumbers() {
    #expect(throws: (any Error).self) { try output("--nodes", "a", "--preference", "0") }
    #expect(throws: ValidationError.self) { try output("--nodes", "a", "--points", "0") }
  }
}
