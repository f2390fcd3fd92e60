import Glibc
import Testing

@testable import CycladesMapReduce

/// Leaves a file for every map and reduce that begins, and waits in each until so many have begun.
///
/// Arguments: a folder, and the number.
struct Witness: ReducingJob {
  static let name = "witness"
  private let folder: String
  private let quorum: Int
  private var hasBegun = false

  init(arguments: [String]) throws {
    folder = arguments[0]
    quorum = Int(arguments[1]) ?? 1
  }

  private func begin(_ phase: String) {
    let name = "\(folder)/\(phase)-\(UInt64.random(in: 0...(.max)))"
    close(unsafe open(name, O_CREAT | O_WRONLY, 0o600))
    for _ in 0..<3000 where Witness.count(phase, in: folder) < quorum { usleep(10_000) }
  }

  static func count(_ phase: String, in folder: String) -> Int {
    Files.names(in: folder)?.count { $0.hasPrefix(phase) } ?? 0
  }

  mutating func map(_ line: RawSpan, into output: inout Emitter<ByteString, Int>) {
    if !hasBegun { begin("map") }
    hasBegun = true
    output.emit(line, 1)
  }

  mutating func reduce(
    _ key: ByteString, _ values: inout Values<Int>, into output: inout ReduceOutput
  ) throws {
    if !hasBegun { begin("reduce") }
    hasBegun = true
    output.emit(1)
  }
}

@Suite("Tasks side by side", .timeLimit(.minutes(3)), .serialized)
struct ParallelTests {
  /// Eight files, each a map of its own.
  private func configuration(_ folder: TemporaryFolder, quorum: Int) throws -> JobConfiguration {
    _ = try shell("mkdir '\(folder.file("in"))' '\(folder.file("seen"))'")
    for file in 0..<8 {
      try folder.write("in/\(file)", (0..<6000).map { "line \(file) \($0)\n" }.joined())
    }
    var configuration = JobConfiguration(
      job: "witness", arguments: [folder.file("seen"), "\(quorum)"], inputs: [folder.file("in")],
      output: folder.file("out"))
    configuration.splitBytes = 1 << 16
    return configuration
  }

  @Test("maps run side by side, and so do reduces", arguments: [0, 2])
  func together(workers: Int) throws {
    let folder = try TemporaryFolder()
    var configuration = try configuration(folder, quorum: 2)
    configuration.threads = 2
    configuration.workers = workers
    let start = ContinuousClock.now
    let summary = try MapReduce.run(
      configuration, jobs: customJobs, launch: testLaunch, logger: quiet)
    // Nobody waited in vain, which takes thirty seconds.
    #expect(.now - start < .seconds(25) && summary.outputRecords == 48_000)
  }

  @Test("without failures every map and reduce runs once", arguments: [0, 2])
  func once(workers: Int) throws {
    let folder = try TemporaryFolder()
    var configuration = try configuration(folder, quorum: 1)
    configuration.workers = workers
    configuration.backups = false
    let summary = try MapReduce.run(
      configuration, jobs: customJobs, launch: testLaunch, logger: quiet)
    #expect(summary.mapTasks >= 8)
    #expect(Witness.count("map", in: folder.file("seen")) == summary.mapTasks)
    #expect(Witness.count("reduce", in: folder.file("seen")) == 4)
    #expect(summary.mapAttempts == summary.mapTasks && summary.reduceAttempts == 4)
  }

  /// How far a job is when it is cancelled.
  enum Phase: CaseIterable {
    case start, firstMap, allMaps, firstPart

    func isReached(_ progress: JobProgress) -> Bool {
      switch self {
      case .start: true
      case .firstMap: progress.mapsDone > 0
      case .allMaps: progress.mapsDone == progress.maps
      case .firstPart: progress.reducesDone > 0
      }
    }
  }

  @Test("a job is cancelled in every phase, and leaves nothing", arguments: Phase.allCases, [0, 2])
  func cancelled(_ phase: Phase, workers: Int) throws {
    let folder = try TemporaryFolder()
    var configuration = try configuration(folder, quorum: 1)
    configuration.threads = 1
    configuration.workers = workers
    configuration.partitions = 16
    let cancellation = JobCancellation()
    #expect {
      try MapReduce.run(
        configuration, jobs: customJobs, launch: testLaunch, logger: quiet,
        cancellation: cancellation
      ) { if phase.isReached($0) { cancellation.cancel() } }
    } throws: { ($0 as? MapReduceError)?.code == .cancelled }
    #expect(cancellation.isCancelled && Files.names(in: folder.path) == ["in", "seen"])
  }
}
