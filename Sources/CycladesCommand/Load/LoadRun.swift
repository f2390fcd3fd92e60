import Synchronization

/// Runs a load on a thread of its own.
func inBackground<Workload: LoadWorkload & Sendable>(
  _ workload: Workload, _ shape: LoadShape
) -> Background<Workload> {
  Background { () throws(CommandFailure) in
    var generator = LoadGenerator(workload, shape)
    try generator.run()
    return generator.workload
  }
}

extension Terminal {
  /// Shows progress until work on another thread is done.
  func watch<Value>(
    _ work: Background<Value>, _ name: String, within limit: Duration,
    describe: () -> (fraction: Double?, text: String)
  ) throws -> Value {
    let deadline = ContinuousClock.now + limit
    while true {
      if let value = try work.poll() { return value }
      guard ContinuousClock.now < deadline else {
        throw CommandFailure("\(name): not done within \(limit)")
      }
      let (fraction, text) = describe()
      progress(fraction, text)
      pause(milliseconds: 20)
    }
  }

  /// Shows progress until a condition holds.
  func watch(
    _ name: String, within limit: Duration, until isDone: () throws -> Bool,
    describe: () -> String
  ) throws {
    let deadline = ContinuousClock.now + limit
    while try !isDone() {
      guard ContinuousClock.now < deadline else {
        throw CommandFailure("\(name): not within \(limit)")
      }
      progress(nil, describe())
      pause(milliseconds: 20)
    }
  }
}

extension Terminal {
  /// Shows how many commands succeeded, for a while.
  func follow(_ load: LoadProgress, _ state: String, for time: Duration) {
    let end = ContinuousClock.now + time
    while ContinuousClock.now < end {
      let count = load.succeeded.load(ordering: .relaxed)
      progress(nil, "\(state): \(count.grouped) writes acknowledged")
      pause(milliseconds: 50)
    }
  }

  /// Lets a load go on until commands succeed for a second without a pause, and for 2.5 s at least.
  func followUntilFlowing(_ load: LoadProgress, _ state: String, within limit: Duration) throws {
    let time = Stopwatch()
    var flowing = 0
    while flowing < 10 || time.seconds < 2.5 {
      guard .nanoseconds(time.nanoseconds) < limit else {
        throw CommandFailure("writes did not resume within \(limit)")
      }
      let before = load.succeeded.load(ordering: .relaxed)
      follow(load, state, for: .milliseconds(100))
      flowing = load.succeeded.load(ordering: .relaxed) > before ? flowing + 1 : 0
    }
  }

  /// The sign of a promise that held, or did not.
  func mark(_ held: Bool) -> String { held ? styled("✓", .green) : styled("✗", .red) }
}

/// Measures time from its making.
struct Stopwatch {
  private let start = monotonicNanoseconds()

  var nanoseconds: UInt64 { monotonicNanoseconds() - start }
  var seconds: Double { Double(nanoseconds) / 1e9 }
  var text: String { readable(nanoseconds: nanoseconds) }
}
