import Glibc
import Testing

@testable import CycladesMapReduce

/// Passes every record on with its number of bytes.
private struct Lengths<Format: RecordFormatName>: SortingJob {
  static var name: String { "lengths" }
  static var records: RecordFormat { Format.records }
  init(arguments: [String]) {}
  func map(_ record: RawSpan, into output: inout Emitter<ByteString, Int>) {
    output.emit(record, record.byteCount)
  }
}
private protocol RecordFormatName { static var records: RecordFormat { get } }
private enum CSV: RecordFormatName { static let records = RecordFormat.csv }
private enum Fixed: RecordFormatName { static let records = RecordFormat.fixed(byteCount: 5) }
private enum Prefixed: RecordFormatName { static let records = RecordFormat.lengthPrefixed }
private enum Lines: RecordFormatName { static let records = RecordFormat.line }

@Suite("Formats", .timeLimit(.minutes(5)))
struct FormatTests {
  private func run<Format: RecordFormatName>(
    _ format: Format.Type, _ input: [String], _ folder: TemporaryFolder,
    _ change: (inout JobConfiguration) -> Void = { _ in }
  ) throws -> String {
    var jobs = JobRegistry()
    jobs.register(Lengths<Format>.self)
    var configuration = JobConfiguration(
      job: "lengths", inputs: input, output: folder.file("out"))
    configuration.partitions = 1
    configuration.splitBytes = 1 << 16
    configuration.overwrites = true
    change(&configuration)
    _ = try MapReduce.run(configuration, jobs: jobs, logger: quiet)
    return String(
      decoding: try shell(
        "cd '\(folder.file("out"))' && for p in part-*; do case $p in *.gz) gzip -dc $p;; "
          + "*.zst) zstd -dcq $p;; *) cat $p;; esac; done"), as: UTF8.self)
  }

  @Test("a CSV record may hold newlines and separators between quotes")
  func csv() throws {
    let folder = try TemporaryFolder()
    let text = "a,\"b\nc\",d\r\n\"x \"\"y\"\" \n\n z\"\nlast"
    let output = try run(CSV.self, [folder.write("t.csv", text)], folder) { $0.format = .jsonLines }
    #expect(
      output == """
        {"key":"\\"x \\"\\"y\\"\\" \\u000a\\u000a z\\"","value":14}
        {"key":"a,\\"b\\u000ac\\",d","value":9}
        {"key":"last","value":4}

        """)
  }

  @Test("fields are cut with and without quotes")
  func fields() {
    func fields(_ text: String, _ quote: UInt8?, limit: Int = 64) -> [String] {
      let bytes = Array(text.utf8)
      let span = unsafe bytes.span.bytes
      return span.withFields(separatedBy: UInt8(ascii: ","), quote: quote, limit: limit) { fields in
        (0..<fields.count).map { fields.text($0) }
      }
    }
    let quote = UInt8(ascii: "\"")
    #expect(fields("a,b,,c", nil) == ["a", "b", "", "c"])
    #expect(fields("", nil) == [""] && fields("", quote) == [""])
    #expect(fields(",", nil) == ["", ""] && fields(",", quote) == ["", ""])
    #expect(fields("a,\"b,\"\"c\"\"\",d", quote) == ["a", "b,\"c\"", "d"])
    #expect(fields("a,\"b,c\",d", nil) == ["a", "\"b", "c\"", "d"])
    #expect(fields("a,b,c,d", nil, limit: 2) == ["a", "b,c,d"])
    let long = (0..<60).map { String(repeating: "x", count: $0 % 23) }
    #expect(fields(long.joined(separator: ","), nil) == long)
    #expect(fields(long.joined(separator: ","), quote) == long)
    #expect(fields("\"never closed, x", quote) == ["never closed, x"])
  }

  @Test("numbers with a point are read exactly, and nothing else is a number")
  func fixedPoint() {
    func read(_ text: String, _ decimals: Int) -> Int? {
      let bytes = Array(text.utf8)
      let span = unsafe bytes.span.bytes
      return span.fixedPoint(decimals: decimals)
    }
    #expect(read("12.5", 2) == 1250 && read("-0.07", 2) == -7 && read("3", 2) == 300)
    #expect(read("-12", 0) == -12 && read("5.", 1) == 50 && read(".5", 1) == 5)
    for text in ["", "-", ".", "1.234", "x", "1e5", "1 ", "--1", "1.2.3", "9999999999999999999"] {
      #expect(read(text, 2) == nil, "\(text)")
    }
  }

  @Test("numbers read eight bytes at a time are those read byte by byte")
  func fixedPointByWord() {
    var random = SplitMix(state: 1)
    let alphabet = Array("0123456789012345678901234567890123456789-..x/:".utf8)
    var numbers = 0
    for _ in 0..<300_000 {
      var text = (0..<Int.random(in: 0...10, using: &random)).map { _ in
        alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
      }
      if Bool.random(using: &random) { text.insert(UInt8(ascii: "-"), at: 0) }
      let decimals = Int.random(in: 0...7, using: &random)
      let span = unsafe text.span.bytes
      let expected = span.fixedPointByByte(decimals: decimals)
      numbers += expected == nil ? 0 : 1
      guard span.fixedPoint(decimals: decimals) == expected else {
        Issue.record("\(String(decoding: text, as: UTF8.self)) with \(decimals)")
        return
      }
    }
    #expect(numbers > 20_000)
  }

  @Test("a byte is found where it is first, from wherever one looks")
  func firstOffset() {
    var random = SplitMix(state: 2)
    for _ in 0..<100_000 {
      let text = (0..<Int.random(in: 0...40, using: &random)).map { _ in
        UInt8.random(in: 58...63 + UInt8.random(in: 0...190, using: &random), using: &random)
      }
      let from = Int.random(in: 0...text.count, using: &random)
      let span = unsafe text.span.bytes
      let expected = text[from...].firstIndex(of: UInt8(ascii: ";"))
      guard span.firstOffset(of: UInt8(ascii: ";"), from: from) == expected else {
        Issue.record("\(text) from \(from)")
        return
      }
    }
  }

  @Test("records of a fixed size are cut between records")
  func fixed() throws {
    let folder = try TemporaryFolder()
    let count = 60_000
    let text = (0..<count).map { String($0 + 10_000) }.joined()
    let output = try run(Fixed.self, [folder.write("fixed", text)], folder)
    #expect(
      output == (0..<count).map { "\($0 + 10_000)\t5\n" }.joined())
    #expect {
      try run(Fixed.self, [folder.write("fixed", "1234512")], folder)
    } throws: { "\($0)".contains("fixed at byte 5: the last record is not complete") }
  }

  @Test("pairs are read back as records that follow their length")
  func pairs() throws {
    let folder = try TemporaryFolder()
    let lines = (0..<5000).map { "key \($0 * 7919 % 5000)" }
    let input = try folder.write("text", lines.joined(separator: "\n"))
    _ = try run(Lines.self, [input], folder) { $0.format = .pairs }
    _ = try shell("mv '\(folder.file("out"))/part-00000' '\(folder.file("pairs"))'")
    var records = 0
    let bytes = try Files.contents(folder.file("pairs"))
    var offset = 0
    let span = unsafe bytes.span.bytes
    while offset < bytes.count {
      let record = prefixedRecord(span, offset)
      span.extracting(record.from..<record.to).withPair { key, value in
        records += key.byteCount == Int(value.littleEndianWord(at: 0)) ? 1 : 0
      }
      offset = record.next
    }
    #expect(records == 5000)
    let output = try run(Prefixed.self, [folder.file("pairs")], folder)
    #expect(output.utf8.count(where: { $0 == 0x0a }) == 5000)
    _ = try shell("truncate -s -3 '\(folder.file("pairs"))'")
    #expect {
      try run(Prefixed.self, [folder.file("pairs")], folder)
    } throws: { "\($0)".contains("the last record is not complete") }
  }

  @Test(
    "compressed input is read, and compressed output is what it should be",
    .enabled(if: InputCoding.isCompressionBuilt), arguments: ["gzip", "zstd"])
  func compression(_ tool: String) throws {
    let folder = try TemporaryFolder()
    let suffix = tool == "gzip" ? "gz" : "zst"
    let plain = try folder.write(
      "plain", (0..<90_000).map { "\($0 * 7919 % 90_000) some text\n" }.joined())
    let expected = try run(Lines.self, [plain], folder)
    // Two members or frames, one behind the other.
    let both = folder.file("both." + suffix)
    _ = try shell("head -n 30000 '\(plain)' | \(tool) -c > '\(both)'")
    _ = try shell("tail -n +30001 '\(plain)' | \(tool) -c >> '\(both)'")
    let compression = try #require(OutputCompression(rawValue: tool))
    let output = try run(Lines.self, [both], folder) { $0.compression = compression }
    #expect(output == expected)
    #expect(
      try shell("ls '\(folder.file("out"))' | grep -c 'part-00000.\(suffix)'") == Array("1\n".utf8))
    for (change, words) in [
      ("truncate -s -9 '\(both)'", "ends too early"),
      ("printf 'xyzzyxyzzy' | dd of='\(both)' bs=1 seek=0 conv=notrunc 2>/dev/null", "damaged"),
    ] {
      _ = try shell(change)
      #expect {
        try run(Lines.self, [both], folder)
      } throws: { "\($0)".contains(words) && "\($0)".contains(both) }
    }
  }
}
