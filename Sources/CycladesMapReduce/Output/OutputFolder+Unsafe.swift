import Glibc

/// The output folder of a job.
///
///   part-00000 …      one per partition, complete whenever the name exists
///   .part-00000.3.tmp what attempt 3 writes; renamed when the attempt is elected
///   _JOB              says whose folder it is while the job runs
///   _BAD              the records that threw, if there are any: file, offset, length, reason
///   MANIFEST          names, sizes, records and digests, written when every part is there
///   _SUCCESS          empty, written last
///
/// A folder is taken when it does not exist, is empty, or was left by a job of this library that did
/// not end; one that did, only when it may be overwritten. Anything else in it keeps it from being
/// touched. The marker is locked while the job runs, so that two jobs cannot
/// write into one folder; the system drops the lock of a process that dies.
final class OutputFolder {
  let path: String
  private let madeHere: Bool
  private let lock: Int32

  private static let signature = "cyclades-mapreduce 1"
  private static let marker = "_JOB"
  private static let manifest = "MANIFEST"
  private static let success = "_SUCCESS"
  private static let bad = "_BAD"
  /// Behind the names of parts, when they are compressed.
  private let suffix: String

  /// Takes the folder for a job; throws, with nothing changed, when it is somebody else's.
  ///
  /// - Parameter resumes: Leaves what is there for `clear(keeping:)`, which must follow.
  init(
    claiming path: String, job: String, overwrites: Bool, suffix: String = "", resumes: Bool = false
  ) throws {
    self.suffix = suffix
    self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    let names = Files.names(in: self.path)
    if let names {
      try OutputFolder.check(self.path, names, overwrites: overwrites)
      madeHere = false
    } else {
      guard errno == ENOENT else { throw Files.failed(.output, "use output folder", self.path) }
      guard unsafe mkdir(self.path, 0o777) == 0 else {
        throw Files.failed(.output, "make output folder", self.path)
      }
      madeHere = true
    }
    lock = unsafe open("\(self.path)/\(OutputFolder.marker)", O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard lock >= 0 else { throw Files.failed(.output, "write into", self.path) }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      throw MapReduceError(
        .output, "another job is writing into '\(self.path)'; wait for it or name another folder")
    }
    let text = Array("\(OutputFolder.signature)\njob\t\(job)\n".utf8)
    guard ftruncate(lock, 0) == 0, unsafe pwrite(lock, text, text.count, 0) == text.count else {
      throw Files.failed(.output, "write into", self.path)
    }
    if resumes { return }
    // The success marker first: what is half removed must not look complete.
    for name in [OutputFolder.success] + (names ?? []) where name != OutputFolder.marker {
      unsafe unlink("\(self.path)/\(name)")
    }
  }

  deinit { close(lock) }

  /// Removes everything but the parts of these attempts, under whichever name they are.
  ///
  /// - Returns: The partitions whose part is there.
  func clear(keeping attempts: [Int: Int]) -> Set<Int> {
    var kept: Set<String> = [OutputFolder.marker]
    var found: Set<Int> = []
    for (partition, attempt) in attempts {
      let names = [
        temporaryPath(partition: partition, attempt: attempt), finalPath(partition: partition),
      ]
      guard names.contains(where: { Files.status($0) != nil }) else { continue }
      found.insert(partition)
      kept.formUnion(names.map { String($0.dropFirst(path.count + 1)) })
    }
    for name in [OutputFolder.success] + (Files.names(in: path) ?? []) where !kept.contains(name) {
      unsafe unlink("\(path)/\(name)")
    }
    return found
  }

  /// The partitions whose part is there, under either of its names.
  func parts(of attempts: [Int: Int]) -> Set<Int> {
    Set(
      attempts.filter { partition, attempt in
        Files.status(temporaryPath(partition: partition, attempt: attempt)) != nil
          || Files.status(finalPath(partition: partition)) != nil
      }.keys)
  }

  private func finalPath(partition: Int) -> String {
    "\(path)/\(OutputFolder.partName(partition))\(suffix)"
  }

  static func partName(_ partition: Int) -> String {
    let digits = String(partition)
    return "part-" + String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }

  /// Where an attempt at a part is written.
  func temporaryPath(partition: Int, attempt: Int) -> String {
    "\(path)/.\(OutputFolder.partName(partition)).\(attempt).tmp"
  }

  /// Gives an elected attempt its name, atomically and durably.
  func publish(partition: Int, attempt: Int) throws {
    let from = temporaryPath(partition: partition, attempt: attempt)
    let to = finalPath(partition: partition)
    // A coordinator that went on from the ledger may find that the one before it had come this far.
    if Files.status(from) == nil && Files.status(to) != nil { return }
    guard unsafe rename(from, to) == 0 else {
      throw Files.failed(.output, "rename", from)
    }
    try Files.syncFolder(path)
  }

  /// Writes the manifest and the success marker; the job is done when this returns.
  func complete(
    job: String, arguments: [String], parts: [PartInfo], badRecords: [BadRecord]
  ) throws {
    var text = "\(OutputFolder.signature)\njob\t\(job)\n"
    for argument in arguments { text += "argument\t\(argument)\n" }
    for (partition, part) in parts.enumerated() {
      let digits = String(part.digest, radix: 16)
      let digest = String(repeating: "0", count: 16 - digits.count) + digits
      text += "\(OutputFolder.partName(partition))\(suffix)\t\(part.byteCount)\t\(part.recordCount)"
      text += "\txxh3:\(digest)\n"
    }
    removeTemporary()
    if !badRecords.isEmpty {
      let lines = badRecords.map { "\($0.path)\t\($0.offset)\t\($0.byteCount)\t\($0.reason)\n" }
      try replace(OutputFolder.bad, with: lines.joined())
    }
    try replace(OutputFolder.manifest, with: text)
    try replace(OutputFolder.success, with: "")
    unsafe unlink("\(path)/\(OutputFolder.marker)")
    try Files.syncFolder(path)
  }

  /// Removes everything the job wrote, and the folder if it made it.
  func discard() {
    for name in Files.names(in: path) ?? [] where OutputFolder.isOurs(name) {
      unsafe unlink("\(path)/\(name)")
    }
    if madeHere { unsafe rmdir(path) }
  }

  private func removeTemporary() {
    for name in Files.names(in: path) ?? [] where name.hasPrefix(".") && OutputFolder.isOurs(name) {
      unsafe unlink("\(path)/\(name)")
    }
  }

  private static func isOurs(_ name: String) -> Bool {
    if [marker, manifest, success, bad].contains(name) { return true }
    if name.hasPrefix(".") { return name.hasSuffix(".tmp") || name.hasPrefix(".spill-") }
    guard name.hasPrefix("part-") else { return false }
    let rest = name.dropFirst(5).drop { ("0"..."9").contains($0) }
    return ["", ".gz", ".zst"].contains(rest)
  }

  private static func check(_ path: String, _ names: [String], overwrites: Bool) throws {
    if names.isEmpty { return }
    let isSigned = [marker, manifest].contains { hasSignature("\(path)/\($0)") }
    guard isSigned, names.allSatisfy(isOurs) else {
      throw MapReduceError(
        .output, "output folder '\(path)' is not empty and not a job's; name another or empty it")
    }
    guard overwrites || !names.contains(success) else {
      throw MapReduceError(
        .output, "output folder '\(path)' holds the output of a job; name another or overwrite it")
    }
  }

  private static func hasSignature(_ path: String) -> Bool {
    let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return false }
    defer { close(file) }
    var start = [UInt8](repeating: 0, count: signature.utf8.count)
    return unsafe read(file, &start, start.count) == start.count && start == Array(signature.utf8)
  }

  /// Writes a small file under its name at once.
  private func replace(_ name: String, with text: String) throws {
    let temporary = "\(path)/.\(name).tmp"
    let file = unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard file >= 0 else { throw Files.failed(.output, "write", temporary) }
    let bytes = Array(text.utf8)
    let written = unsafe bytes.isEmpty ? 0 : write(file, bytes, bytes.count)
    let synced = written == bytes.count && fsync(file) == 0
    close(file)
    guard synced, unsafe rename(temporary, "\(path)/\(name)") == 0 else {
      throw Files.failed(.output, "write", "\(path)/\(name)")
    }
  }
}
