import CycladesTransport
import FoundationEssentials
import Testing

@testable import CycladesCommand

/// A folder that lasts as long as a test.
private final class TemporaryFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/cyclades-tests-\(UUID())"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ bytes: [UInt8], to name: String) throws -> String {
    try Data(bytes).write(to: URL(filePath: "\(path)/\(name)"))
    return "\(path)/\(name)"
  }
}

@Suite("Sequential word count")
struct SequentialWordCountTests {
  @Test("words end at ASCII white space only, and any bytes make a word")
  func words() throws {
    let folder = try TemporaryFolder()
    let text = Array(" a\tb\na\r\n\u{B}a\u{C}é b ".utf8) + [0xFF, 0x00, 0xA0, 0x20, 0xFF]
    let count = try SequentialWordCount(files: [folder.write(text, to: "text")])
    #expect(
      count.counts == [
        Array("a".utf8): 3, Array("b".utf8): 2, Array("é".utf8): 1, [0xFF, 0x00, 0xA0]: 1,
        [0xFF]: 1,
      ])
    #expect(count.wordCount == 8)
    #expect(count.byteCount == text.count)
  }

  @Test("the top words come by count, then in byte order")
  func top() throws {
    let folder = try TemporaryFolder()
    let count = try SequentialWordCount(files: [folder.write(Array("c b b a d d".utf8), to: "t")])
    #expect(count.top(3).map(\.word) == ["b", "d", "a"])
    #expect(count.top(10).map(\.count) == [2, 2, 1, 1])
  }

  @Test("a file that cannot be read is named")
  func missing() {
    #expect {
      try SequentialWordCount(files: ["/nonexistent"])
    } throws: {
      "\($0)".contains("/nonexistent")
    }
  }
}

@Suite("Input files")
struct InputFilesTests {
  @Test("folders are searched to the bottom, and a link back up is not followed")
  func folders() throws {
    let folder = try TemporaryFolder()
    let deep = folder.path + "/a/b"
    try FileManager.default.createDirectory(atPath: deep, withIntermediateDirectories: true)
    let files = [
      try folder.write([], to: "one"), try folder.write([], to: "a/two"),
      try folder.write([], to: "a/b/three"),
    ]
    try FileManager.default.createSymbolicLink(
      atPath: deep + "/up", withDestinationPath: folder.path)
    try FileManager.default.createSymbolicLink(
      atPath: deep + "/link", withDestinationPath: files[0])
    #expect(Set(try inputFiles(at: [folder.path])) == Set(files + [deep + "/link"]))
    #expect(throws: CommandFailure.self) { try inputFiles(at: [folder.path + "/none"]) }
  }
}

@Suite("Output of a word count")
struct WordCountOutputTests {
  @Test("all parts are read, other files are not")
  func parts() throws {
    let folder = try TemporaryFolder()
    _ = try folder.write(Array("a\t2\nb\t1\n".utf8), to: "part-00000")
    _ = try folder.write(Array("c\t7\n".utf8), to: "part-00001")
    _ = try folder.write(Array("{}".utf8), to: "manifest.json")
    let output = try WordCountOutput(folder: folder.path)
    #expect(
      output.counts == [Array("a".utf8): 2, Array("b".utf8): 1, Array("c".utf8): 7])
  }

  @Test("a word in two parts and a line without a count are errors", arguments: ["a\t1\n", "b\n"])
  func broken(_ second: String) throws {
    let folder = try TemporaryFolder()
    _ = try folder.write(Array("a\t2\n".utf8), to: "part-00000")
    _ = try folder.write(Array(second.utf8), to: "part-00001")
    #expect(throws: CommandFailure.self) { try WordCountOutput(folder: folder.path) }
  }
}

@Suite("Child processes and their stage")
struct DemoStageTests {
  @Test("free ports are all different")
  func ports() throws {
    let ports = try freePorts(9)
    #expect(Set(ports).count == 9 && !ports.contains(0))
  }

  @Test("work on another thread gives its value, or its failure")
  func background() throws {
    let terminal = Terminal(descriptor: -1)
    let good = Background { () throws(CommandFailure) in 42 }
    #expect(try terminal.watch(good, "work", within: .seconds(5)) { (nil, "") } == 42)
    let bad = Background { () throws(CommandFailure) -> Int in throw CommandFailure("no") }
    #expect(throws: CommandFailure.self) {
      try terminal.watch(bad, "work", within: .seconds(5)) { (nil, "") }
    }
  }

  @Test("work that does not end in time is a failure")
  func limit() throws {
    let terminal = Terminal(descriptor: -1)
    #expect(throws: CommandFailure.self) {
      try terminal.watch("waiting", within: .milliseconds(30), until: { false }, describe: { "" })
    }
  }
}
