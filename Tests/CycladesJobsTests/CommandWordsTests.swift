import CycladesMapReduce
import CycladesPaxos
import CycladesReplication
import Logging
import Testing

@testable import CycladesJobs

@Suite("The command line of a program of jobs")
struct CommandWordsTests {
  private func words(_ text: String) throws -> CommandWords {
    try CommandWords(text.split(separator: " ").map(String.init), JobOptions.run)
  }

  @Test("options take one word, several or none")
  func options() throws {
    let words = try words(
      "grep --overwrite the --input a b --partitions 7 --input c --output o --format jsonl")
    let job = try JobOptions.configuration(words)
    #expect(job.job == "grep" && job.arguments == ["the"])
    #expect(job.inputs == ["a", "b", "c"] && job.output == "o")
    #expect(job.partitions == 7 && job.overwrites && job.format == .jsonLines && job.syncs)
  }

  @Test(
    "what makes no sense is one clear error",
    arguments: [
      ("grep --inputs a", "there is no option '--inputs' here; there are: --bad-records, "),
      ("grep --input --output o", "--input needs a value"), ("grep --output", "--output needs a"),
      ("grep --input a", "--output is missing"), ("--input a --output o", "no job is named"),
      ("grep --input a --output o --partitions -1", "--partitions: '-1' is not a number"),
      ("grep --input a --output o --format xml", "--format: there is no 'xml'; there are: text"),
      ("grep --input a --output o --cluster here", "--cluster"),
      ("grep --input a --output o --memory 9223372036854775807", "--memory: that many MiB"),
    ])
  func nonsense(text: String, complaint: String) async throws {
    await #expect {
      try await MapReduceMain.run(
        text.split(separator: " ").map(String.init), jobs: .builtin,
        logger: Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() })
    } throws: {
      ($0 as? MapReduceError)?.code == .usage && "\($0)".contains(complaint)
    }
  }

  @Test("nodes are listed by number, each once")
  func peers() throws {
    func replica(_ text: String) throws -> [UInt32] {
      let words = try CommandWords(
        text.split(separator: " ").map(String.init), JobOptions.node)
      return try JobOptions.replica(words).peers.keys.map(\.rawValue).sorted()
    }
    #expect(try replica("--ledger d --node 2 --peers 1=127.0.0.1:5,2=127.0.0.1:6") == [1, 2])
    for wrong in ["--peers 1=127.0.0.1:5", "--ledger d --peers x", "--ledger d --peers 1=a,1=b"] {
      #expect(throws: MapReduceError.self) { try replica(wrong) }
    }
  }
}
