/// A job as its coordinator knows it: what to do, and nothing of where or for whom.
struct JobOrder: Sendable {
  /// Names this run in every frame, so that what belongs to another cannot be taken for its own.
  var id: UInt64
  var setup: JobSetup
  var splits: [InputSplit]
  var fileCount: Int
  /// Silence after which a worker is suspected.
  var patienceMilliseconds: Int
  var backups: Bool

  /// A summary with what is known before the start.
  var summary: JobSummary {
    var summary = JobSummary()
    summary.inputFiles = fileCount
    summary.inputBytes = splits.reduce(0) { $0 + $1.byteCount }
    summary.mapTasks = splits.count
    summary.reduceTasks = setup.partitions
    return summary
  }

  /// Progress at the start.
  var progress: JobProgress {
    var progress = JobProgress()
    progress.maps = splits.count
    progress.reduces = setup.partitions
    progress.inputBytes = splits.reduce(0) { $0 + $1.byteCount }
    return progress
  }

  /// Names a task, and the input it begins with.
  func describe(_ task: TaskID) -> String {
    guard case .map(let map) = task, let first = splits[map].segments.first else {
      return "task \(task)"
    }
    return "map \(map) (\(splits[map].byteCount) bytes from \(first.path) at \(first.offset))"
  }
}
