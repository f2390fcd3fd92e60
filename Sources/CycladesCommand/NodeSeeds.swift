import ArgumentParser
import CycladesSimulator
import Dispatch
import Foundation
import Synchronization

/// `cyclades simulate --nodes`: whole nodes, seed by seed.
struct NodeSeeds {
  let seed: UInt64?
  let first: UInt64
  let count: UInt64
  let jobs: Int

  private struct Tally {
    var failures: [NodeSimulationReport] = []
    var virtualTime: UInt64 = 0
    var acknowledged = 0
    var crashes = 0
    var stopped = 0
    var tornWrites = 0
    var undecided = 0
    var slowest: UInt64 = 0

    mutating func add(_ report: NodeSimulationReport) {
      virtualTime += report.virtualTime
      acknowledged += report.statistics.acknowledged
      crashes += report.statistics.crashes
      stopped += report.statistics.stopped
      tornWrites += report.statistics.tornWrites
      undecided += report.statistics.isUndecided ? 1 : 0
      slowest = max(slowest, report.statistics.recovery)
      if report.failure != nil, failures.count < 5 { failures.append(report) }
    }
  }

  func run() throws {
    try Restart.orderingDictionaries()
    var options = NodeSimulation.Options(folder: Self.folder)
    if let seed {
      options.isTracing = true
      let report = try NodeSimulation(seed: seed, options: options).run()
      if report.failure == nil { print(report.trace.joined(separator: "\n")) }
      print(report)
      if report.failure != nil { throw ExitCode.failure }
      return
    }
    let clock = ContinuousClock()
    let start = clock.now
    let tally = try runAll(options)
    let elapsed = (clock.now - start) / .seconds(1)
    for report in tally.failures { print(report) }
    print(
      "\(count) seeds of whole nodes, \(tally.failures.count) failed, \(tally.undecided) histories "
        + "undecided; \(tally.acknowledged) operations acknowledged, \(tally.crashes) crashes, "
        + "\(tally.stopped) nodes stopped by their disks, \(tally.tornWrites) torn writes; slowest "
        + "recovery \(tally.slowest / 1_000_000) ms; \(Int(Double(count) / elapsed)) seeds/s, "
        + "\(Int(Double(tally.virtualTime) / 1e9 / elapsed)) times real time")
    if !tally.failures.isEmpty { throw ExitCode.failure }
  }

  private func runAll(_ options: NodeSimulation.Options) throws -> Tally {
    let next = Atomic(first)
    let tally = Mutex(Tally())
    let problem = Mutex<(any Error)?>(nil)
    DispatchQueue.concurrentPerform(iterations: jobs) { _ in
      while problem.withLock({ $0 == nil }) {
        let seed = next.add(1, ordering: .relaxed).oldValue
        guard seed < first + count else { return }
        do {
          let report = try NodeSimulation(seed: seed, options: options).run()
          tally.withLock { $0.add(report) }
        } catch {
          problem.withLock { $0 = error }
        }
      }
    }
    if let problem = problem.withLock({ $0 }) { throw problem }
    return tally.withLock { $0 }
  }

  /// In memory where there is such a folder: simulated disks need no real one.
  private static var folder: String {
    let inMemory = "/dev/shm"
    return FileManager.default.isWritableFile(atPath: inMemory)
      ? inMemory : FileManager.default.temporaryDirectory.path
  }
}
