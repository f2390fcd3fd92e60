import Testing

@testable import CycladesMapReduce

@Suite("Jobs in rounds")
struct IterationTests {
  private func run(_ rounds: Int, _ configuration: JobConfiguration) throws -> [String] {
    _ = try MapReduce.run(rounds: rounds, of: configuration, jobs: .builtin) {
      try MapReduce.run($0, jobs: .builtin, logger: quiet)
    }
    return try MapReduce.lines(of: configuration.output).sorted()
  }

  @Test("centres move into the middle of their points, and one without points stays")
  func kMeans() throws {
    let folder = try TemporaryFolder()
    let points = (0..<100).flatMap { step in
      [(0.0, 0.0), (10.0, 10.0)].map { x, y in
        "\(x + Double(step % 3 - 1)) \(y + Double(step % 5 - 2))"
      }
    }
    let input = try folder.write("points", points.joined(separator: "\n"))
    let job = try JobConfiguration(
      KMeans.self, .init(centres: [[4, 4], [5, 5], [900, 900]]), inputs: [input],
      output: folder.file("out"))
    let expected = ["0\t-0.01\t0.0", "1\t9.99\t10.0"]
    #expect(try run(5, job) == expected)
    #expect(Files.names(in: folder.path) == ["out", "points"])
    var parameters = try KMeans.decodeParameters(job.arguments)
    let next = try KMeans.arguments(after: job.arguments, output: expected)
    parameters.centres[0] = [-0.01, 0]
    parameters.centres[1] = [9.99, 10]
    #expect(try KMeans.encode(parameters) == next)
  }

  @Test("ranks flow along links, and add up to the number of pages")
  func pageRank() throws {
    let folder = try TemporaryFolder()
    // Everybody links to the hub, which links back to all.
    let pages = ["hub\t1\ta b c", "a\t1\thub", "b\t1\thub", "c\t1\thub"]
    let job = JobConfiguration(
      job: "pagerank", inputs: [try folder.write("pages", pages.joined(separator: "\n"))],
      output: folder.file("out"))
    let ranks = try run(60, job).map { $0.split(separator: "\t") }
    let values = ranks.map { Double($0[1]) ?? 0 }
    #expect(ranks.map { String($0[0]) } == ["a", "b", "c", "hub"])
    #expect(ranks.map { $0.count > 2 ? String($0[2]) : "" } == ["hub", "hub", "hub", "a b c"])
    // h = 0.15 + 0.85 * 3 a and a = 0.15 + 0.85 h / 3
    let hub = (0.15 + 0.85 * 3 * 0.15) / (1 - 0.85 * 0.85)
    #expect(abs(values[3] - hub) < 1e-3)
    #expect(abs(values.reduce(0, +) - 4) < 1e-3)
  }

  @Test("no round is no job")
  func none() throws {
    let folder = try TemporaryFolder()
    let job = JobConfiguration(job: "pagerank", inputs: [folder.path], output: folder.file("out"))
    #expect(throws: MapReduceError.self) { try run(0, job) }
  }
}
