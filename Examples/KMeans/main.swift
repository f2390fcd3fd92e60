import CycladesMapReduce
import Logging

/// Points of two numbers, "x y", in so many groups: each round is a job whose parameters are the
/// centres that the round before found.
struct Nearest: CombiningJob, ParameterizedJob {
  struct Parameters: Codable { var centres: [[Double]] }
  typealias Combine = AddPoints
  static let name = "nearest"
  let centres: [[Double]]

  init(_ parameters: Parameters) { centres = parameters.centres }

  func map(_ line: RawSpan, into output: inout Emitter<Int, Points>) throws {
    try line.withFields(separatedBy: UInt8(ascii: " ")) { fields in
      guard let x = Double(fields.text(0)), let y = Double(fields.text(1)) else {
        throw MapReduceError(.job, "a point is two numbers")
      }
      let distances = centres.map { ($0[0] - x) * ($0[0] - x) + ($0[1] - y) * ($0[1] - y) }
      let nearest = distances.indices.min { distances[$0] < distances[$1] } ?? 0
      output.emit(nearest, Points(x: x, y: y, count: 1))
    }
  }
}

/// The sum of some points.
struct Points: CombinableValue {
  var (x, y, count) = (0.0, 0.0, 0.0)
  static let wordCount = 3
  init(x: Double, y: Double, count: Double) { (self.x, self.y, self.count) = (x, y, count) }
  init(words: Span<UInt64>) {
    (x, y) = (Double(bitPattern: words[0]), Double(bitPattern: words[1]))
    count = Double(bitPattern: words[2])
  }
  func store(in words: inout MutableSpan<UInt64>) {
    (words[0], words[1], words[2]) = (x.bitPattern, y.bitPattern, count.bitPattern)
  }
  func writeText(into output: inout ByteWriter) { output.append("\(x / count)\t\(y / count)") }
}

enum AddPoints: Combiner {
  static func combine(_ total: inout Points, _ next: Points) {
    total = Points(x: total.x + next.x, y: total.y + next.y, count: total.count + next.count)
  }
}

var jobs = JobRegistry()
jobs.register(Nearest.self)
var centres = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]
for round in 1...10 {
  var job = try JobConfiguration(
    Nearest.self, .init(centres: centres), inputs: ["points.txt"], output: "centres")
  job.overwrites = true
  _ = try MapReduce.run(job, jobs: jobs, logger: Logger(label: "kmeans"))
  centres = try MapReduce.lines(of: "centres").map {
    $0.split(separator: "\t").compactMap { Double($0) }
  }
  .sorted { $0[0] < $1[0] }.map { Array($0.dropFirst()) }
  print("round \(round): \(centres)")
}
