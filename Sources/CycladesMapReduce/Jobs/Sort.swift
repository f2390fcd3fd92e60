/// Sorts lines by their bytes, as `sort` does in the C locale; equal lines are all kept.
///
/// Part 0 holds the least lines, so the parts one after the other are the sorted input.
public struct Sort: SortingJob {
  /// `sort`
  public static let name = "sort"
  /// Across all parts.
  public static let order = OutputOrder.total

  /// Takes no arguments.
  public init(arguments: [String]) throws {
    guard arguments.isEmpty else {
      throw MapReduceError(.usage, "sort takes no arguments, not '\(arguments[0])'")
    }
  }

  /// Emits the line.
  @inlinable
  public func map(_ line: RawSpan, into output: inout Emitter<ByteString, NoValue>) {
    output.emit(line, NoValue())
  }
}
