import Testing

@testable import CycladesMapReduce

/// Random jobs over random text: every way to run one gives the bytes that one thread gives.
@Suite("Random jobs", .timeLimit(.minutes(3)))
struct RandomJobTests {
  /// Lines of a few fields, the first from few or many keys; empty lines, long ones and odd bytes too.
  private func text(_ random: inout SplitMix) -> [UInt8] {
    let keys = [1, 30, 100_000].randomElement(using: &random)!
    var bytes: [UInt8] = []
    let size = Int.random(in: 0...900_000, using: &random)
    while bytes.count < size {
      switch Int.random(in: 0..<200, using: &random) {
      case 0: bytes.append(0x0A)
      case 1: bytes += [UInt8](repeating: UInt8(ascii: "l"), count: 3000) + [0x0A]
      case 2: bytes += [0xFF, 0x00, 0x20, 0x0D, 0x0A]
      default:
        let key = Int.random(in: 0..<keys, using: &random)
        let number = Int.random(in: -999...999, using: &random)
        bytes += "k\(key) \(number) w\(number % 50)\n".utf8
      }
    }
    return bytes
  }

  private static let arguments: [(job: String, arguments: [String])] = [
    ("wordcount", []), ("sort", []), ("index", []), ("grep", ["w7"]),
    ("topk", ["{\"count\":2,\"group\":0,\"number\":1}"]),
    ("groupby", ["{\"by\":[0],\"number\":1,\"separator\":\" \"}"]),
  ]

  @Test("one thread, several, little memory and worker processes agree", arguments: 0..<12)
  func agreement(seed: Int) throws {
    var random = SplitMix(state: UInt64(seed))
    let folder = try TemporaryFolder()
    let (job, arguments) = RandomJobTests.arguments[seed % RandomJobTests.arguments.count]
    let inputs = try (0..<Int.random(in: 1...3, using: &random)).map {
      try folder.write("text\($0)", text(&random))
    }
    var configuration = JobConfiguration(
      job: job, arguments: arguments, inputs: inputs, output: folder.file("out"))
    configuration.partitions = Int.random(in: 1...9, using: &random)
    configuration.splitBytes = Int.random(in: 1 << 16...1 << 19, using: &random)
    configuration.format = [.text, .jsonLines, .pairs, .textPairs].randomElement(using: &random)!
    configuration.badRecordLimit = .max
    configuration.threads = 1
    configuration.overwrites = true
    func output(_ change: (inout JobConfiguration) -> Void) throws -> [UInt8] {
      _ = try MapReduce.run(
        configuration.with(change), jobs: .builtin,
        launch: WorkerLaunch(program: program, arguments: ["mapreduce", "worker"]), logger: quiet)
      return try shell("cd '\(folder.file("out"))' && cat MANIFEST part-*")
    }
    let expected = try output { _ in }
    #expect(try output { $0.threads = 3 } == expected, "\(job), threads")
    #expect(try output { $0.workers = 2 } == expected, "\(job), workers")
    let planned = try PlannedJob(configuration, jobs: .builtin, memoryBytes: 4 << 20)
    let small = try OutputFolder(claiming: folder.file("small"), job: job, overwrites: true)
    _ = try LocalRunner(planned, into: small, cancellation: JobCancellation()).run { _ in }
    #expect(
      try shell("cd '\(folder.file("small"))' && cat MANIFEST part-*") == expected,
      "\(job), memory")
  }

  @Test("the inverted index lists for every word its files, each once")
  func index() throws {
    let folder = try TemporaryFolder()
    for number in 0..<8 {
      try folder.write("f\(number)", "all w\(number % 3) \(number) all\n")
    }
    var job = JobConfiguration(
      job: "index", inputs: [folder.path + "/f*"], output: folder.file("out"))
    job.splitBytes = 1 << 16
    _ = try MapReduce.run(job, jobs: .builtin, logger: quiet)
    let lines = try MapReduce.lines(of: job.output)
    #expect(lines.count == 1 + 3 + 8)
    func files(_ numbers: [Int]) -> String {
      numbers.map { folder.file("f\($0)") }.joined(separator: ",")
    }
    #expect(lines.contains("all\t\(files(Array(0..<8)))"))
    #expect(lines.contains("w1\t\(files([1, 4, 7]))"))
    #expect(lines.contains("5\t\(files([5]))"))
  }
}
