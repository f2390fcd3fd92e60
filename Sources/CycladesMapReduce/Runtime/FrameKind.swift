/// What a frame is; byte 4 of its header.
enum FrameKind: UInt8, Sendable {
  /// Records of a map output.
  case block = 1

  // Worker to coordinator.
  case hello = 16
  case alive = 17
  case mapDone = 18
  case reduceDone = 19
  case failed = 20
  case stalled = 21
  case gaveUp = 22
  /// A worker of a cluster introduces itself, or says what it holds of the job it was told of.
  case enlist = 23
  case holdings = 24

  // Coordinator to worker.
  case welcome = 32
  case refused = 33
  case runMap = 34
  case runReduce = 35
  case moved = 36
  case forget = 37
  case abandon = 38
  /// Another node leads, or nobody does right now.
  case elsewhere = 39
  /// The job is over; a worker of a cluster waits for the next one.
  case dismissed = 40
  /// All nodes; sent often, so that whoever hears nothing looks for another node.
  case nodes = 41

  // Between workers.
  case greet = 48
  case pull = 49
  /// Ends the answer to a pull.
  case pulled = 50
  /// The answer to a pull for what is not here.
  case gone = 51

  // Between a job's home and its coordinator.
  case submit = 64
  case accepted = 65
  case ready = 66
  case progress = 67
  case publish = 68
  case published = 69
  case finished = 70
  case cancel = 71
  case listJobs = 72
  case jobs = 73
  case cancelJob = 74
  case cancelled = 75

  // Between a worker and a job's home.
  case readFile = 80
  case fileData = 81
  case partData = 82
  case partEnd = 83
  case partKept = 84
  case homeFailed = 85
}
