import CycladesMapReduce
import Glibc
import Logging

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
let logger = Logger(label: "words")

// The workers are this same program, started again: in them `runIfAsked` serves, and is true.
if try !MapReduceWorker.runIfAsked(jobs: jobs, logger: logger) {
  let paths = CommandLine.arguments.dropFirst()
  guard paths.count >= 2 else {
    print("usage: WordCount OUTPUT-FOLDER INPUT...")
    exit(EX_USAGE)
  }
  var job = JobConfiguration(job: "words", inputs: Array(paths.dropFirst()), output: paths.first!)
  job.workers = 3
  let summary = try MapReduce.run(job, jobs: jobs, logger: logger)
  print("\(summary.outputRecords) different words, counted in \(summary.duration)")
}
