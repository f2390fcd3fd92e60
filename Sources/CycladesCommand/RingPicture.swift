import CycladesRing
import Glibc

/// Draws a ring as a circle of characters, one letter per member.
///
/// Position 0 is at the top and positions grow clockwise. Each character stands for a slice of the
/// circle and names the member that owns most of it.
struct RingPicture {
  private static let symbols = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
  private static let slices = 120
  private static let rows = 19
  private static let radius = Double(rows) / 2

  /// The member of each slice.
  private let owners: [Int]
  private let caption: [String]
  private let mark: UInt64?
  private let terminal: Terminal

  /// Prepares to draw `ring`, with a star at the position `mark`; nil when there are more members
  /// than letters.
  init?(_ ring: Ring, mark: UInt64?, terminal: Terminal) {
    guard ring.members.count <= Self.symbols.count else { return nil }
    owners = (0..<Self.slices).map { Self.owner(ofSlice: $0, in: ring) }
    caption = ["nodes: \(ring.members.count)", "points: \(ring.pointCount)"]
    self.mark = mark
    self.terminal = terminal
  }

  /// The letter of a member, by its index.
  static func symbol(of index: Int) -> String {
    index < symbols.count ? String(symbols[index]) : "?"
  }

  /// Who owns most of 64 positions spread over a slice.
  private static func owner(ofSlice slice: Int, in ring: Ring) -> Int {
    let samples = 64
    let step = UInt64.max / UInt64(slices * samples)
    var hits = [Int](repeating: 0, count: ring.members.count)
    for sample in 0..<samples {
      hits[ring.ownerIndex(ofPosition: UInt64(slice * samples + sample) * step)] += 1
    }
    return hits.indices.max { hits[$0] < hits[$1] }!
  }

  /// The lines of the picture.
  var lines: [String] {
    // A character is about twice as high as it is wide.
    var cells = (0..<Self.rows).map { row in
      (0..<2 * Self.rows).map { column in
        cell(x: (Double(column) + 0.5) / 2 - Self.radius, y: Self.radius - Double(row) - 0.5)
      }
    }
    for (number, text) in caption.enumerated() {
      let row = (Self.rows - caption.count) / 2 + number
      let column = Self.rows - text.count / 2
      cells[row].replaceSubrange(column..<column + text.count, with: text.map(String.init))
    }
    return cells.map { $0.joined() }
  }

  /// What to draw at a place relative to the centre, in rows.
  private func cell(x: Double, y: Double) -> String {
    let distance = (x * x + y * y).squareRoot()
    let turn = atan2(x, y) / (2 * .pi)
    let share = turn < 0 ? turn + 1 : turn
    if distance > Self.radius - 2.5, distance <= Self.radius {
      return letter(owners[min(Int(share * Double(Self.slices)), Self.slices - 1)])
    }
    if let mark, distance > Self.radius - 3.5, distance <= Self.radius - 2.5 {
      let apart = abs(share - Double(mark) / 0x1p64)
      return min(apart, 1 - apart) * 2 * .pi * distance < 0.6 ? "*" : " "
    }
    return " "
  }

  private func letter(_ owner: Int) -> String {
    let styles: [Terminal.Style] = [.cyan, .green, .red, .bold, .faint]
    return terminal.styled(Self.symbol(of: owner), styles[owner % styles.count])
  }
}
