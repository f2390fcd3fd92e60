/// Joins lines with the values that a store has under one of their fields: orders with their customers,
/// say. Every line comes out as `field TAB line TAB value`; the value is empty where there is none.
///
/// The order of the key puts the store's value before the lines of a group, so a reducer keeps one value
/// and no list.
public struct StoreJoin: ReducingJob, ParameterizedJob {
  /// What to look at. Fields are counted from 0.
  public struct Parameters: Codable, Sendable {
    /// The field that is a key of the store, without the prefix.
    public var field: Int
    /// One byte between fields; a comma, unless said otherwise.
    public var separator: String?

    /// Makes parameters.
    public init(field: Int, separator: String? = nil) {
      (self.field, self.separator) = (field, separator)
    }
  }

  /// `join`
  public static let name = "join"
  private static let unmatched = JobCounter(0, "lines without a value")
  /// Lines without a value.
  public static var counters: [JobCounter] { [unmatched] }
  private let field: Int
  private let separator: UInt8

  /// Takes its parameters.
  public init(_ parameters: Parameters) throws {
    let separator = parameters.separator ?? ","
    guard parameters.field >= 0, separator.utf8.count == 1, let byte = separator.utf8.first else {
      throw MapReduceError(.usage, "join: a field and a separator of one byte")
    }
    (field, self.separator) = (parameters.field, byte)
  }

  /// Emits a line under its field, and a record of the store, `key TAB value`, under its key.
  public func map(
    _ line: RawSpan, into output: inout Emitter<OrderedKey<ByteString, Int>, ByteString>
  ) {
    let isStored = output.path.hasSuffix(".store")
    let (cut, index) = isStored ? (UInt8(ascii: "\t"), 0) : (separator, field)
    line.withFields(separatedBy: cut, quote: isStored ? nil : UInt8(ascii: "\"")) { fields in
      let rest = line.extracting(droppingFirst: isStored ? fields[0].byteCount + 1 : 0)
      let key = OrderedKey(ByteString(fields[index].copied()), isStored ? 0 : 1)
      output.emit(key, ByteString(rest.copied()))
    }
  }

  /// Writes each line of the group behind the value.
  public func reduce(
    _ key: OrderedKey<ByteString, Int>, _ values: inout Values<ByteString>,
    into output: inout ReduceOutput
  ) throws {
    let value = key.order == 0 ? try values.next()?.bytes ?? [] : []
    while let line = try values.next() {
      if key.order != 0 { output.count(Self.unmatched) }
      output.emit(ByteString(line.bytes + [UInt8(ascii: "\t")] + value))
    }
  }
}
