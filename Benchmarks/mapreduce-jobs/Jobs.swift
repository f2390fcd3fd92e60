import CycladesMapReduce

/// The query that all peers answer: three aggregates of `lineitem` by a few or by many groups.
struct LineItems<By: LineItemGroup>: CombiningJob {
  typealias Combine = AddUp
  static var name: String { By.name }
  init(arguments: [String]) {}

  @inlinable
  func map(_ line: RawSpan, into output: inout Emitter<ByteString, Figures>) throws {
    try line.withFields(separatedBy: UInt8(ascii: "|"), limit: By.limit) { fields in
      guard let quantity = fields[4].fixedPoint(), let price = fields[5].fixedPoint(decimals: 2)
      else { throw MapReduceError(.job, "no quantity or price") }
      output.emit(By.key(fields, line), Figures(quantity: quantity, price: price, count: 1))
    }
  }
}

protocol LineItemGroup {
  static var name: String { get }
  /// Fields that must be cut; the rest of the line is one more.
  static var limit: Int { get }
  @_lifetime(copy line)
  static func key(_ fields: borrowing Fields, _ line: RawSpan) -> RawSpan
}

/// The sums of quantity (a whole number in this data) and of cents, and the number of lines.
struct Figures: CombinableValue {
  var quantity: Int
  var price: Int
  var count: Int

  static var wordCount: Int { 3 }
  init(quantity: Int, price: Int, count: Int) {
    (self.quantity, self.price, self.count) = (quantity, price, count)
  }
  init(words: Span<UInt64>) {
    quantity = Int(truncatingIfNeeded: words[0])
    price = Int(truncatingIfNeeded: words[1])
    count = Int(truncatingIfNeeded: words[2])
  }
  func store(in words: inout MutableSpan<UInt64>) {
    words[0] = UInt64(truncatingIfNeeded: quantity)
    words[1] = UInt64(truncatingIfNeeded: price)
    words[2] = UInt64(truncatingIfNeeded: count)
  }
  func writeText(into output: inout ByteWriter) {
    output.append(decimal: quantity)
    output.append("\t")
    output.append(decimal: price)
    output.append("\t")
    output.append(decimal: count)
  }
}

enum AddUp: Combiner {
  static func combine(_ total: inout Figures, _ next: Figures) {
    total.quantity &+= next.quantity
    total.price &+= next.price
    total.count &+= next.count
  }
  static var ignoresOrder: Bool { true }
}

/// By return flag and line status, which stand beside each other in the record.
enum ByFlags: LineItemGroup {
  static let name = "lineitem-flags"
  static let limit = 11
  @_lifetime(copy line)
  static func key(_ fields: borrowing Fields, _ line: RawSpan) -> RawSpan {
    let start =
      line.byteCount - fields[10].byteCount - fields[9].byteCount
      - fields[8].byteCount - 2
    return line.extracting(start..<start + fields[8].byteCount + fields[9].byteCount + 1)
  }
}

/// By part: 200,000 groups.
enum ByPart: LineItemGroup {
  static let name = "lineitem-parts"
  static let limit = 7
  @_lifetime(copy line)
  static func key(_ fields: borrowing Fields, _ line: RawSpan) -> RawSpan {
    let start = fields[0].byteCount + 1
    return line.extracting(start..<start + fields[1].byteCount)
  }
}

/// The billion-row format: "station;temperature" with one digit behind the point.
struct Stations: CombiningJob {
  typealias Combine = FoldStatistics
  static let name = "stations"
  init(arguments: [String]) {}

  func map(_ line: RawSpan, into output: inout Emitter<ByteString, Statistics>) throws {
    guard let end = line.firstOffset(of: UInt8(ascii: ";")),
      let tenths = line.extracting(end + 1..<line.byteCount).fixedPoint(decimals: 1)
    else { throw MapReduceError(.job, "no station and temperature") }
    output.emit(line.extracting(0..<end), Statistics(tenths))
  }
}
