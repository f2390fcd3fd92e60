/// A run that can be repeated: its seed, its scenario, and which of its faults are left out.
///
/// As text, one line each, it is what `cyclades simulate --shrink` writes and `--replay` reads:
///
/// ```
/// seed 202
/// scenario reads
/// operations 40
/// without 1 2 3 7
/// ```
public struct Schedule: Sendable, Hashable, CustomStringConvertible {
  /// The seed.
  public var seed: UInt64
  /// Which faults there are.
  public var scenario: Scenario
  /// How many operations the clients begin at most.
  public var operations: Int
  /// The faults that are left out, by the order in which they come, from 1.
  public var skipped: Set<Int>

  /// Makes the schedule of a whole run.
  public init(seed: UInt64, options: SimulationOptions) {
    self.seed = seed
    scenario = options.scenario
    operations = options.operations
    skipped = options.skippedFaults
  }

  /// Reads the text of a schedule; nil when it is none.
  public init?(_ text: String) {
    var lines: [String: [Substring]] = [:]
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard let name = words.first, lines[String(name)] == nil else { return nil }
      lines[String(name)] = Array(words.dropFirst())
    }
    guard lines.count == 4,
      let seed = lines["seed"]?.first.flatMap({ UInt64($0) }),
      let scenario = lines["scenario"]?.first.flatMap({ Scenario(rawValue: String($0)) }),
      let operations = lines["operations"]?.first.flatMap({ Int($0) }), operations >= 0,
      let skipped = lines["without"]?.map({ Int($0) }), !skipped.contains(nil)
    else { return nil }
    self.seed = seed
    self.scenario = scenario
    self.operations = operations
    self.skipped = Set(skipped.compactMap { $0 })
  }

  /// The text of the schedule.
  public var description: String {
    let faults = skipped.sorted().map { " \($0)" }.joined()
    return
      "seed \(seed)\nscenario \(scenario.rawValue)\noperations \(operations)\nwithout\(faults)\n"
  }

  /// The run that it stands for.
  public func simulation(_ options: SimulationOptions = SimulationOptions()) -> Simulation {
    var options = options
    options.scenario = scenario
    options.operations = operations
    options.skippedFaults = skipped
    return Simulation(seed: seed, options: options)
  }
}

extension Simulation {
  /// Leaves out of a failing run whatever it does not need in order to fail in the same way.
  ///
  /// Faults are left out in halves, quarters and so on down to single ones, and operations by halves,
  /// until nothing more can go. Returns nil when the run does not fail.
  public func shrink() -> (schedule: Schedule, report: SimulationReport)? {
    var schedule = Schedule(seed: seed, options: options)
    let first = schedule.simulation(options).run()
    guard let kind = first.failure?.kind else { return nil }
    var best = first
    func fails(_ candidate: Schedule) -> Bool {
      let report = candidate.simulation(options).run()
      guard report.failure?.kind == kind else { return false }
      schedule = candidate
      best = report
      return true
    }
    var chunk = max(1, first.statistics.faults)
    while true {
      let present = (1...max(1, first.statistics.faults)).filter { !schedule.skipped.contains($0) }
      for start in stride(from: 0, to: present.count, by: chunk) {
        var candidate = schedule
        candidate.skipped.formUnion(present[start..<min(start + chunk, present.count)])
        _ = fails(candidate)
      }
      if chunk == 1 { break }
      chunk /= 2
    }
    while schedule.operations > 1 {
      var candidate = schedule
      candidate.operations /= 2
      if !fails(candidate) { break }
    }
    return (schedule, best)
  }
}
