import Testing

@testable import CycladesMapReduce

@Suite("Input", .timeLimit(.minutes(5)))
struct InputTests {
  /// All records of a file, read segment by segment.
  private func records(_ path: String, size: Int, cuts: Int, _ format: RecordFormat) throws
    -> [[UInt8]]
  {
    let region = try Region(reserving: TaskMemory.recordLimit + (8 << 20))
    var found: [[UInt8]] = []
    var offset = 0
    while offset < size {
      let segment = InputSegment(
        path: path, offset: offset, byteCount: min(cuts, size - offset), fileByteCount: size)
      let reader = SplitReader(InputSplit(segments: [segment]), format: format, region: region)
      while try unsafe reader.withNextWindow({ window in
        let text = unsafe RawSpan(_unsafeBytes: window)
        if format == .text {
          text.forEachWord { found.append($0.copied()) }
        } else {
          text.forEachLine { found.append($0.copied()) }
        }
      }) {}
      offset += cuts
    }
    return found
  }

  @Test("every record is read once, however the file is cut", arguments: 0..<6)
  func boundaries(seed: UInt64) throws {
    let folder = try TemporaryFolder()
    var random = SplitMix(state: seed)
    for _ in 0..<25 {
      let size = Int.random(in: 1...120, using: &random)
      let separators = Int.random(in: 0...6, using: &random)
      let text = (0..<size).map { _ in
        Int.random(in: 0..<8, using: &random) < separators
          ? [0x0a, 0x20].randomElement(using: &random)!
          : UInt8.random(in: 0x61...0x7a, using: &random)
      }
      let path = try folder.write("text", text)
      let words = text.split { $0 == 0x0a || $0 == 0x20 }.map(Array.init)
      var lines = text.split(separator: 0x0a, omittingEmptySubsequences: false).map(Array.init)
      if lines.last == [] { lines.removeLast() }
      for cuts in [1, 2, 3, 7, 50, 200] {
        #expect(try records(path, size: size, cuts: cuts, .text) == words)
        #expect(try records(path, size: size, cuts: cuts, .line) == lines)
      }
    }
  }

  @Test("records larger than the read window are read whole")
  func largeRecords() throws {
    let folder = try TemporaryFolder()
    let long = [UInt8](repeating: 0x78, count: 3_000_000)
    let text = long + [0x0a] + [0x79] + [0x0a] + long
    let path = try folder.write("text", text)
    for cuts in [1_000_000, 2_999_999, 3_000_000, 3_000_001, 3_000_002, 10_000_000] {
      let found = try records(path, size: text.count, cuts: cuts, .line)
      #expect(found.map(\.count) == [3_000_000, 1, 3_000_000])
    }
  }

  @Test("folders are searched in byte order, patterns expanded, small files put together")
  func plan() throws {
    let folder = try TemporaryFolder()
    _ = try shell(
      "mkdir -p '\(folder.path)/in/b/c' '\(folder.path)/in/B'; ln -s /etc '\(folder.path)/in/link'")
    try folder.write("in/b/c/x", "1")
    try folder.write("in/b/a", "22")
    try folder.write("in/B/z", "333")
    try folder.write("in/empty", "")
    let files = try InputFiles.find([folder.file("in")])
    #expect(
      files.map(\.path) == ["B/z", "b/a", "b/c/x", "empty"].map { folder.file("in/" + $0) })
    #expect(
      try InputFiles.find([folder.file("in/b/*")]).map(\.path)
        == [folder.file("in/b/a"), folder.file("in/b/c/x")])
    let plan = InputPlan(files, format: .line, splitBytes: 4)
    #expect(plan.splits.map(\.byteCount) == [4, 2])
    #expect(plan.splits[0].segments.map(\.byteCount) == [3, 1])
    #expect(plan.fileCount == 4 && plan.byteCount == 6)
  }

  @Test("missing input is one clear error")
  func missing() throws {
    for path in ["/nonexistent/file", "/nonexistent/*.txt", "/dev/null"] {
      #expect {
        try InputFiles.find([path])
      } throws: { error in
        (error as? MapReduceError)?.code == .input && "\(error)".contains(path)
      }
    }
  }

  @Test("a file that got shorter is named")
  func truncated() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("text", "short\n")
    #expect {
      try records(path, size: 100, cuts: 100, .line)
    } throws: { "\($0)".contains("was cut to 6 bytes") }
  }
}
