import Glibc
import Logging
import Testing

@testable import CycladesMapReduce

/// Jobs that misbehave in ways a library cannot prevent.
let customJobs = {
  var jobs = JobRegistry()
  jobs.register(LineIndex.self)
  jobs.register(Floats.self)
  jobs.register(Stations.self)
  jobs.register(Trap.self)
  jobs.register(Unstable.self)
  jobs.register(Slow.self)
  jobs.register(Witness.self)
  return jobs
}()

/// Traps on one line.
private struct Trap: CombiningJob {
  typealias Combine = Sum<Int>
  static let name = "trap"
  init(arguments: [String]) {}
  func map(_ line: RawSpan, into output: inout Emitter<ByteString, Int>) {
    // As a trap ends a process, but without a backtrace of several seconds.
    if line.byteCount == 3 { _exit(132) }
    output.emit(line, 1)
  }
}

/// Gives other pairs in every process.
private struct Unstable: CombiningJob {
  typealias Combine = Sum<Int>
  static let name = "unstable"
  init(arguments: [String]) {}
  func map(_ line: RawSpan, into output: inout Emitter<Int, Int>) { output.emit(Int(getpid()), 1) }
}

/// Takes a second for one line, in which its worker answers nobody.
private struct Slow: CombiningJob {
  typealias Combine = Sum<Int>
  static let name = "slow"
  init(arguments: [String]) {}
  func map(_ line: RawSpan, into output: inout Emitter<ByteString, Int>) {
    if line.byteCount == 3 { usleep(1_000_000) }
    output.emit(line, 1)
  }
}

/// The role of this very test program when a test below starts it as a worker.
@Suite("Worker role", .enabled(if: unsafe getenv("CYCLADES_MAPREDUCE_WORKER") != nil))
struct WorkerRole {
  @Test("serve")
  func serve() throws {
    #expect(try MapReduceWorker.runIfAsked(jobs: customJobs, logger: quiet))
  }
}

/// This test program as a worker.
let testLaunch = WorkerLaunch(
  program: "/proc/self/exe",
  arguments: [
    "--testing-library", "swift-testing", "--filter", "CycladesMapReduceTests.WorkerRole",
  ])

@Suite("Jobs of one's own in worker processes", .timeLimit(.minutes(5)), .serialized)
struct CustomJobTests {
  private func configuration(
    _ job: String, _ folder: TemporaryFolder, _ lines: some Sequence<String>, workers: Int
  ) throws -> JobConfiguration {
    let input = try folder.write("text", lines.map { $0 + "\n" }.joined())
    var configuration = JobConfiguration(job: job, inputs: [input], output: folder.file("out"))
    configuration.workers = workers
    configuration.splitBytes = 1 << 16
    configuration.overwrites = true
    return configuration
  }

  private func run(_ configuration: JobConfiguration) throws -> (parts: [UInt8], JobSummary) {
    let summary = try MapReduce.run(
      configuration, jobs: customJobs, launch: testLaunch, logger: quiet)
    return (try shell("cat '\(configuration.output)'/part-*"), summary)
  }

  private func parts(_ configuration: JobConfiguration) throws -> [UInt8] {
    try run(configuration).parts
  }

  @Test("a job that reduces gives the same bytes with any workers, also when one is killed")
  func reducing() throws {
    let folder = try TemporaryFolder()
    let lines = (0..<20_000).map { "\($0) w\($0 % 97) w\($0 % 89) w\($0 % 3)" }
    var configuration = try configuration("lines", folder, lines, workers: 0)
    let expected = try parts(configuration)
    #expect(expected.count > 10_000)
    for workers in [1, 3] {
      configuration.workers = workers
      #expect(try parts(configuration) == expected)
    }
    configuration.disturbances = [Disturbance(worker: 0, mapsDone: 4, signal: SIGKILL)]
    let (disturbed, summary) = try run(configuration)
    #expect(disturbed == expected)
    #expect(summary.workersLost == 1)
  }

  @Test("sums of floating-point numbers are the same with any workers")
  func floats() throws {
    let folder = try TemporaryFolder()
    let lines = (0..<30_000).map { "\(Double($0 % 1000) / 7)" }
    var configuration = try configuration("floats", folder, lines, workers: 0)
    let expected = try parts(configuration)
    for workers in [1, 3] {
      configuration.workers = workers
      #expect(try parts(configuration) == expected)
    }
  }

  @Test("a record that kills its worker fails the job, and the error names the task's input")
  func trap() throws {
    let folder = try TemporaryFolder()
    let lines = (0..<3).map { "line \($0)" } + ["bad"] + (0..<20_000).map { "row \($0)" }
    let configuration = try configuration("trap", folder, lines, workers: 2)
    #expect {
      try run(configuration)
    } throws: {
      "\($0)".contains("4 workers died of it") && "\($0)".contains(folder.file("text"))
    }
    #expect(Files.names(in: folder.path) == ["text"])
  }

  @Test("bad records of all workers together meet the limit")
  func badRecords() throws {
    let folder = try TemporaryFolder()
    let lines = (0..<30_000).map { $0 % 3000 == 0 ? "bad" : "s \($0)" }
    var configuration = try configuration("stations", folder, lines, workers: 2)
    configuration.badRecordLimit = 10
    let (_, summary) = try run(configuration)
    #expect(summary.badRecords == 10 && summary.mapTasks > 3)
    configuration.badRecordLimit = 9
    #expect {
      try run(configuration)
    } throws: { "\($0)".contains("10 bad records") }
  }

  @Test("a job that gives other pairs when it is repeated is found out")
  func unstable() throws {
    let folder = try TemporaryFolder()
    let lines = (0..<40_000).map { "row \($0)" }
    // One worker, so that it is certain to hold what is done again when it is gone.
    var configuration = try configuration("unstable", folder, lines, workers: 1)
    configuration.disturbances = [Disturbance(worker: 0, mapsDone: 4, signal: SIGKILL)]
    #expect {
      try run(configuration)
    } throws: { "\($0)".contains("two attempts gave different pairs") }
  }

  @Test("a worker that is slow is not given up")
  func slow() throws {
    let folder = try TemporaryFolder()
    let lines = ["bad"] + (0..<20_000).map { "row \($0)" }
    var configuration = try configuration("slow", folder, lines, workers: 1)
    configuration.patience = .milliseconds(200)
    let (_, summary) = try run(configuration)
    #expect(summary.outputRecords == 20_001)
    #expect(summary.workersLost == 0 && summary.mapAttempts == summary.mapTasks)
  }
}
