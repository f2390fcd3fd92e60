/// One life of a worker process. Never used again: a process that comes back is another worker, so
/// what an old one still sends cannot be taken for its successor's.
struct WorkerID: Hashable, Comparable, Sendable {
  var rawValue: Int
  static func < (a: WorkerID, b: WorkerID) -> Bool { a.rawValue < b.rawValue }
}

/// A piece of work.
enum TaskID: Hashable, Sendable {
  case map(Int)
  case reduce(Int)
}

/// One try at a task. Attempts of a task are numbered in order of assignment.
struct Attempt: Hashable, Sendable {
  var task: TaskID
  var number: Int
}

/// What a map attempt reports when its output is sealed.
struct MapReport: Hashable, Sendable {
  var counters = MapCounters()
  var badRecords: [BadRecord] = []
  var shuffledRecords = 0
  var shuffledBytes = 0
  /// Of all its blocks in order: the same for every attempt, or the job is not deterministic.
  var digest: UInt64 = 0
}

/// What a worker has of a job when it comes back: what it runs, and all its reports that may not have
/// been heard.
struct WorkerHoldings: Hashable, Sendable {
  var running: Attempt?
  /// The outputs it keeps, in order of maps.
  var maps: [HeldMap] = []
  /// The part files it has finished, in order of partitions.
  var parts: [HeldPart] = []

  struct HeldMap: Hashable, Sendable {
    var map: Int
    var attempt: Int
    var report: MapReport
  }

  struct HeldPart: Hashable, Sendable {
    var partition: Int
    var attempt: Int
    var info: PartInfo
  }
}

/// What the coordinator is told.
enum CoordinatorEvent {
  /// A worker of the right program has introduced itself.
  case joined(WorkerID)
  /// A worker that served another coordinator of this job, or this one on another connection, is back
  /// with what it holds.
  case rejoined(WorkerID, WorkerHoldings)
  /// A worker is gone: its connection ended or its process did.
  case lost(WorkerID)
  /// A worker lives; every message of it says so, besides what it says.
  case heard(WorkerID)
  /// Time, in milliseconds from any start; never decreases.
  case tick(UInt64)
  case mapDone(WorkerID, map: Int, attempt: Int, MapReport)
  case reduceDone(WorkerID, partition: Int, attempt: Int, PartInfo)
  /// An attempt ended with an error of the job, its input or its output.
  case failed(WorkerID, Attempt, MapReduceError)
  /// An attempt ended without a result and through no fault of the job: what it needed could not be
  /// reached. It is tried again, a few times.
  case gaveUp(WorkerID, Attempt, MapReduceError)
  /// A running reduce gets nothing for the output of a map.
  case stalled(WorkerID, partition: Int, attempt: Int, map: Int)
  /// The ledger has the decision, and will for ever.
  case logged(Decision)
  /// The part has its final name.
  case published(partition: Int)
  /// Something outside any task failed, or the job is to end.
  case stopped(MapReduceError)
}

/// What the coordinator wants done.
enum CoordinatorEffect {
  case runMap(WorkerID, map: Int, attempt: Int)
  /// `sources` names, for every map, the attempt and the worker to pull from.
  case runReduce(WorkerID, partition: Int, attempt: Int, sources: [MapSource])
  /// Tells a running reduce where a map's output is now.
  case moved(WorkerID, partition: Int, attempt: Int, map: Int, MapSource)
  /// The worker may forget this output.
  case forget(WorkerID, map: Int, attempt: Int)
  /// The worker must stop this attempt; a report of it no longer counts.
  case abandon(WorkerID, Attempt)
  /// Puts a decision into the ledger; answered by `logged`. Decisions keep their order.
  case log(Decision)
  /// Gives the elected attempt at a part its final name; answered by `published` or `stopped`.
  case publish(partition: Int, attempt: Int)
  /// Starts one more worker.
  case spawn
  /// Every part is published. The last effect.
  case complete
  /// The job cannot go on. The last effect.
  case fail(MapReduceError)

}

/// Where the output of a map is.
struct MapSource: Hashable, Sendable {
  var attempt: Int
  var worker: WorkerID
}
