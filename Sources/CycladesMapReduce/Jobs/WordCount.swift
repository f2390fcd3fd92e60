/// Counts words: runs of bytes between ASCII white space, whatever their encoding.
///
/// The same words as `tr -s '[:space:]' '\n' | sort | uniq -c` finds in the C locale, but for the
/// empty word that `tr` makes of white space at the very beginning.
public struct WordCount: CombiningJob {
  /// Adds up the ones.
  public typealias Combine = Sum<Int>

  /// `wordcount`
  public static let name = "wordcount"
  /// Words, not lines, are what must not be cut.
  public static let records = RecordFormat.text

  /// Takes no arguments.
  public init(arguments: [String]) throws {
    guard arguments.isEmpty else {
      throw MapReduceError(.usage, "wordcount takes no arguments, not '\(arguments[0])'")
    }
  }

  /// Emits one for every word.
  @inlinable
  public func map(_ text: RawSpan, into output: inout Emitter<ByteString, Int>) {
    text.forEachWord { word in output.emit(word, 1) }
  }
}
