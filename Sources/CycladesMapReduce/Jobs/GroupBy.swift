/// Groups CSV or TSV records by some fields: how many there are, and the sum, least and greatest of one
/// field.
public struct GroupBy: CombiningJob, ParameterizedJob {
  /// What to look at. Fields are counted from 0.
  public struct Parameters: Codable, Sendable {
    /// The fields that group.
    public var by: [Int]
    /// The field with the number.
    public var number: Int
    /// Digits behind the point that count; 0, unless said otherwise.
    public var decimals: Int?
    /// One byte between fields; a comma, unless said otherwise.
    public var separator: String?
    /// A line to be left out, such as that of the names.
    public var header: String?

    /// Makes parameters.
    public init(by: [Int], number: Int, decimals: Int? = nil, separator: String? = nil) {
      (self.by, self.number) = (by, number)
      (self.decimals, self.separator) = (decimals, separator)
    }
  }

  /// Folds all four.
  public typealias Combine = FoldStatistics
  /// `groupby`
  public static let name = "groupby"
  private let parameters: Parameters
  private let separator: UInt8

  /// Takes its parameters.
  public init(_ parameters: Parameters) throws {
    let separator = parameters.separator ?? ","
    guard !parameters.by.isEmpty, parameters.by.allSatisfy({ $0 >= 0 }), parameters.number >= 0,
      (0...9).contains(parameters.decimals ?? 0), separator.utf8.count == 1,
      let byte = separator.utf8.first
    else { throw MapReduceError(.usage, "groupby: fields, a number and a separator of one byte") }
    self.parameters = parameters
    self.separator = byte
  }

  /// Emits the number under the fields that group; throws when there is no number.
  public func map(_ line: RawSpan, into output: inout Emitter<ByteString, Statistics>) throws {
    if let header = parameters.header, line.copied().elementsEqual(header.utf8) { return }
    try line.withFields(separatedBy: separator, quote: UInt8(ascii: "\"")) { fields in
      guard let number = fields[parameters.number].fixedPoint(decimals: parameters.decimals ?? 0)
      else { throw MapReduceError(.job, "field \(parameters.number) is no such number") }
      let value = Statistics(number)
      if parameters.by.count == 1 { return output.emit(fields[parameters.by[0]], value) }
      let key = parameters.by.map { fields[$0].copied() }.joined(separator: [separator])
      output.emit(ByteString(Array(key)), value)
    }
  }
}

/// The number, sum, least and greatest of some integers.
public struct Statistics: CombinableValue, Hashable, Sendable {
  /// How many there are.
  public var count: Int
  /// Their sum.
  public var sum: Int
  /// The least.
  public var minimum: Int
  /// The greatest.
  public var maximum: Int

  /// Of one number.
  @inlinable public init(_ number: Int) {
    (count, sum, minimum, maximum) = (1, number, number, number)
  }
  /// Four words.
  @inlinable public static var wordCount: Int { 4 }
  /// Reads the figures.
  @inlinable public init(words: Span<UInt64>) {
    count = Int(truncatingIfNeeded: words[0])
    sum = Int(truncatingIfNeeded: words[1])
    minimum = Int(truncatingIfNeeded: words[2])
    maximum = Int(truncatingIfNeeded: words[3])
  }
  /// Writes the figures.
  @inlinable public func store(in words: inout MutableSpan<UInt64>) {
    words[0] = UInt64(truncatingIfNeeded: count)
    words[1] = UInt64(truncatingIfNeeded: sum)
    words[2] = UInt64(truncatingIfNeeded: minimum)
    words[3] = UInt64(truncatingIfNeeded: maximum)
  }
  /// The four figures with tabs between them.
  public func writeText(into output: inout ByteWriter) {
    for (index, figure) in [count, sum, minimum, maximum].enumerated() {
      if index > 0 { output.append("\t") }
      output.append(decimal: figure)
    }
  }
}

/// Folds `Statistics`.
public enum FoldStatistics: Combiner {
  /// Adds up numbers and sums, keeps extremes.
  @inlinable public static func combine(_ total: inout Statistics, _ next: Statistics) {
    total.count &+= next.count
    total.sum &+= next.sum
    if next.minimum < total.minimum { total.minimum = next.minimum }
    if next.maximum > total.maximum { total.maximum = next.maximum }
  }
  /// Integers do.
  @inlinable public static var ignoresOrder: Bool { true }
}
