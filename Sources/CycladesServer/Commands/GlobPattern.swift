/// A Redis glob: `*`, `?`, `[a-z]`, `[^x]` and `\` escapes, over bytes, case ignored.
///
/// CONFIG GET matches parameter names with it.
struct GlobPattern {
  private let pattern: [UInt8]

  init(_ pattern: [UInt8]) {
    self.pattern = pattern.map(Self.lowercased)
  }

  private static func lowercased(_ byte: UInt8) -> UInt8 {
    byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
  }

  /// Tells whether the whole text matches.
  ///
  /// On a mismatch only the last `*` is tried again, one byte further: no recursion, so a hostile
  /// pattern costs at most pattern times text.
  func matches(_ text: String) -> Bool {
    let text = text.utf8.map(Self.lowercased)
    var p = 0
    var t = 0
    var retry: (p: Int, t: Int)?
    while t < text.count {
      if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
        p += 1
        retry = (p, t)
      } else if let next = step(at: p, text[t]) {
        p = next
        t += 1
      } else if let (star, start) = retry {
        retry = (star, start + 1)
        p = star
        t = start + 1
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
  }

  /// The pattern position after the element at `p`, if that element matches the byte.
  private func step(at p: Int, _ byte: UInt8) -> Int? {
    guard p < pattern.count else { return nil }
    switch pattern[p] {
    case UInt8(ascii: "?"): return p + 1
    case UInt8(ascii: "["): return set(at: p + 1, byte)
    case UInt8(ascii: "\\") where p + 1 < pattern.count:
      return pattern[p + 1] == byte ? p + 2 : nil
    default: return pattern[p] == byte ? p + 1 : nil
    }
  }

  private func set(at start: Int, _ byte: UInt8) -> Int? {
    var p = start
    let negated = p < pattern.count && pattern[p] == UInt8(ascii: "^")
    if negated { p += 1 }
    var found = false
    while p < pattern.count, pattern[p] != UInt8(ascii: "]") {
      if p + 2 < pattern.count, pattern[p + 1] == UInt8(ascii: "-") {
        let (low, high) = (min(pattern[p], pattern[p + 2]), max(pattern[p], pattern[p + 2]))
        found = found || (low...high).contains(byte)
        p += 3
      } else {
        found = found || pattern[p] == byte
        p += 1
      }
    }
    return found != negated ? min(p + 1, pattern.count) : nil
  }
}
