/// A pattern of Redis' glob language: `*`, `?`, `[abc]`, `[^a]`, `[a-z]`, and `\` before a literal
/// byte. Matches bytes, not characters.
public struct GlobPattern: Sendable {
  private let pattern: [UInt8]

  /// Makes a pattern; every text is one.
  public init(_ pattern: String) { self.pattern = Array(pattern.utf8) }

  /// Makes a pattern of bytes that need not be text.
  public init(_ pattern: [UInt8]) { self.pattern = pattern }

  /// Whether the pattern matches the whole of a text.
  ///
  /// - Complexity: O(*n* · *m*) in the lengths of text and pattern: only the last `*` is ever gone
  ///   back to, so no pattern makes it exponential.
  public func matches(_ text: String) -> Bool { matches(Array(text.utf8)) }

  /// Whether the pattern matches the whole of some bytes.
  public func matches(_ text: [UInt8]) -> Bool {
    var (p, t) = (0, 0)
    var star: (pattern: Int, text: Int)?
    while t < text.count {
      if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
        star = (p + 1, t)
        p += 1
      } else if let next = matchOne(text[t], at: p) {
        p = next
        t += 1
      } else if let last = star {
        star = (last.pattern, last.text + 1)
        (p, t) = (last.pattern, last.text + 1)
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
  }

  /// The place behind the element at `start`, when that element matches the byte.
  private func matchOne(_ byte: UInt8, at start: Int) -> Int? {
    guard start < pattern.count else { return nil }
    switch pattern[start] {
    case UInt8(ascii: "?"):
      return start + 1
    case UInt8(ascii: "["):
      let (end, contains) = readClass(at: start + 1, byte)
      return contains ? end : nil
    case UInt8(ascii: "\\") where start + 1 < pattern.count:
      return pattern[start + 1] == byte ? start + 2 : nil
    default:
      return pattern[start] == byte ? start + 1 : nil
    }
  }

  /// Reads a class up to its `]`, or to the pattern's end.
  private func readClass(at start: Int, _ byte: UInt8) -> (end: Int, contains: Bool) {
    var at = start
    let isNegated = at < pattern.count && pattern[at] == UInt8(ascii: "^")
    if isNegated { at += 1 }
    var contains = false
    while at < pattern.count, pattern[at] != UInt8(ascii: "]") {
      if pattern[at] == UInt8(ascii: "\\"), at + 1 < pattern.count {
        contains = contains || pattern[at + 1] == byte
        at += 2
      } else if at + 2 < pattern.count, pattern[at + 1] == UInt8(ascii: "-") {
        let (low, high) = (min(pattern[at], pattern[at + 2]), max(pattern[at], pattern[at + 2]))
        contains = contains || (low...high).contains(byte)
        at += 3
      } else {
        contains = contains || pattern[at] == byte
        at += 1
      }
    }
    return (min(at + 1, pattern.count), contains != isNegated)
  }
}
