import Glibc
import Testing

@testable import CycladesMapReduce

/// The `cyclades` executable that was built beside the tests; its `mapreduce worker` is the worker.
let program: String = {
  let mapped = (try? shell("cat /proc/\(getpid())/maps")) ?? []
  let paths = String(decoding: mapped, as: UTF8.self).split(separator: "\n")
    .compactMap { line in line.firstIndex(of: "/").map { String(line[$0...]) } }
  let bundle = paths.first { $0.hasSuffix(".xctest") } ?? ""
  return bundle.split(separator: "/", omittingEmptySubsequences: false).dropLast()
    .joined(separator: "/") + "/cyclades"
}()

@Suite("Worker processes", .timeLimit(.minutes(5)), .serialized)
struct WorkerTests {
  private let launch = WorkerLaunch(program: program, arguments: ["mapreduce", "worker"])

  /// Text of a few megabytes, so that something can happen midway.
  private func text(_ folder: TemporaryFolder) throws -> String {
    _ = try shell(
      "for i in 1 2 3 4 5 6 7 8; do cat /usr/share/common-licenses/*; done > '\(folder.file("text"))'"
    )
    return folder.file("text")
  }

  private func configuration(_ folder: TemporaryFolder, workers: Int) throws -> JobConfiguration {
    var configuration = JobConfiguration(
      job: "wordcount", inputs: [try text(folder)], output: folder.file("out"))
    configuration.workers = workers
    configuration.splitBytes = 1 << 17
    configuration.overwrites = true
    return configuration
  }

  private func run(_ configuration: JobConfiguration) throws -> (
    parts: [UInt8], summary: JobSummary
  ) {
    let summary = try MapReduce.run(
      configuration, jobs: .builtin, launch: launch, logger: quiet)
    let parts = try shell("cd '\(configuration.output)' && cat MANIFEST part-*")
    #expect(
      try shell(
        "ls -A '\(configuration.output)' | grep -c -v -E '^(part-[0-9]+|MANIFEST|_SUCCESS)$'")
        == Array("0\n".utf8))
    return (parts, summary)
  }

  @Test("one process, one worker and many give the same bytes")
  func sameBytes() throws {
    let folder = try TemporaryFolder()
    let expected = try run(configuration(folder, workers: 0))
    #expect(try outputLines(folder.file("out")) == coreutilsWordCount("'\(folder.file("text"))'"))
    for workers in [1, 2, 3] {
      let result = try run(configuration(folder, workers: workers))
      #expect(result.parts == expected.parts)
      #expect(result.summary.mapAttempts == result.summary.mapTasks)
      #expect(result.summary.pairs == expected.summary.pairs)
      // In one process a thread folds the pairs of all its splits before it writes any.
      #expect(result.summary.shuffledBytes >= expected.summary.shuffledBytes)
    }
  }

  @Test("a worker killed at any point changes nothing", arguments: [1, 9, 18, 19])
  func killed(mapsDone: Int) throws {
    let folder = try TemporaryFolder()
    var configuration = try configuration(folder, workers: 0)
    let expected = try run(configuration)
    configuration.workers = 2
    configuration.disturbances = [
      Disturbance(worker: 1, mapsDone: min(mapsDone, expected.summary.mapTasks), signal: SIGKILL)
    ]
    // On a busy machine the first worker may be done before the second one has joined.
    var lost = 0
    for _ in 0..<5 where lost == 0 {
      let result = try run(configuration)
      #expect(result.parts == expected.parts)
      lost = result.summary.workersLost
    }
    #expect(lost == 1)
  }

  @Test("all first workers killed one after the other change nothing")
  func allKilled() throws {
    let folder = try TemporaryFolder()
    var configuration = try configuration(folder, workers: 0)
    let expected = try run(configuration)
    configuration.workers = 2
    configuration.disturbances = (0..<3).map {
      Disturbance(worker: $0, mapsDone: 3 + 5 * $0, signal: SIGKILL)
    }
    let result = try run(configuration)
    #expect(result.parts == expected.parts)
    #expect(result.summary.workersLost == 3)
  }

  @Test("a stopped worker is worked around, and ends with the job")
  func stopped() throws {
    let folder = try TemporaryFolder()
    var configuration = try configuration(folder, workers: 0)
    let expected = try run(configuration)
    configuration.workers = 2
    configuration.patience = .milliseconds(400)
    configuration.disturbances = [Disturbance(worker: 0, mapsDone: 5, signal: SIGSTOP)]
    let result = try run(configuration)
    #expect(result.parts == expected.parts)
    #expect(result.summary.mapAttempts > result.summary.mapTasks)
    #expect(result.summary.workersLost == 0)
  }

  @Test("no process is left when a job has ended")
  func nothingLeft() throws {
    let folder = try TemporaryFolder()
    _ = try run(configuration(folder, workers: 3))
    #expect(try shell("ps --ppid \(getpid()) -o comm= | grep -c cyclades") == Array("0\n".utf8))
  }

  @Test("workers that cannot start fail the job with one clear error")
  func cannotStart() throws {
    let folder = try TemporaryFolder()
    for launch in [
      WorkerLaunch(program: "/bin/false", arguments: []),
      WorkerLaunch(program: "/nonexistent/program", arguments: []),
    ] {
      #expect {
        try MapReduce.run(
          configuration(folder, workers: 2), jobs: .builtin, launch: launch, logger: quiet)
      } throws: { ($0 as? MapReduceError)?.code == .worker }
      #expect(Files.names(in: folder.path) == ["text"])
    }
  }

  @Test("a worker of another build is refused")
  func otherBuild() throws {
    let folder = try TemporaryFolder()
    let script = try folder.write("script", "#!/bin/sh\nexec '\(program)' mapreduce worker\n")
    _ = try shell("chmod +x '\(script)'")
    #expect {
      try MapReduce.run(
        configuration(folder, workers: 1), jobs: .builtin,
        launch: WorkerLaunch(program: script, arguments: []), logger: quiet)
    } throws: { "\($0)".contains("another build") }
  }
}

@Suite("The command", .timeLimit(.minutes(5)), .serialized)
struct CommandTests {
  @Test("wordcount prints figures and exits 0")
  func wordcount() throws {
    let folder = try TemporaryFolder()
    let output = try shell(
      "'\(program)' mapreduce wordcount --input /usr/share/common-licenses --output "
        + "'\(folder.file("out"))' --workers 2 --json; echo $?")
    let text = String(decoding: output, as: UTF8.self)
    #expect(text.hasPrefix("{\"job\":\"wordcount\"") && text.hasSuffix("}\n0\n"))
    #expect(
      try outputLines(folder.file("out")) == coreutilsWordCount("/usr/share/common-licenses/*"))
  }

  @Test("lines are generated and sorted")
  func generate() throws {
    let folder = try TemporaryFolder()
    let (lines, out) = (folder.file("lines"), folder.file("out"))
    let output = try shell(
      "'\(program)' mapreduce generate --lines 3000 --output '\(lines)' && '\(program)' mapreduce"
        + " sort --input '\(lines)' --output '\(out)' --workers 1 2>/dev/null; echo $?")
    #expect(output == Array("0\n".utf8))
    #expect(try shell("cat '\(out)'/part-*") == shell("sort '\(lines)'"))
    #expect(try shell("wc -c < '\(lines)'") == Array("300000\n".utf8))
  }

  @Test("a job with a ledger is listed, and an unknown one cannot be cancelled")
  func ledger() throws {
    let folder = try TemporaryFolder()
    let ledger = "--ledger '\(folder.file("ledger"))'"
    let output = try shell(
      "'\(program)' mapreduce wordcount --input /etc/passwd --output '\(folder.file("out"))' "
        + "--workers 1 \(ledger) 2>/dev/null; echo $?; '\(program)' mapreduce list \(ledger) --json;"
        + " '\(program)' mapreduce cancel 12ab \(ledger) 2>&1; echo $?")
    let text = String(decoding: output, as: UTF8.self)
    #expect(text.hasPrefix("0\n[{\"id\":") && text.contains("\"state\":\"complete\""))
    #expect(text.hasSuffix("there is no job '12ab'\n1\n"))
  }

  @Test("the standard input is an input")
  func standardInput() throws {
    let folder = try TemporaryFolder()
    for source in ["printf 'b a\\nb'|", ""] {
      let redirect = source.isEmpty ? "< '\(try folder.write("text", "b a\nb"))'" : ""
      _ = try shell(
        "\(source) '\(program)' mapreduce wordcount --input - --output '\(folder.file("out"))'"
          + " --workers 1 --overwrite \(redirect) 2>/dev/null")
      #expect(try outputLines(folder.file("out")) == Array("a\t1\nb\t2\n".utf8))
    }
  }

  @Test(
    "what cannot be done is one line and an exit code",
    arguments: [
      ("wordcount --input /nonexistent --output OUT", 1, "/nonexistent"),
      ("wordcount --input /etc/passwd --output /proc/out", 1, "/proc/out"),
      ("paint --input /etc/passwd --output OUT", 64, "there is no job 'paint'"),
      ("grep --input /etc/passwd --output OUT", 64, "grep takes one argument"),
      ("wordcount --input /etc/passwd --output OUT --workers 1000", 64, "workers"),
      ("wordcount --output OUT", 64, "--input"),
    ])
  func errors(_ arguments: String, _ code: Int, _ words: String) throws {
    let folder = try TemporaryFolder()
    let command = arguments.replacing("OUT", with: folder.file("out"))
    let text = String(
      decoding: try shell("'\(program)' mapreduce \(command) 2>&1; echo $?"), as: UTF8.self)
    let lines = text.split(separator: "\n")
    #expect(lines.count == 2 && lines.first?.contains(words) == true && lines.last == "\(code)")
    #expect(Files.names(in: folder.path) == [])
  }

  /// Starts a job that takes a while; its process.
  private func start(_ folder: TemporaryFolder) throws -> pid_t {
    _ = try shell(
      "for i in $(seq 200); do cat /usr/share/common-licenses/*; done > '\(folder.file("text"))'")
    let text = try shell(
      "'\(program)' mapreduce wordcount --input '\(folder.file("text"))' --split 1 --output "
        + "'\(folder.file("out"))' --workers 2 >'\(folder.file("log"))' 2>&1 & echo $!")
    let process = try #require(
      Int32(String(decoding: text, as: UTF8.self).filter(\.isNumber)))
    for _ in 0..<100 {
      if try workers(of: process).count == 2 { return process }
      usleep(20_000)
    }
    throw TestFailure(
      "the workers did not start: \(String(decoding: try shell("cat '\(folder.file("log"))'"), as: UTF8.self))"
    )
  }

  /// The workers that run; a child that is not quite there yet still has its parent's arguments.
  private func workers(of process: pid_t) throws -> [Int32] {
    let lines = try shell("ps --ppid \(process) -o pid=,args= | grep 'mapreduce worker'")
    return String(decoding: lines, as: UTF8.self).split(separator: "\n")
      .compactMap { Int32($0.split(separator: " ")[0]) }
  }

  private func end(_ processes: [Int32]) throws -> Bool {
    for _ in 0..<250 {
      // A zombie that nobody reaps is gone as well.
      let states = try processes.map {
        String(decoding: try shell("ps -p \($0) -o stat="), as: UTF8.self)
      }
      if states.allSatisfy({ $0.isEmpty || $0.hasPrefix("Z") }) { return true }
      usleep(20_000)
    }
    return false
  }

  @Test("interrupted, it ends its workers and removes its output")
  func interrupted() throws {
    let folder = try TemporaryFolder()
    let process = try start(folder)
    let workers = try workers(of: process)
    kill(process, SIGINT)
    #expect(try end(workers + [process]))
    #expect(Files.names(in: folder.path) == ["log", "text"])
  }

  @Test("killed, it takes its workers along, even stopped ones")
  func killed() throws {
    let folder = try TemporaryFolder()
    let process = try start(folder)
    let workers = try workers(of: process)
    kill(workers[0], SIGSTOP)
    kill(process, SIGKILL)
    #expect(try end(workers + [process]))
    // What it left does not keep the next job out.
    let again = try shell(
      "'\(program)' mapreduce wordcount --input /etc/hostname --output '\(folder.file("out"))'"
        + " --workers 0 2>/dev/null; echo $?")
    #expect(again == Array("0\n".utf8))
  }
}
