/// Finds the lines that contain a fixed string, and counts how often each of them occurs.
///
/// The lines that `grep -F -h PATTERN` prints; equal lines are one record with their number. The
/// argument is the pattern, which is matched byte by byte.
public struct Grep: CombiningJob {
  /// Adds up the ones.
  public typealias Combine = Sum<Int>

  /// `grep`
  public static let name = "grep"
  /// Searches many lines at once and looks for their ends only around a match.
  public static let records = RecordFormat.lines

  @usableFromInline let pattern: [UInt8]

  /// Takes the pattern: not empty, without a newline.
  public init(arguments: [String]) throws {
    guard arguments.count == 1, !arguments[0].isEmpty, !arguments[0].utf8.contains(0x0a) else {
      throw MapReduceError(.usage, "grep takes one argument, a pattern that is not empty")
    }
    pattern = Array(arguments[0].utf8)
  }

  /// Emits one for every line that contains the pattern.
  public func map(_ lines: RawSpan, into output: inout Emitter<ByteString, Int>) {
    let sought = unsafe pattern.span.bytes
    var from = 0
    while let match = lines.firstOffset(of: sought, from: from) {
      let line = lines.lineRange(around: match)
      output.emit(lines.extracting(line), 1)
      from = min(line.upperBound + 1, lines.byteCount)
    }
  }
}
