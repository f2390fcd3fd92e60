/// Lists, for every word, the files it occurs in, in order of the input and each once.
public struct InvertedIndex: ReducingJob {
  /// `index`
  public static let name = "index"
  /// Words, not lines, are what must not be cut.
  public static let records = RecordFormat.text

  private var seen: Set<ByteString> = []

  /// Takes no arguments.
  public init(arguments: [String]) throws {
    guard arguments.isEmpty else {
      throw MapReduceError(.usage, "index takes no arguments, not '\(arguments[0])'")
    }
  }

  /// Emits the file's path for every different word of the text at hand.
  public mutating func map(_ text: RawSpan, into output: inout Emitter<ByteString, String>) {
    seen.removeAll(keepingCapacity: true)
    let path = output.path
    text.forEachWord { word in
      if seen.insert(ByteString(word.copied())).inserted { output.emit(word, path) }
    }
  }

  /// Writes the paths, with commas between them.
  public func reduce(
    _ word: ByteString, _ paths: inout Values<String>, into output: inout ReduceOutput
  ) throws {
    var files: [String] = []
    // Values come in order of the input, so the same file follows itself.
    while let path = try paths.next() {
      if files.last != path { files.append(path) }
    }
    output.emit(files.joined(separator: ","))
  }
}
