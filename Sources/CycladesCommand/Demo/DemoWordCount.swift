import FoundationEssentials

/// Counts words one after the other: the plain program that a cluster's answer is compared with.
///
/// Words are separated by ASCII white space, and are counted byte by byte, whatever they encode.
struct SequentialWordCount {
  private(set) var counts: [[UInt8]: Int] = [:]
  private(set) var wordCount = 0
  private(set) var byteCount = 0

  init(files: [String]) throws(CommandFailure) {
    for file in files {
      guard let text = FileManager.default.contents(atPath: file) else {
        throw CommandFailure("cannot read the input file \(file)")
      }
      add([UInt8](text))
    }
  }

  private mutating func add(_ text: [UInt8]) {
    byteCount += text.count
    for word in text.split(whereSeparator: Self.isSpace) {
      counts[Array(word), default: 0] += 1
      wordCount += 1
    }
  }

  /// The most frequent words, those of equal count in byte order.
  func top(_ count: Int) -> [DemoReport.WordCount.Word] {
    counts.sorted {
      $0.value != $1.value ? $0.value > $1.value : $0.key.lexicographicallyPrecedes($1.key)
    }
    .prefix(count).map { .init(word: String(decoding: $0.key, as: UTF8.self), count: $0.value) }
  }

  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || (0x09...0x0D).contains(byte)
  }
}

/// The output folder of a word count job, read back.
struct WordCountOutput {
  private(set) var counts: [[UInt8]: Int] = [:]

  init(folder: String) throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    for name in names where name.hasPrefix("part-") {
      guard let part = FileManager.default.contents(atPath: "\(folder)/\(name)") else {
        throw CommandFailure("cannot read the output file \(folder)/\(name)")
      }
      for line in [UInt8](part).split(separator: UInt8(ascii: "\n")) {
        guard let tab = line.lastIndex(of: UInt8(ascii: "\t")),
          let count = Int(String(decoding: line[(tab + 1)...], as: UTF8.self)),
          counts.updateValue(count, forKey: Array(line[..<tab])) == nil
        else { throw CommandFailure("\(folder)/\(name) has a line that is no 'word TAB count'") }
      }
    }
  }
}

/// The files at the given paths, folders searched to the bottom; links to folders inside a folder
/// are not followed.
func inputFiles(at paths: [String]) throws -> [String] {
  let manager = FileManager.default
  return try paths.flatMap { path throws -> [String] in
    var isFolder = false
    guard manager.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw CommandFailure("there is no file or folder '\(path)': name text with --input")
    }
    guard isFolder else { return [path] }
    let entries = try manager.contentsOfDirectory(atPath: path).map { "\(path)/\($0)" }
    return try inputFiles(
      at: entries.filter { entry in
        var isFolder = false
        let isLink =
          try manager.attributesOfItem(atPath: entry)[.type] as? FileAttributeType
          == .typeSymbolicLink
        return manager.fileExists(atPath: entry, isDirectory: &isFolder) && !(isLink && isFolder)
      })
  }
}
