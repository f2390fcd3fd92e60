/// Finds, for every value of one field, the records with the greatest numbers in another: the largest
/// responses of each host, say.
///
/// Secondary sort does it: the number is the order of the key, so a reducer takes the first few
/// records of a group and leaves the rest.
public struct TopK: ReducingJob, ParameterizedJob {
  /// What to look at. Fields are counted from 0.
  public struct Parameters: Codable, Sendable {
    /// How many records of each group.
    public var count: Int
    /// The field that groups.
    public var group: Int
    /// The field with the number, an integer.
    public var number: Int
    /// One byte between fields; a blank, unless said otherwise.
    public var separator: String?

    /// Makes parameters.
    public init(count: Int, group: Int, number: Int, separator: String? = nil) {
      (self.count, self.group, self.number) = (count, group, number)
      self.separator = separator
    }
  }

  /// `topk`
  public static let name = "topk"
  private let parameters: Parameters
  private let separator: UInt8

  /// Takes its parameters.
  public init(_ parameters: Parameters) throws {
    let separator = parameters.separator ?? " "
    guard parameters.count > 0, parameters.group >= 0, parameters.number >= 0,
      separator.utf8.count == 1, let byte = separator.utf8.first
    else { throw MapReduceError(.usage, "topk: a count, two fields and a separator of one byte") }
    self.parameters = parameters
    self.separator = byte
  }

  /// Emits the record under its group and number; throws when there is no number.
  public func map(
    _ line: RawSpan, into output: inout Emitter<OrderedKey<ByteString, Descending<Int>>, ByteString>
  ) throws {
    try line.withFields(separatedBy: separator) { fields in
      guard let number = fields[parameters.number].fixedPoint() else {
        throw MapReduceError(.job, "field \(parameters.number) is no integer")
      }
      let group = ByteString(fields[parameters.group].copied())
      output.emit(OrderedKey(group, Descending(number)), ByteString(line.copied()))
    }
  }

  /// Writes the first records.
  public func reduce(
    _ key: OrderedKey<ByteString, Descending<Int>>, _ lines: inout Values<ByteString>,
    into output: inout ReduceOutput
  ) throws {
    for _ in 0..<parameters.count {
      guard let line = try lines.next() else { return }
      output.emit(line)
    }
  }
}
