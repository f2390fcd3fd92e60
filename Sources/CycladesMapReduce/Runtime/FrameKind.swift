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

  // Coordinator to worker.
  case welcome = 32
  case refused = 33
  case runMap = 34
  case runReduce = 35
  case moved = 36
  case forget = 37
  case abandon = 38

  // Between workers.
  case greet = 48
  case pull = 49
  /// Ends the answer to a pull.
  case pulled = 50
  /// The answer to a pull for what is not here.
  case gone = 51
}
