import CCycladesTesting
import CycladesTransport
import Glibc
import Testing

@testable import CycladesMapReduce

@Suite("Memory and size", .timeLimit(.minutes(3)), .serialized)
struct LimitTests {
  @Test("a record of 3 GiB is refused by name, without 3 GiB of memory")
  func hugeRecord() throws {
    let folder = try TemporaryFolder()
    let input = try folder.write("huge", "first\n")
    // A hole: no disk is used, and no newline is in it.
    #expect(unsafe truncate(input, 3 << 30) == 0)
    var job = JobConfiguration(job: "plain-lines", inputs: [input], output: folder.file("out"))
    job.threads = 1
    var jobs = JobRegistry()
    jobs.register(Lines.self)
    #expect {
      try MapReduce.run(job, jobs: jobs, logger: quiet)
    } throws: { "\($0)".contains("\(input) at byte 6: a record is larger than") }
    #expect(Files.names(in: folder.path) == ["huge"])
  }

  @Test("a value above the limit of one pair is refused by name")
  func hugeValue() throws {
    let folder = try TemporaryFolder()
    let input = try folder.write("lines", "a\nb\n")
    var jobs = JobRegistry()
    jobs.register(Inflate.self)
    var job = JobConfiguration(job: "inflate", inputs: [input], output: folder.file("out"))
    job.threads = 1
    #expect {
      try MapReduce.run(job, jobs: jobs, logger: quiet)
    } throws: { "\($0)".contains("a key or value of more than 256 MiB") }
  }

  @Test("all blocks are back in the pool when a task and what it made are gone")
  func pool() throws {
    let folder = try TemporaryFolder()
    let input = try folder.write("text", (0..<200_000).map { "w\($0 % 70_000) x\n" }.joined())
    let pool = BufferPool(budgetBytes: 1 << 30)
    for memoryBytes in [1 << 30, 4 << 20] {
      for name in ["wordcount", "sort"] {
        let job = JobConfiguration(job: name, inputs: [input], output: folder.file("out"))
        let planned = try PlannedJob(job, jobs: .builtin)
        let share = MemoryShare(budget: memoryBytes, threads: 1)
        let memory = try TaskMemory(
          pool: pool,
          store: BlockStore(pool: pool, folder: folder.path, limit: share.blockBytes), share: share)
        do {
          let map = try MapTask(
            MapAttempt(job: 1, map: 0, attempt: 0), planned.plan.splits[0], code: planned.code,
            setup: planned.setup, memory: memory)
          while try map.step() {}
          _ = try map.finish()
          #expect(memoryBytes < 1 << 30 || pool.statistics.takenBlocks > 0)
          let reduce = try ReduceTask(code: planned.code, setup: planned.setup, memory: memory)
          try reduce.add(map.output, partition: 0)
          try reduce.finishInput()
          let part = try PartWriter(path: folder.file("part"), syncs: false)
          while try reduce.step(into: part) {}
          _ = try part.finish()
        }
        #expect(pool.statistics.takenBlocks == 0, "\(name) with \(memoryBytes) bytes")
      }
    }
  }

  @Test(
    "a process stays within its budget and 64 MiB, sampled while it spills",
    // A sanitizer keeps much more beside each allocation.
    .disabled(if: cyc_testing_allocations() < 0))
  func residentMemory() throws {
    let folder = try TemporaryFolder()
    _ = try shell(
      "awk 'BEGIN { for (i = 0; i < 1600000; i++) print \"word-\" (i * 7919) % 1300001, i }' "
        + "> '\(folder.file("text"))'")
    // The kernel's high-water mark, in KiB, read again and again until the process is gone.
    let output = try shell(
      """
      '\(program)' mapreduce wordcount --input '\(folder.file("text"))' --workers 0 --threads 2 \
        --output '\(folder.file("out"))' --memory 128 --json > '\(folder.file("summary"))' & \
      most=0; while mark=$(awk '/VmHWM/ { print $2 }' /proc/$!/status 2> /dev/null) \
        && [ -n "$mark" ]; do most=$mark; sleep 0.01; done; wait $! && echo $most
      """)
    let text = String(decoding: output, as: UTF8.self)
    let most = try #require(Int(text.dropLast()))
    #expect(most > 0 && most <= (128 + 64) << 10, "\(most) KiB")
    let summary = String(
      decoding: try shell("cat '\(folder.file("summary"))'"), as: UTF8.self)
    #expect(summary.contains("\"spilledBytes\":") && !summary.contains("\"spilledBytes\":0,"))
  }
}

/// Every line is a key.
private struct Lines: SortingJob {
  static let name = "plain-lines"
  init(arguments: [String]) {}
  func map(_ line: RawSpan, into output: inout Emitter<ByteString, NoValue>) {
    output.emit(line, NoValue())
  }
}

/// Emits a value larger than a pair may be.
private struct Inflate: ReducingJob {
  static let name = "inflate"
  init(arguments: [String]) {}
  func map(_ line: RawSpan, into output: inout Emitter<ByteString, ByteString>) {
    output.emit(line, ByteString([UInt8](repeating: 0, count: 257 << 20)))
  }
  func reduce(
    _ key: ByteString, _ values: inout Values<ByteString>, into output: inout ReduceOutput
  ) throws {}
}
