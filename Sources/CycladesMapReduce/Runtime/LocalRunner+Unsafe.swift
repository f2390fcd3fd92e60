internal import CycladesTransport
import Glibc
import Synchronization

/// Runs a job in this process: on the calling thread, or on several.
///
/// Threads take tasks from two counters, all maps before any reduce, and share nothing else until a
/// reduce reads the blocks that other threads sealed. Tasks are cut by the input alone, so the output
/// is the same bytes for any number of threads.
///
/// A thread whose job ignores the order of values goes on with its next split in the same table: the
/// keys that all splits have in common are combined before anything is written.
@safe final class LocalRunner {
  private let job: PlannedJob
  private let folder: OutputFolder
  private let cancellation: JobCancellation
  private let threads: Int
  private let started = ContinuousClock.now
  private let trace: JobTrace

  private let nextMap = Atomic(0)
  private let nextPart = Atomic(0)
  private let mapsLeft: Atomic<Int>
  private let failed = Atomic(false)
  private let state: Mutex<State>

  private struct State {
    /// Sealed outputs by their first split; threads that fold everything leave gaps.
    var outputs: [SharedOutput?]
    var reports: [MapReport?]
    var parts: [PartInfo?]
    var mapped = 0
    var mappedBytes = 0
    var reduced = 0
    var running: Int
    var spilledBytes = 0
    var failure: (any Error)?
  }

  /// Sealed, and read by several threads from then on.
  private struct SharedOutput: @unchecked Sendable {
    let output: MapOutput
  }

  init(_ job: PlannedJob, into folder: OutputFolder, cancellation: JobCancellation) {
    self.job = job
    self.folder = folder
    self.cancellation = cancellation
    let wanted = job.configuration.threads
    let available = wanted > 0 ? wanted : max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    // A share too small to work in would be spent on overhead.
    let affordable = max(1, job.configuration.memoryBytes / (48 << 20))
    threads = min(available, affordable, 256)
    mapsLeft = Atomic(job.plan.splits.count)
    trace = JobTrace(job.configuration.trace)
    state = Mutex(
      State(
        outputs: Array(repeating: nil, count: job.plan.splits.count),
        reports: Array(repeating: nil, count: job.plan.splits.count),
        parts: Array(repeating: nil, count: job.setup.partitions), running: threads))
  }

  /// Runs the job to its end and reports from the calling thread.
  func run(report: (JobProgress) -> Void) throws -> JobSummary {
    var handles: [pthread_t] = []
    // The pools outlive every thread, since blocks of one are read by all.
    let pools = (0..<threads).map { _ in BufferPool(budgetBytes: 1 << 40) }
    if threads == 1 {
      work(0, pools[0]) { report(progress) }
    } else {
      for index in 0..<threads {
        let box = ThreadWork { [self] in work(index, pools[index]) {} }
        handles.append(try box.start())
      }
      var ticks = 0
      while state.withLock({ $0.running }) > 0 {
        usleep(2_000)
        ticks += 1
        if ticks % 50 == 0 { report(progress) }
      }
      for handle in handles { pthread_join(handle, nil) }
    }
    defer { state.withLock { $0.outputs = [] } }
    if let failure = state.withLock({ $0.failure }) { throw failure }
    report(progress)
    return try finish()
  }

  private func finish() throws -> JobSummary {
    var summary = job.summary
    let (reports, parts, spilled) = state.withLock { ($0.reports, $0.parts, $0.spilledBytes) }
    for report in reports.compactMap(\.self) { summary.add(report, names: job.code.counters) }
    for part in parts.compactMap(\.self) { summary.add(part, names: job.code.counters) }
    summary.mapAttempts = summary.mapTasks
    summary.reduceAttempts = summary.reduceTasks
    summary.spilledBytes = spilled
    try folder.complete(
      job: job.setup.name, arguments: job.setup.arguments, parts: parts.compactMap(\.self),
      badRecords: reports.compactMap(\.self).flatMap(\.badRecords))
    try trace.write()
    return summary
  }

  private var progress: JobProgress {
    var progress = job.progress
    progress.workers = threads
    progress.elapsed = ContinuousClock.now - started
    state.withLock {
      progress.mapsDone = $0.mapped
      progress.inputBytesDone = $0.mappedBytes
      progress.reducesDone = $0.reduced
    }
    return progress
  }

  // MARK: One thread

  private func work(_ thread: Int, _ pool: BufferPool, _ report: () -> Void) {
    do {
      let share = MemoryShare(budget: job.configuration.memoryBytes, threads: threads)
      let store = BlockStore(
        pool: pool, folder: job.configuration.spillPath, limit: share.blockBytes)
      let memory = try TaskMemory(pool: pool, store: store, share: share)
      try mapAll(thread, memory, report)
      while mapsLeft.load(ordering: .acquiring) > 0 {
        try check()
        usleep(200)
      }
      try reduceAll(thread, memory, report)
      state.withLock { $0.spilledBytes += store.spilledBytes }
    } catch {
      state.withLock { if $0.failure == nil { $0.failure = error } }
      // After the error is noted, so that threads that stop because of it cannot be first.
      failed.store(true, ordering: .releasing)
    }
    state.withLock { $0.running -= 1 }
  }

  private func check() throws {
    try cancellation.check()
    if failed.load(ordering: .acquiring) { throw JobCancellation.error }
  }

  private func mapAll(_ thread: Int, _ memory: TaskMemory, _ report: () -> Void) throws {
    let splits = job.plan.splits
    var open: MapTask?
    var (first, unsealed) = (0, 0)
    while true {
      let index = nextMap.add(1, ordering: .relaxed).oldValue
      guard index < splits.count else { break }
      let start = trace.now
      let task: MapTask
      if let open {
        task = open
        task.go(on: splits[index])
      } else {
        let name = MapAttempt(job: job.id, map: index, attempt: 0)
        task = try MapTask(
          name, splits[index], code: job.code, setup: job.setup, memory: memory)
        first = index
      }
      while try task.step() { try check() }
      unsealed += 1
      open = job.code.ignoresOrder ? task : nil
      if open == nil { try seal(task, first, &unsealed) }
      state.withLock {
        $0.mapped += 1
        $0.mappedBytes += splits[index].byteCount
      }
      trace.add("map \(index)", thread: thread, from: start)
      report()
    }
    if let open { try seal(open, first, &unsealed) }
  }

  private func seal(_ task: MapTask, _ first: Int, _ unsealed: inout Int) throws {
    let report = try task.finish()
    let shared = SharedOutput(output: task.output)
    let bad = state.withLock {
      $0.outputs[first] = shared
      $0.reports[first] = report
      return $0.reports.reduce(0) { $0 + ($1?.counters.badRecords ?? 0) }
    }
    guard bad <= job.setup.badRecordLimit else {
      throw tooManyBadRecords(bad, limit: job.setup.badRecordLimit, nil, nil)
    }
    mapsLeft.subtract(unsealed, ordering: .releasing)
    unsealed = 0
  }

  private func reduceAll(_ thread: Int, _ memory: TaskMemory, _ report: () -> Void) throws {
    let outputs = state.withLock { $0.outputs.compactMap(\.self) }
    while true {
      let partition = nextPart.add(1, ordering: .relaxed).oldValue
      guard partition < job.setup.partitions else { return }
      let start = trace.now
      let task = try ReduceTask(code: job.code, setup: job.setup, memory: memory)
      for shared in outputs {
        try task.add(shared.output, partition: partition)
        try check()
      }
      try task.finishInput()
      let file = try PartWriter(
        path: folder.temporaryPath(partition: partition, attempt: 0),
        compression: job.setup.compression, syncs: job.setup.syncs)
      while try task.step(into: file) { try check() }
      let part = try file.finish(counters: task.takeJobCounters())
      try folder.publish(partition: partition, attempt: 0)
      state.withLock {
        $0.parts[partition] = part
        $0.reduced += 1
      }
      trace.add("reduce \(partition)", thread: thread, from: start)
      report()
    }
  }
}

/// What a thread is started with.
@safe private final class ThreadWork: @unchecked Sendable {
  private let body: () -> Void

  init(_ body: @escaping () -> Void) { self.body = body }

  func start() throws -> pthread_t {
    var handle = pthread_t()
    let argument = unsafe Unmanaged.passRetained(self)
    let result = unsafe pthread_create(
      &handle, nil,
      { argument in
        unsafe Unmanaged<ThreadWork>.fromOpaque(argument.unsafelyUnwrapped).takeRetainedValue()
          .body()
        return nil
      }, argument.toOpaque())
    guard result == 0 else {
      unsafe argument.release()
      throw MapReduceError(.worker, "cannot start a thread: \(Files.reason(result))")
    }
    return handle
  }
}
