/// Finds the centres of groups of points, lines of "x y": each round gives every point to the nearest
/// centre of the round before, and moves the centres to the middle of their points (Lloyd 1982).
public struct KMeans: CombiningJob, ParameterizedJob, IterativeJob {
  /// Where the centres are.
  public struct Parameters: Codable, Sendable {
    /// Two numbers each.
    public var centres: [[Double]]

    /// Makes parameters.
    public init(centres: [[Double]]) { self.centres = centres }
  }

  /// Adds points up.
  public typealias Combine = AddPoints
  /// `kmeans`
  public static let name = "kmeans"
  private let centres: [[Double]]

  /// Takes the centres.
  public init(_ parameters: Parameters) throws {
    centres = parameters.centres
    guard !centres.isEmpty, centres.allSatisfy({ $0.count == 2 }) else {
      throw MapReduceError(.usage, "kmeans: centres of two numbers each")
    }
  }

  /// Emits the point under the number of its nearest centre.
  public func map(_ line: RawSpan, into output: inout Emitter<Int, PointSum>) throws {
    try line.withFields(separatedBy: UInt8(ascii: " ")) { fields in
      guard let x = Double(fields.text(0)), let y = Double(fields.text(1)) else {
        throw MapReduceError(.job, "a point is two numbers")
      }
      let distances = centres.map { ($0[0] - x) * ($0[0] - x) + ($0[1] - y) * ($0[1] - y) }
      let nearest = distances.indices.min { distances[$0] < distances[$1] } ?? 0
      output.emit(nearest, PointSum(x: x, y: y, count: 1))
    }
  }

  /// The centres that a round found; one that nobody is near stays where it is.
  public static func arguments(
    after arguments: [String], output lines: [String]
  ) throws -> [String] {
    var parameters = try decodeParameters(arguments)
    for line in lines {
      let fields = line.split(separator: "\t")
      guard fields.count == 3, let number = Int(fields[0]), let x = Double(fields[1]),
        let y = Double(fields[2]), parameters.centres.indices.contains(number)
      else { throw MapReduceError(.job, "kmeans: '\(line)' is no centre") }
      parameters.centres[number] = [x, y]
    }
    return try encode(parameters)
  }
}

/// The sum of some points, written as their middle.
public struct PointSum: CombinableValue {
  var (x, y, count) = (0.0, 0.0, 0.0)

  init(x: Double, y: Double, count: Double) { (self.x, self.y, self.count) = (x, y, count) }
  /// Three words.
  public static var wordCount: Int { 3 }
  /// Reads the sums.
  public init(words: Span<UInt64>) {
    (x, y) = (Double(bitPattern: words[0]), Double(bitPattern: words[1]))
    count = Double(bitPattern: words[2])
  }
  /// Writes the sums.
  public func store(in words: inout MutableSpan<UInt64>) {
    (words[0], words[1], words[2]) = (x.bitPattern, y.bitPattern, count.bitPattern)
  }
  /// The middle, two numbers with a tab between them.
  public func writeText(into output: inout ByteWriter) {
    output.append("\(x / count)\t\(y / count)")
  }
}

/// Adds up `PointSum`.
public enum AddPoints: Combiner {
  /// Adds coordinates and counts.
  public static func combine(_ total: inout PointSum, _ next: PointSum) {
    total = PointSum(x: total.x + next.x, y: total.y + next.y, count: total.count + next.count)
  }
}
