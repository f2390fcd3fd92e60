import CycladesMapReduce
import Logging

/// Pages as "page TAB rank TAB link link …": a round gives each page's rank to those it links to, in
/// equal shares. Its output is the next round's input.
struct Rank: ReducingJob {
  static let name = "rank"
  init(arguments: [String]) {}

  func map(_ line: RawSpan, into output: inout Emitter<ByteString, String>) throws {
    try line.withFields(separatedBy: UInt8(ascii: "\t")) { page in
      let links = page.text(2).split(separator: " ")
      guard let rank = Double(page.text(1)) else { throw MapReduceError(.job, "no rank") }
      output.emit(page[0], "=" + page.text(2))
      for link in links {
        output.emit(ByteString(Array(link.utf8)), "\(rank / Double(links.count))")
      }
    }
  }

  func reduce(
    _ page: ByteString, _ values: inout Values<String>, into output: inout ReduceOutput
  ) throws {
    var (rank, links) = (0.15, "")
    while let value = try values.next() {
      if value.hasPrefix("=") {
        links = String(value.dropFirst())
      } else {
        rank += 0.85 * (Double(value) ?? 0)
      }
    }
    output.emit("\(rank)\t\(links)")
  }
}

var jobs = JobRegistry()
jobs.register(Rank.self)
let rounds = (0..<20).map { _ in
  JobConfiguration(job: "rank", inputs: ["pages.txt"], output: "ranks")
}
let summaries = try MapReduce.run(chain: rounds, jobs: jobs, logger: Logger(label: "pagerank"))
print("\(summaries.last?.outputRecords ?? 0) pages ranked in \(summaries.count) rounds")
