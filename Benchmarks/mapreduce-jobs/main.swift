import CycladesMapReduce
import Glibc
import Logging

// The jobs that bench-mapreduce runs, built like a user's own program.
//
//   mapreduce-jobs JOB WORKERS MEMORY-MIB OUTPUT INPUT

var jobs = JobRegistry.builtin
jobs.register(LineItems<ByFlags>.self)
jobs.register(LineItems<ByPart>.self)
jobs.register(Stations.self)
let logger = Logger(label: "mapreduce-jobs")

if try !MapReduceWorker.runIfAsked(jobs: jobs, logger: logger) {
  let arguments = CommandLine.arguments
  guard arguments.count == 6, let workers = Int(arguments[2]), let memory = Int(arguments[3])
  else {
    print("usage: mapreduce-jobs JOB WORKERS MEMORY-MIB OUTPUT INPUT")
    exit(EX_USAGE)
  }
  var job = JobConfiguration(job: arguments[1], inputs: [arguments[5]], output: arguments[4])
  job.workers = workers
  job.threads = workers == 0 ? 2 : 0
  job.memoryBytes = memory << 20
  job.overwrites = true
  // None of the peers waits for the disk.
  job.syncs = false
  let summary = try MapReduce.run(job, jobs: jobs, logger: logger)
  print("\(summary.duration / .seconds(1)) \(summary.outputRecords) \(summary.spilledBytes)")
}
