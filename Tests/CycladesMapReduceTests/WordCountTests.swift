import Testing

@testable import CycladesMapReduce

@Suite("Built-in jobs in one process", .timeLimit(.minutes(5)))
struct WordCountTests {
  private func count(_ inputs: [String], _ folder: TemporaryFolder) throws -> [UInt8] {
    var configuration = JobConfiguration(
      job: "wordcount", inputs: inputs, output: folder.file("out"))
    configuration.splitBytes = 1 << 16
    configuration.partitions = 3
    configuration.overwrites = true
    _ = try MapReduce.run(configuration, jobs: .builtin, logger: quiet)
    return try outputLines(folder.file("out"))
  }

  @Test("real text is counted as coreutils count it")
  func licences() throws {
    let folder = try TemporaryFolder()
    #expect(
      try count(["/usr/share/common-licenses"], folder)
        == coreutilsWordCount("/usr/share/common-licenses/*"))
  }

  @Test("odd text is counted as coreutils count it", arguments: OddText.all)
  func odd(_ text: OddText) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("text", text.bytes)
    #expect(try count([path], folder) == coreutilsWordCount("'\(path)'"))
  }

  @Test("words never span files")
  func files() throws {
    let folder = try TemporaryFolder()
    let paths = [try folder.write("a", "one two"), try folder.write("b", "three one")]
    #expect(try count(paths, folder) == Array("one\t2\nthree\t1\ntwo\t1\n".utf8))
  }

  @Test("no input bytes give empty parts")
  func empty() throws {
    let folder = try TemporaryFolder()
    #expect(try count([folder.write("empty", "")], folder) == [])
    #expect(Files.names(in: folder.file("out"))?.count == 5)
  }

  @Test("parts are in byte order of their keys")
  func order() throws {
    let folder = try TemporaryFolder()
    _ = try count(["/usr/share/common-licenses"], folder)
    for part in 0..<3 {
      let path = "\(folder.file("out"))/\(OutputFolder.partName(part))"
      #expect(
        try shell("cut -f1 '\(path)' | sort -c && echo sorted") == Array("sorted\n".utf8))
    }
  }

  @Test("grep finds the lines that grep -F finds", arguments: ["the", "GNU", "\t", "é", "nowhere"])
  func grep(pattern: String) throws {
    let folder = try TemporaryFolder()
    var configuration = JobConfiguration(
      job: "grep", arguments: [pattern], inputs: ["/usr/share/common-licenses"],
      output: folder.file("out"))
    configuration.splitBytes = 1 << 16
    _ = try MapReduce.run(configuration, jobs: .builtin, logger: quiet)
    #expect(
      try outputLines(folder.file("out"))
        == shell(
          "grep -a -h -F -- '\(pattern)' /usr/share/common-licenses/* | sort | uniq -c"
            + " | sed -E 's/^ *([0-9]+) (.*)$/\\2\\t\\1/' | sort"))
  }

  @Test("jobs check their arguments before anything happens")
  func arguments() throws {
    let folder = try TemporaryFolder()
    let input = try folder.write("text", "a")
    for (job, arguments) in [("wordcount", ["x"]), ("grep", []), ("grep", [""]), ("paint", [])] {
      let configuration = JobConfiguration(
        job: job, arguments: arguments, inputs: [input], output: folder.file("out"))
      #expect {
        try MapReduce.run(configuration, jobs: .builtin, logger: quiet)
      } throws: { ($0 as? MapReduceError)?.code == .usage }
    }
    #expect(Files.names(in: folder.path) == ["text"])
  }
}

/// Text that scanners and readers get wrong.
struct OddText: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let bytes: [UInt8]

  static let all = [
    OddText("empty", []),
    OddText("white space alone", Array(" \t\n\u{b}\u{c}\r \n".utf8)),
    OddText("no newline at the end", Array("one two\nthree two".utf8)),
    OddText("white space first", Array("\n\n  one".utf8)),
    OddText(
      "one huge line", Array(String(repeating: "some words in one line ", count: 20_000).utf8)),
    OddText("one huge word", [UInt8](repeating: 0x78, count: 300_000)),
    OddText("binary bytes", garbage),
    OddText("carriage returns", Array("a\r\nb\r\na\r\n".utf8)),
  ]

  private init(_ description: String, _ bytes: [UInt8]) {
    testDescription = description
    self.bytes = bytes
  }

  /// All bytes but zero, which sort and uniq cannot have in a line on every system.
  private static let garbage: [UInt8] = {
    var random = SplitMix(state: 1)
    return (0..<200_000).map { _ in UInt8.random(in: 1...255, using: &random) }
  }()
}
