/// A reply, parsed.
indirect enum Node: Hashable {
  case leaf(mark: UInt8, [UInt8])
  case list(mark: UInt8, [Node])

  init?(parsing bytes: [UInt8]) {
    var position = 0
    guard let node = Self.read(bytes, &position), position == bytes.count else { return nil }
    self = node
  }

  private static func read(_ bytes: [UInt8], _ position: inout Int) -> Node? {
    guard position < bytes.count, let end = bytes[position...].firstIndex(of: 13) else {
      return nil
    }
    let mark = bytes[position]
    let line = Array(bytes[position + 1..<end])
    position = end + 2
    let number = Int(String(decoding: line, as: UTF8.self)) ?? -1
    switch mark {
    case UInt8(ascii: "$") where number >= 0:
      defer { position += number + 2 }
      guard position + number + 2 <= bytes.count else { return nil }
      return .leaf(mark: mark, Array(bytes[position..<position + number]))
    case UInt8(ascii: "*") where number >= 0, UInt8(ascii: "~"), UInt8(ascii: "%"):
      var nodes: [Node] = []
      for _ in 0..<(mark == UInt8(ascii: "%") ? number * 2 : number) {
        guard let node = read(bytes, &position) else { return nil }
        nodes.append(node)
      }
      return .list(mark: mark, nodes)
    // A null, and not the two bytes -1.
    case UInt8(ascii: "$"): return .leaf(mark: UInt8(ascii: "_"), [])
    default:
      return .leaf(mark: mark, line)
    }
  }

  /// The same without the bytes of bulk strings and doubles: what kind of things there are.
  var shape: Node {
    switch self {
    case .leaf(let mark, let bytes):
      let isDrawn = mark == UInt8(ascii: "$") || mark == UInt8(ascii: ",")
      return .leaf(mark: mark, isDrawn ? [] : bytes)
    case .list(let mark, let nodes): return .list(mark: mark, nodes.map(\.shape))
    }
  }

  var isList: Bool { if case .list = self { true } else { false } }

  /// The bytes of all leaves, in order.
  var leaves: [[UInt8]] {
    switch self {
    case .leaf(_, let bytes): [bytes]
    case .list(_, let nodes): nodes.flatMap(\.leaves)
    }
  }

  /// The same with the elements, in runs of `width`, of all innermost lists sorted.
  func sorted(by width: Int) -> Node {
    guard case .list(let mark, let nodes) = self else { return self }
    if nodes.contains(where: { if case .list = $0 { true } else { false } }) {
      return .list(mark: mark, nodes.map { $0.sorted(by: width) })
    }
    let runs = stride(from: 0, to: nodes.count, by: width).map {
      Array(nodes[$0..<min($0 + width, nodes.count)])
    }
    let sorted = runs.sorted { a, b in
      a.flatMap(\.leaves).lexicographicallyPrecedes(b.flatMap(\.leaves)) { x, y in
        x.lexicographicallyPrecedes(y)
      }
    }
    return .list(mark: mark, sorted.flatMap { $0 })
  }
}
