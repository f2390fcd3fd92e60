import CycladesSimulator
import Foundation
import Testing

@Suite("Simulated nodes")
struct NodeSimulationTests {
  private func options() -> NodeSimulation.Options {
    NodeSimulation.Options(folder: FileManager.default.temporaryDirectory.path)
  }

  @Test("without faults every operation is answered, and nothing is refused or left open")
  func calm() throws {
    var options = options()
    options.hasFaults = false
    options.duration = .seconds(3)
    let report = try NodeSimulation(seed: 1, options: options).run()
    #expect(report.failure == nil, "\(report)")
    #expect(report.statistics.acknowledged > 100)
    #expect(report.statistics.refused == 0)
    #expect(report.statistics.unknown == 0)
    #expect(report.statistics.crashes == 0)
  }

  @Test("with faults every promise holds", arguments: 1...4)
  func faults(seed: UInt64) throws {
    let report = try NodeSimulation(seed: seed, options: options()).run()
    #expect(report.failure == nil, "\(report)")
    #expect(report.statistics.acknowledged > 10)
  }

  @Test("disks that lie about what is durable are found out")
  func lyingDisks() throws {
    var options = options()
    options.disksLie = true
    let isFound = try (1...40).contains { seed in
      try NodeSimulation(seed: seed, options: options).run().failure != nil
    }
    #expect(isFound)
  }

  // Of a node that was killed, clients' connections kept the node, and it them: thousands of seeds
  // in one process ran out of memory.
  @Test("clusters leave no memory behind")
  func memory() throws {
    func residentMiB() throws -> Int {
      let pages = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
        .split(separator: " ")[1]
      return Int(pages)! / 256
    }
    func run(_ seeds: ClosedRange<UInt64>) throws {
      for seed in seeds { _ = try NodeSimulation(seed: seed, options: options()).run() }
    }
    try run(1...2)
    let before = try residentMiB()
    try run(3...10)
    let after = try residentMiB()
    #expect(after - before < 100, "\(before) MiB, then \(after) MiB")
  }
}
