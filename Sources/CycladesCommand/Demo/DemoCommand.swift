import ArgumentParser
import FoundationEssentials
import Glibc

/// `cyclades demo`: the whole idea, on this machine, in less than a minute.
struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "Three nodes on loopback, one of them killed, a word count, a summary.",
    discussion: """
      Starts three node processes with data folders of their own, loads keys, kills the node that \
      leads most shards while writes go on, checks every acknowledged write, restarts the node, \
      and counts words on three worker processes. Exits 0 only if everything held. Nothing is \
      left running or on disk.
      """)

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp("Files and folders of text to count words in.", valueName: "path"))
  var input: [String] = ["/usr/share/common-licenses"]

  @Option(name: .long, help: "How many keys to load.")
  var keys = 100_000

  @Flag(name: .long, help: "Print the findings as JSON; progress goes to standard error.")
  var json = false

  @OptionGroup var place: StageOptions

  func validate() throws {
    guard (1...10_000_000).contains(keys) else {
      throw ValidationError("--keys takes a number from 1 to 10000000")
    }
  }

  func run() throws {
    let files = try inputFiles(at: input)
    let terminal = Terminal(descriptor: json ? STDERR_FILENO : STDOUT_FILENO)
    let stage = try place.open { terminal.line($0) }
    defer { stage.clear() }
    var demo = try Demo(terminal, stage, keyCount: keys)
    try demo.run(countingWordsIn: input, files: files)
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      writeAll(String(decoding: try encoder.encode(demo.report), as: UTF8.self) + "\n", to: 1)
    }
    if !demo.report.held {
      let broken = demo.report.checks.filter { !$0.held }.map { "\($0.name) (\($0.detail))" }
      throw CommandFailure("did not hold: " + broken.joined(separator: "; "))
    }
  }
}
