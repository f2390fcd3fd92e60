import CCycladesShuffle
import Testing

@testable import CycladesMapReduce

@Suite("Text scan", .timeLimit(.minutes(5)))
struct TextScanTests {
  /// Text that is unkind to scanners: runs of separators, bytes next to them, chunk-sized words.
  private func text(_ count: Int, _ random: inout SplitMix) -> [UInt8] {
    let alphabet: [UInt8] = [
      0x20, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x08, 0x0e, 0x1f, 0x21, 0x00, 0x80, 0xff, 0x8a, 0xa0,
      0x61,
    ]
    let share = Int.random(in: 1...16, using: &random)
    return (0..<count).map { _ in
      Int.random(in: 0..<16, using: &random) < share
        ? alphabet[Int.random(in: 0..<alphabet.count, using: &random)] : 0x62
    }
  }

  private typealias Scan = (
    UnsafePointer<UInt8>?, UInt32, UnsafeMutablePointer<UInt32>?,
    UnsafeMutablePointer<cyc_text_span>?, UInt32
  ) -> UInt32

  /// All spans a scan finds, taking `limit` at a time.
  private func parts(_ text: [UInt8], limit: Int, _ scan: Scan) -> [Range<Int>] {
    var spans = [cyc_text_span](repeating: cyc_text_span(), count: limit)
    var cursor: UInt32 = 0
    var found: [Range<Int>] = []
    while true {
      let count = unsafe scan(text, UInt32(text.count), &cursor, &spans, UInt32(limit))
      if count == 0 { return found }
      found += spans[..<Int(count)].map { Int($0.start)..<Int($0.start + $0.length) }
    }
  }

  @Test("the vectorised words are those found byte by byte", arguments: 0..<8)
  func words(seed: UInt64) {
    var random = SplitMix(state: seed)
    for _ in 0..<300 {
      let text = text(Int.random(in: 0...400, using: &random), &random)
      let limit = Int.random(in: 64...200, using: &random)
      let found = unsafe parts(text, limit: limit, cyc_text_words)
      let expected = unsafe parts(text, limit: 64, cyc_text_words_reference)
      #expect(found == expected)
      #expect(found.map { Array(text[$0]) } == text.split(whereSeparator: isSpace).map(Array.init))
    }
  }

  private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

  @Test("lines end at newlines alone, and the last one needs none", arguments: 0..<4)
  func lines(seed: UInt64) {
    var random = SplitMix(state: seed)
    for _ in 0..<300 {
      let text = text(Int.random(in: 0...400, using: &random), &random)
      let limit = Int.random(in: 64...200, using: &random)
      var expected = text.split(separator: 0x0a, omittingEmptySubsequences: false).map(Array.init)
      if expected.last == [] { expected.removeLast() }
      let found = unsafe parts(text, limit: limit, cyc_text_lines)
      #expect(found.map { Array(text[$0]) } == expected)
    }
  }

  @Test("a word longer than any buffer is one word")
  func longWord() {
    let text = [0x20] + [UInt8](repeating: 0x78, count: 1_000_003) + [0x0a]
    var lengths: [Int] = []
    unsafe text.span.bytes.forEachWord { lengths.append($0.byteCount) }
    #expect(lengths == [1_000_003])
  }

  @Test("a substring is found where a plain search finds it", arguments: 0..<4)
  func find(seed: UInt64) {
    var random = SplitMix(state: seed)
    for _ in 0..<500 {
      let text = (0..<Int.random(in: 0...150, using: &random)).map { _ in
        UInt8.random(in: 0x61...0x62, using: &random)
      }
      let needle = (0..<Int.random(in: 1...6, using: &random)).map { _ in
        UInt8.random(in: 0x61...0x62, using: &random)
      }
      let from = Int.random(in: 0...text.count, using: &random)
      let expected = (from..<max(from, text.count - needle.count + 1))
        .first { Array(text[$0..<$0 + needle.count]) == needle }
      #expect(
        unsafe text.span.bytes.firstOffset(of: needle.span.bytes, from: from) == expected)
    }
  }
}
