import Glibc
import Logging

@testable import CycladesMapReduce

/// A folder under the system's temporary one, removed with its last reference.
final class TemporaryFolder {
  let path: String

  init() throws {
    var template = Array("/tmp/cyclades-mapreduce-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw TestFailure("mkdtemp failed") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { _ = try? shell("rm -rf '\(path)'") }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  /// Writes a file and returns its path.
  @discardableResult func write(_ name: String, _ bytes: some Sequence<UInt8>) throws -> String {
    let path = file(name)
    let stream = unsafe fopen(path, "w")
    guard let stream = unsafe stream else { throw TestFailure("cannot write \(path)") }
    let bytes = Array(bytes)
    unsafe fwrite(bytes, 1, bytes.count, stream)
    unsafe fclose(stream)
    return path
  }

  @discardableResult func write(_ name: String, _ text: String) throws -> String {
    try write(name, text.utf8)
  }
}

struct TestFailure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Runs a shell command in the C locale and returns what it printed.
func shell(_ command: String) throws -> [UInt8] {
  // The threads that tests run on block signals, and a command would inherit that.
  var (none, before) = (sigset_t(), sigset_t())
  unsafe sigemptyset(&none)
  unsafe pthread_sigmask(SIG_SETMASK, &none, &before)
  defer { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
  let stream = unsafe popen("LC_ALL=C; export LC_ALL; \(command)", "r")
  guard let stream = unsafe stream else { throw TestFailure("popen failed") }
  var output: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = unsafe fread(&buffer, 1, buffer.count, stream)
    if count == 0 { break }
    output += buffer[..<count]
  }
  unsafe pclose(stream)
  return output
}

/// All lines of all parts, sorted: the job's answer, whatever the number of parts.
func outputLines(_ folder: String) throws -> [UInt8] {
  try shell("cat '\(folder)'/part-* | sort")
}

/// What coreutils count, as `word TAB count`, sorted. `tr` makes an empty word of leading white
/// space; it is no word and filtered out.
func coreutilsWordCount(_ files: String) throws -> [UInt8] {
  try shell(
    "cat \(files) | tr -s '[:space:]' '\\n' | grep -a -v '^$' | sort | uniq -c"
      + " | sed -E 's/^ *([0-9]+) (.*)$/\\2\\t\\1/' | sort")
}

let quiet = Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }

extension JobConfiguration {
  func with(_ change: (inout JobConfiguration) -> Void) -> JobConfiguration {
    var copy = self
    change(&copy)
    return copy
  }
}

/// A small generator for tests: same seed, same sequence.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
