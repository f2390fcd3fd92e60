/// How far a job is.
public struct JobProgress: Sendable, Hashable {
  /// Map tasks that are done.
  public var mapsDone = 0
  /// Map tasks in all.
  public var maps = 0
  /// Parts that are published.
  public var reducesDone = 0
  /// Parts in all.
  public var reduces = 0
  /// Input bytes of the map tasks that are done.
  public var inputBytesDone = 0
  /// Input bytes in all.
  public var inputBytes = 0
  /// Workers connected now.
  public var workers = 0
  /// Workers lost so far.
  public var workersLost = 0
  /// Time since the start.
  public var elapsed = Duration.zero

  /// Input bytes mapped per second.
  public var bytesPerSecond: Double {
    let seconds = elapsed / .seconds(1)
    return seconds > 0 ? Double(inputBytesDone) / seconds : 0
  }

  /// The share of the work that is done, where a reduce of everything counts like a third of a map of
  /// everything.
  public var fraction: Double {
    let map = inputBytes > 0 ? Double(inputBytesDone) / Double(inputBytes) : 1
    let reduce = reduces > 0 ? Double(reducesDone) / Double(reduces) : 1
    return map * 0.75 + reduce * 0.25
  }

  /// How long the rest takes at the rate so far; nil before there is one.
  public var remaining: Duration? {
    fraction > 0.01 ? elapsed * ((1 - fraction) / fraction) : nil
  }
}

/// What a job did.
public struct JobSummary: Sendable, Hashable {
  /// Input files.
  public var inputFiles = 0
  /// Bytes of input.
  public var inputBytes = 0
  /// Map tasks, one per split.
  public var mapTasks = 0
  /// Attempts at map tasks that were started; more than tasks when workers were lost.
  public var mapAttempts = 0
  /// Reduce tasks, one per part.
  public var reduceTasks = 0
  /// Attempts at reduce tasks that were started.
  public var reduceAttempts = 0
  /// Workers that were lost.
  public var workersLost = 0
  /// Records mapped: lines, or pieces of text for jobs that scan by themselves.
  public var records = 0
  /// Records that threw and were skipped.
  public var badRecords = 0
  /// Pairs emitted.
  public var pairs = 0
  /// Records, after combining, that were shuffled.
  public var shuffledRecords = 0
  /// Bytes of the blocks that were shuffled.
  public var shuffledBytes = 0
  /// Bytes that did not fit into memory and went through files, in this process.
  public var spilledBytes = 0
  /// What the job's own code counted, by name.
  public var counters: [String: Int] = [:]
  /// Records of output.
  public var outputRecords = 0
  /// Bytes of output.
  public var outputBytes = 0
  /// Time from start to the success marker.
  public var duration = Duration.zero

  /// Input bytes per second.
  public var bytesPerSecond: Double {
    let seconds = duration / .seconds(1)
    return seconds > 0 ? Double(inputBytes) / seconds : 0
  }
}
