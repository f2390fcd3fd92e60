/// A piece of a file; the records that begin in it belong to it.
struct InputSegment: Hashable, Sendable {
  var path: String
  var offset: Int
  var byteCount: Int
  /// The size of the whole file when the job was planned. What is appended later is not read; a file
  /// that got shorter is an error.
  var fileByteCount: Int
  /// Of the file on its machine when the job was planned: who finds the same at the path has the file.
  var identity: UInt64 = 0

  var coding: InputCoding { InputCoding(path: path) }
}

/// The input of one map task: pieces of files in order.
struct InputSplit: Hashable, Sendable {
  var segments: [InputSegment]
  var byteCount: Int { segments.reduce(0) { $0 + $1.byteCount } }
}

/// The input of a job, cut into splits.
///
/// The cut depends on the files and the split size alone, never on the number of workers: it decides
/// in which order values meet.
struct InputPlan: Sendable {
  private(set) var splits: [InputSplit] = []
  private(set) var fileCount = 0
  private(set) var byteCount = 0

  private let splitBytes: Int
  private let format: RecordFormat
  private var open = InputSplit(segments: [])
  private var openBytes = 0

  /// Plans files that were found by `InputFiles`.
  init(_ files: [InputFile], format: RecordFormat, splitBytes: Int) {
    self.splitBytes = splitBytes
    self.format = format
    for file in files { add(file) }
    closeSplit()
  }

  private mutating func add(_ file: InputFile) {
    fileCount += 1
    byteCount += file.byteCount
    guard InputCoding(path: file.path) == .plain, let unit = format.cutUnit else {
      return addWhole(file)
    }
    var offset = 0
    while offset < file.byteCount {
      var length = min(file.byteCount - offset, splitBytes - openBytes)
      // A cut lies between records; what is left of a file may be no whole record, which its reader says.
      if offset + length < file.byteCount { length = max(unit, length / unit * unit) }
      length = min(length, file.byteCount - offset)
      open.segments.append(
        InputSegment(
          path: file.path, offset: offset, byteCount: length, fileByteCount: file.byteCount,
          identity: file.identity))
      offset += length
      openBytes += length
      if openBytes + unit > splitBytes { closeSplit() }
    }
  }

  /// A file that cannot be cut is a split of its own, unless it is small.
  private mutating func addWhole(_ file: InputFile) {
    if openBytes + file.byteCount > splitBytes { closeSplit() }
    open.segments.append(
      InputSegment(
        path: file.path, offset: 0, byteCount: file.byteCount, fileByteCount: file.byteCount,
        identity: file.identity))
    openBytes += file.byteCount
    if openBytes >= splitBytes { closeSplit() }
  }

  private mutating func closeSplit() {
    if !open.segments.isEmpty { splits.append(open) }
    open = InputSplit(segments: [])
    openBytes = 0
  }
}

/// A regular file to be read.
struct InputFile: Hashable, Sendable {
  var path: String
  var byteCount: Int
  var identity: UInt64 = 0
}

/// Finds the files that paths stand for.
///
/// A path is a file, a folder (all regular files below it, in byte order of their paths, links to
/// folders not followed) or a pattern with `*`, `?` or `[…]`. Order of paths and of what they stand
/// for is kept; a file that is named twice is read twice.
enum InputFiles {
  static func find(_ paths: [String]) throws -> [InputFile] {
    var files: [InputFile] = []
    for path in paths {
      if let status = Files.status(path) {
        try add(path, status, to: &files)
        continue
      }
      let reason = Files.reason()
      let matches = path.contains(where: { "*?[".contains($0) }) ? Files.expand(path) : []
      guard !matches.isEmpty else {
        throw MapReduceError(.input, "cannot read input '\(path)': \(reason)")
      }
      for match in matches {
        guard let status = Files.status(match) else { throw Files.failed(.input, "read", match) }
        try add(match, status, to: &files)
      }
    }
    return files
  }

  private static func add(
    _ path: String, _ status: Files.Status, to files: inout [InputFile]
  ) throws {
    if status.isDirectory {
      try addFolder(path, to: &files)
    } else if status.isRegular {
      files.append(InputFile(path: path, byteCount: status.byteCount, identity: status.identity))
    } else {
      throw MapReduceError(.input, "cannot read input '\(path)': neither a file nor a folder")
    }
  }

  private static func addFolder(_ folder: String, to files: inout [InputFile]) throws {
    guard let names = Files.names(in: folder) else {
      throw Files.failed(.input, "read input folder", folder)
    }
    for name in names {
      let path = folder.hasSuffix("/") ? folder + name : folder + "/" + name
      guard let status = Files.status(path) else { throw Files.failed(.input, "read input", path) }
      if status.isRegular {
        files.append(InputFile(path: path, byteCount: status.byteCount, identity: status.identity))
      } else if status.isDirectory && !Files.isLink(path) {
        try addFolder(path, to: &files)
      }
    }
  }
}
