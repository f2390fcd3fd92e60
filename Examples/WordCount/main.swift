import CycladesJobs
import CycladesMapReduce

struct Words: CombiningJob {
  typealias Combine = Sum<Int>
  static let name = "words"
  static let records = RecordFormat.text

  init(arguments: [String]) {}

  func map(_ text: RawSpan, into output: inout Emitter<ByteString, Int>) {
    text.forEachWord { word in output.emit(word, 1) }
  }
}

var jobs = JobRegistry()
jobs.register(Words.self)
// In every role: it asks for jobs, works on them, and is a node of a cluster.
await MapReduceMain.run(jobs: jobs)
