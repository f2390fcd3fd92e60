import CycladesRing
import FoundationEssentials

/// What `cyclades ring` prints, as text or JSON.
struct RingReport {
  let ring: Ring
  let keys: [String]
  let preference: Int
  let other: Ring?
  let showsStatistics: Bool

  // MARK: Text

  func text(in terminal: Terminal) -> String {
    var parts: [[String]] = []
    if showsStatistics {
      let mark = keys.first.map { Ring.position(of: $0) }
      if let picture = RingPicture(ring, mark: mark, terminal: terminal) {
        parts.append(picture.lines)
      }
      parts.append(statisticsLines)
    }
    if !keys.isEmpty { parts.append(keyLines) }
    if let other { parts.append(diffLines(to: other)) }
    return parts.map { $0.joined(separator: "\n") }.joined(separator: "\n\n")
  }

  private var keyLines: [String] {
    var table = TextTable(
      ["key", "position", preference == 1 ? "node" : "nodes"])
    for key in keys {
      let position = Ring.position(of: key)
      let nodes = ring.preferenceList(ofPosition: position, count: preference).map(\.id)
      table.append([key, hexadecimal(position), nodes.joined(separator: " ")])
    }
    return table.lines
  }

  private var statisticsLines: [String] {
    let statistics = ring.statistics
    var table = TextTable(
      ["", "node", "zone", "weight", "points", "share %", "load"],
      numeric: [3, 4, 5, 6])
    for (index, part) in statistics.parts.enumerated() {
      let rack = part.member.rack.isEmpty ? "" : "/" + part.member.rack
      table.append([
        RingPicture.symbol(of: index), part.member.id, part.member.zone + rack,
        String(part.member.weight), String(part.pointCount), decimal(part.share * 100, places: 3),
        decimal(part.load, places: 3),
      ])
    }
    return table.lines + [
      "",
      "peak/average \(decimal(statistics.peakToAverage, places: 3)), "
        + "expected \(decimal(statistics.expectedPeakToAverage, places: 3)); "
        + "\(ring.byteCount) bytes; digest \(String(ring.digest, radix: 16))",
    ]
  }

  private func diffLines(to other: Ring) -> [String] {
    let flows = Flow.all(of: other.diff(from: ring))
    guard !flows.isEmpty else { return ["Nothing moves."] }
    var table = TextTable(
      ["from", "to", "share %", "ranges"],
      numeric: [2, 3])
    for flow in flows {
      table.append([
        flow.from, flow.to, decimal(flow.share * 100, places: 3), "\(flow.ranges)",
      ])
    }
    let share = flows.reduce(0) { $0 + $1.share }
    let ranges = flows.reduce(0) { $0 + $1.ranges }
    return table.lines + ["", "\(decimal(share * 100, places: 3)) % moves, in \(ranges) ranges"]
  }

  // MARK: JSON

  var json: String {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      return String(decoding: try encoder.encode(document), as: UTF8.self)
    }
  }

  private var document: Document {
    let statistics = showsStatistics ? ring.statistics : nil
    return Document(
      keys: keys.isEmpty
        ? nil
        : keys.map { key in
          let position = Ring.position(of: key)
          let nodes = ring.preferenceList(ofPosition: position, count: preference).map(\.id)
          return Document.Key(key: key, position: hexadecimal(position), nodes: nodes)
        },
      nodes: statistics?.parts.map {
        Document.Node(
          id: $0.member.id, weight: $0.member.weight, zone: $0.member.zone, rack: $0.member.rack,
          points: $0.pointCount, share: $0.share, load: $0.load)
      },
      peakToAverage: statistics?.peakToAverage,
      expectedPeakToAverage: statistics?.expectedPeakToAverage,
      digest: String(ring.digest, radix: 16),
      moves: other?.diff(from: ring).moves.map {
        Document.Move(
          first: hexadecimal($0.positions.lowerBound), last: hexadecimal($0.positions.upperBound),
          from: $0.from, to: $0.to, share: $0.share)
      },
      movedShare: other?.diff(from: ring).share)
  }

  /// The JSON document. Positions are hexadecimal strings: 64 bits do not fit JSON's numbers.
  private struct Document: Encodable {
    struct Key: Encodable {
      let key: String
      let position: String
      let nodes: [String]
    }
    struct Node: Encodable {
      let id: String
      let weight: Double
      let zone: String
      let rack: String
      let points: Int
      let share: Double
      let load: Double
    }
    struct Move: Encodable {
      let first: String
      let last: String
      let from: String
      let to: String
      let share: Double
    }
    let keys: [Key]?
    let nodes: [Node]?
    let peakToAverage: Double?
    let expectedPeakToAverage: Double?
    let digest: String
    let moves: [Move]?
    let movedShare: Double?
  }

  /// All moves between two members together.
  private struct Flow {
    let from: String
    let to: String
    var share = 0.0
    var ranges = 0

    static func all(of diff: RingDiff) -> [Flow] {
      var flows: [[String]: Flow] = [:]
      for move in diff.moves {
        flows[[move.from, move.to], default: Flow(from: move.from, to: move.to)].add(move)
      }
      return flows.values.sorted { ($0.to, $0.from) < ($1.to, $1.from) }
    }

    private mutating func add(_ move: RingDiff.Move) {
      share += move.share
      ranges += 1
    }
  }
}

private func hexadecimal(_ position: UInt64) -> String {
  let digits = String(position, radix: 16)
  return "0x" + String(repeating: "0", count: 16 - digits.count) + digits
}
