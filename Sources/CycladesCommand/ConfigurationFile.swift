import FoundationEssentials

/// A configuration file: one setting a line, as `name value`, named like the flags of `serve`.
///
/// ```
/// # node 1 of three
/// id          1
/// listen      10.0.0.1:7001
/// peers       1=10.0.0.1:7201,2=10.0.0.2:7201,3=10.0.0.3:7201
/// data        "/var/lib/cyclades"
/// ```
///
/// Blank lines and lines that begin with `#` are skipped; quotes around a value are taken off.
struct ConfigurationFile {
  /// The settings as command line arguments: `--name value`.
  private(set) var arguments: [String] = []

  /// Reads a file.
  ///
  /// - Parameter names: the settings there are.
  /// - Throws: `CommandFailure` that names the file and the line.
  init(path: String, names: Set<String>) throws {
    guard let bytes = FileManager.default.contents(atPath: path) else {
      throw CommandFailure("cannot read the configuration file \(path)")
    }
    try self.init(text: String(decoding: bytes, as: UTF8.self), path: path, names: names)
  }

  /// Reads the text of a file; `path` is for messages.
  init(text: String, path: String, names: Set<String>) throws {
    var seen: Set<String> = []
    let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
    for (index, line) in lines.enumerated() {
      let words = line.split(maxSplits: 1) { $0.isWhitespace }
      guard let word = words.first, !word.hasPrefix("#") else { continue }
      let (name, place) = (String(word), "\(path), line \(index + 1)")
      guard names.contains(name) else {
        throw CommandFailure("\(place): there is no setting '\(name)'")
      }
      guard seen.insert(name).inserted else {
        throw CommandFailure("\(place): '\(name)' is set twice")
      }
      guard words.count == 2 else { throw CommandFailure("\(place): '\(name)' needs a value") }
      var value = words[1].drop { $0.isWhitespace }
      while let last = value.last, last.isWhitespace { value.removeLast() }
      if value.count >= 2, value.hasPrefix("\""), value.hasSuffix("\"") {
        value = value.dropFirst().dropLast()
      }
      arguments += ["--" + name, String(value)]
    }
  }
}
